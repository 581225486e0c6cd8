//! What all batches have in common: how many entries, which ids, and answers by entry.

use crate::error::{Code, Failure};
use crate::limits;
use crate::model::Failed;

/// Checks the entries' number and ids; `kind` is what Query calls an entry.
pub(super) fn check<'e>(
    kind: &str,
    sent: usize,
    ids: impl Iterator<Item = &'e str> + Clone,
) -> Result<(), Failure> {
    if sent == 0 {
        return Err(Failure::new(
            Code::EmptyBatch,
            format!("There should be at least one {kind} in the request."),
        ));
    }
    if sent > limits::BATCH_MAX {
        return Err(Failure::new(
            Code::TooManyEntries,
            format!("Maximum number of entries per request are 10. You have sent {sent}."),
        ));
    }
    if !ids.clone().all(limits::is_entry_id) {
        return Err(Failure::new(
            Code::InvalidEntryId,
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can \
             be at most 80 letters long.",
        ));
    }
    let mut seen: Vec<&str> = Vec::with_capacity(sent);
    for id in ids {
        if seen.contains(&id) {
            return Err(Failure::new(
                Code::IdsNotDistinct,
                format!("Id {id} repeated."),
            ));
        }
        seen.push(id);
    }
    Ok(())
}

/// An entry's failure.
pub(super) fn failed(entry: &str, failure: Failure) -> Failed {
    let row = failure.code.row();
    Failed {
        entry: entry.to_owned(),
        is_senders: !row.status.is_server_error(),
        code: row.query,
        message: failure.message.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(ids: &[&str]) -> Option<Code> {
        check("X", ids.len(), ids.iter().copied())
            .err()
            .map(|failure| failure.code)
    }

    #[test]
    fn a_batch_has_one_to_ten_entries_with_ids_of_their_own() {
        assert_eq!(code(&["a", "b"]), None);
        assert_eq!(code(&[]), Some(Code::EmptyBatch));
        assert_eq!(code(&["a"; 11]), Some(Code::TooManyEntries));
        assert_eq!(code(&["a", ""]), Some(Code::InvalidEntryId));
        assert_eq!(code(&["a", "b", "a"]), Some(Code::IdsNotDistinct));
    }
}
