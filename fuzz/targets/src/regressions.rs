//! Inputs that once broke a promise, and which.

use crate::TARGETS;

/// The target, what it broke, the input in hexadecimal.
const FOUND: &[(&str, &str, &str)] = &[
    (
        "directory",
        "a changed offset of a batch in a segment was handed out",
        "010234000000010203",
    ),
    (
        "directory",
        "a negative offset of a segment's first batch was handed out",
        "2c0b05000000ffef03",
    ),
    (
        "directory",
        "a changed offset behind a lost segment was handed out",
        "4b26040000000000000f0007000009",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn what_was_found_stays_fixed() {
    for (name, _, input) in FOUND {
        let target = TARGETS.iter().find(|target| target.name == *name).unwrap();
        (target.run)(&bytes(input));
    }
}
