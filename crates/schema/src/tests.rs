//! What the whole crate promises, seen through its public face.

mod compat;
mod json;
mod load;
mod reference;
mod thrift;

use crate::{Error, Format, Loader, Options, Snapshot};

/// Every kind of field there is.
const EVERYTHING: &str = include_str!("tests/everything.proto");

fn everything() -> Snapshot {
    let mut loader = Loader::new();
    loader.proto("everything.proto", EVERYTHING);
    loader
        .load()
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn transcode(
    snapshot: &Snapshot,
    name: &str,
    from: Format,
    to: Format,
    input: &[u8],
    options: &Options,
) -> Result<Vec<u8>, Error> {
    let id = snapshot.find_message(name).unwrap();
    let mut output = b"before".to_vec();
    let done = snapshot.transcode(id, from, to, input, &mut output, options);
    assert!(output.starts_with(b"before"));
    done.map(|_| output.split_off(6))
        .inspect_err(|_| assert_eq!(output, b"before", "an error leaves nothing"))
}
