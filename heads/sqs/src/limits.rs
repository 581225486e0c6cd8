//! What may be said: lengths, characters, ranges, in the words that SDKs look for.

use std::ops::RangeInclusive;

use crate::error::{Code, Failure};

/// The most bytes of a message with its attributes, and of a batch.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Entries of a batch.
pub(crate) const BATCH_MAX: usize = 10;
/// Attributes of a message.
pub(crate) const ATTRIBUTES_MAX: usize = 10;
/// Tags of a queue.
pub(crate) const TAGS_MAX: usize = 50;
/// Actions of a permission.
pub(crate) const PERMISSION_ACTIONS_MAX: usize = 7;
/// Queues on a page of a list.
pub(crate) const PAGE_MAX: i64 = 1000;
/// The longest visibility timeout, in seconds.
pub(crate) const VISIBILITY_MAX: i64 = 43_200;
/// The longest delay, in seconds.
pub(crate) const DELAY_MAX: i64 = 900;

const QUEUE_NAME_MAX: usize = 80;
const ATTRIBUTE_NAME_MAX: usize = 256;
const ID_MAX: usize = 128;

/// The end of a FIFO queue's name.
pub(crate) const FIFO: &str = ".fifo";

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether SQS could have a queue of this name.
pub(crate) fn is_queue_name(name: &str) -> bool {
    let stem = name.strip_suffix(FIFO).unwrap_or(name);
    (1..=QUEUE_NAME_MAX).contains(&name.len()) && !stem.is_empty() && stem.bytes().all(is_word)
}

pub(crate) fn check_queue_name(name: &str) -> Result<(), Failure> {
    if is_queue_name(name) {
        return Ok(());
    }
    Err(Failure::invalid(
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    ))
}

/// An entry's id.
pub(crate) fn is_entry_id(id: &str) -> bool {
    (1..=80).contains(&id.len()) && id.bytes().all(is_word)
}

/// A group's, deduplication's or attempt's id.
pub(crate) fn check_id(name: &'static str, id: &str) -> Result<(), Failure> {
    if (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let reason = format!(
        "{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
    );
    Err(Failure::value(id, name, &reason))
}

/// A number between two others.
pub(crate) fn check_range(
    name: &'static str,
    value: i64,
    range: RangeInclusive<i64>,
    reason: &str,
) -> Result<(), Failure> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Failure::value(&value.to_string(), name, reason))
}

/// Characters that XML 1.0 can carry.
fn is_content(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether a text may be a body.
pub(crate) fn is_text(text: &str) -> bool {
    // What is not ASCII is looked at letter by letter only where it can matter.
    let plain = |byte: u8| (b' '..0x80).contains(&byte) || matches!(byte, b'\t' | b'\n' | b'\r');
    text.bytes().all(plain) || text.chars().all(is_content)
}

pub(crate) fn check_text(text: &str) -> Result<(), Failure> {
    if is_text(text) {
        return Ok(());
    }
    Err(Failure::new(
        Code::Contents,
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | \
         #xE000 to #xFFFD | #x10000 to #x10FFFF",
    ))
}

/// Whether a message's attribute may be called so.
pub(crate) fn is_attribute_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    (1..=ATTRIBUTE_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| is_word(byte) || byte == b'.')
        && !(name.starts_with('.') || name.ends_with('.') || name.contains(".."))
        && !(lower.starts_with("aws.") || lower.starts_with("amazon."))
}

/// Whether a type of an attribute is one: String, Number or Binary, and a label of one's own.
pub(crate) fn is_attribute_type(data_type: &str) -> bool {
    let base = data_type.split('.').next().unwrap_or_default();
    data_type.len() <= ATTRIBUTE_NAME_MAX && matches!(base, "String" | "Number" | "Binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_queues() {
        for good in ["a", "a-b_C9", "a.fifo", &"x".repeat(80)] {
            assert!(is_queue_name(good), "{good}");
        }
        for bad in ["", ".fifo", "a b", "a.b", "a/b", "\u{e4}", &"x".repeat(81)] {
            assert!(!is_queue_name(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_attributes() {
        for good in ["a", "a.b", "A_b-9", "awsome"] {
            assert!(is_attribute_name(good), "{good}");
        }
        for bad in [
            "",
            ".a",
            "a.",
            "a..b",
            "AWS.x",
            "aMaZon.y",
            "a b",
            &"x".repeat(257),
        ] {
            assert!(!is_attribute_name(bad), "{bad}");
        }
        assert!(is_attribute_type("Number.int") && is_attribute_type("Binary"));
        assert!(!is_attribute_type("Numbers") && !is_attribute_type(""));
    }

    #[test]
    fn bodies_hold_what_xml_can_carry() {
        assert!(is_text("a\t\r\n\u{7f}\u{e4}\u{1f600}"));
        for bad in ["\0", "a\u{1b}", "\u{fffe}", "\u{ffff}"] {
            assert!(!is_text(bad), "{bad:?}");
        }
    }
}
