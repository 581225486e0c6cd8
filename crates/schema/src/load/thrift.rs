//! `.thrift` files: read, and put into the words of the other side. What Protobuf has no word for
//! (containers in containers, maps with any key, arguments without a struct) becomes a message of
//! its own, which `transcode/thrift` leaves out or writes as what it was.

mod lex;
mod link;
mod parse;
mod tree;

use super::Problem;
use crate::snapshot::Draft;

/// Adds all files to the draft, or says what is wrong with each.
pub(super) fn read(files: &[(String, String)], draft: &mut Draft, problems: &mut Vec<Problem>) {
    let mut trees = Vec::new();
    for (path, text) in files {
        match parse::file(path, text) {
            Ok(tree) => trees.push(tree),
            Err(problem) => problems.push(problem),
        }
    }
    // Names of files that could not be read would all be missing.
    if trees.len() == files.len() {
        link::link(&trees, draft, problems);
    }
}
