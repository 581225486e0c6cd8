//! `.thrift` files.
use super::Problem;
use crate::snapshot::Draft;
pub(super) fn read(_files: &[(String, String)], _draft: &mut Draft, _problems: &mut Vec<Problem>) {}
