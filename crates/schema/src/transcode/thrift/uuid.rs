//! A uuid as text: 32 hexadecimal digits, with four dashes.

/// Where the dashes are.
const DASHES: [usize; 4] = [8, 13, 18, 23];

pub(super) fn to_text(bytes: [u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let places = text
        .iter_mut()
        .enumerate()
        .filter(|(at, _)| !DASHES.contains(at));
    for ((_, place), digit) in places.zip(digits) {
        *place = b"0123456789abcdef"[usize::from(digit)];
    }
    text
}

pub(super) fn from_text(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 || DASHES.iter().any(|at| text.get(*at) != Some(&b'-')) {
        return None;
    }
    let mut bytes = [0_u8; 16];
    let digits = text
        .iter()
        .enumerate()
        .filter(|(at, _)| !DASHES.contains(at));
    for (at, (_, digit)) in digits.enumerate() {
        let value = char::from(*digit).to_digit(16)?;
        let byte = bytes.get_mut(at / 2)?;
        *byte = *byte << 4 | value.to_le_bytes()[0];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_comes_back() {
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        let bytes = from_text(text).unwrap();
        assert_eq!(bytes[15], 0xff);
        assert_eq!(&to_text(bytes), text.as_bytes());
        for wrong in [
            "",
            "00112233-4455-6677-8899-aabbccddeef",
            "00112233x4455-6677-8899-aabbccddeeff",
            "g0112233-4455-6677-8899-aabbccddeeff",
        ] {
            assert!(from_text(wrong).is_none(), "{wrong}");
        }
    }
}
