//! The order of what waits to be written, and how it is taken.

use std::sync::Arc;

use super::*;
use crate::testing::MemoryFile;

fn text(output: &mut Output) -> Vec<u8> {
    crate::testing::take(output)
}

#[test]
fn keeps_the_order_of_copied_shared_and_file_bytes() {
    let mut output = Output::new();
    output.put(b"head ");
    output.push(Bytes::from(vec![b'x'; SHARE_MIN]));
    output.push_file(FileRange {
        source: Arc::new(MemoryFile::new(b"0123456789".to_vec())),
        position: 2,
        len: 3,
    });
    output.put(b" tail");
    assert_eq!(output.len(), 5 + SHARE_MIN + 3 + 5);
    assert_eq!(output.memory(), output.len() - 3);
    let bytes = text(&mut output);
    assert!(bytes.starts_with(b"head xxx"));
    assert!(bytes.ends_with(b"x234 tail"));
    assert!(output.is_empty());
}

#[test]
fn fills_a_hole_also_after_its_bytes_were_sealed() {
    let mut output = Output::new();
    output.put(b"earlier");
    let hole = output.hole(4);
    output.put(b"ab");
    output.push(Bytes::from(vec![b'x'; SHARE_MIN]));
    output.put(b"cd");
    let len = output.since(&hole);
    assert_eq!(len, SHARE_MIN + 4);
    output.fill(hole, &(len as u32).to_be_bytes());
    let bytes = text(&mut output);
    assert_eq!(&bytes[7..11], &(SHARE_MIN as u32 + 4).to_be_bytes());
}

#[test]
fn advances_byte_by_byte_over_part_borders() {
    let mut output = Output::new();
    output.put(b"ab");
    output.push(Bytes::from(vec![b'x'; SHARE_MIN]));
    output.put(b"yz");
    for left in (0..SHARE_MIN + 4).rev() {
        output.advance(1);
        assert_eq!(output.len(), left);
    }
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!(output.slices(&mut slices), 0);
}
