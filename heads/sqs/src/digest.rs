//! The MD5 digests by which SDKs check what they sent and got.

use md5::{Digest, Md5};

/// How an attribute's value is counted into the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Text = 1,
    Binary = 2,
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

/// What [`hex`] wrote of 32 bytes.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Of a message's body.
pub(crate) fn body(body: &[u8]) -> String {
    hex(&Md5::digest(body))
}

/// Of attributes (name, type, how, value); `None` without any. They may come in any order.
pub(crate) fn attributes(list: &mut [(&str, &str, Transport, &[u8])]) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    list.sort_unstable_by_key(|(name, ..)| *name);
    let mut md5 = Md5::new();
    for (name, data_type, transport, value) in list.iter() {
        counted(&mut md5, name.as_bytes());
        counted(&mut md5, data_type.as_bytes());
        md5.update([*transport as u8]);
        counted(&mut md5, value);
    }
    Some(hex(&md5.finalize()))
}

/// A length as four bytes, then the bytes. Nothing here is longer than a request.
fn counted(md5: &mut Md5, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    md5.update(length.to_be_bytes());
    md5.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_amazon() {
        assert_eq!(body(b"foo"), "acbd18db4cc2f85cedef654fccc4a4d8");
        let one = |name, data_type, transport, value: &[u8]| {
            attributes(&mut [(name, data_type, transport, value)]).unwrap()
        };
        assert_eq!(
            one("Foo", "String", Transport::Text, b"Bar"),
            "ae7155c6026991b6d54b11589678bf9c"
        );
        assert_eq!(
            one("MyAttribute", "String", Transport::Text, b"foobar"),
            "adb59cd4678ea5a855436b949cd07ab6"
        );
        let value = b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01";
        assert_eq!(
            one("attr1", "Binary", Transport::Binary, value),
            "8cbe4db156db8a94db8b801b7addb984"
        );
        assert_eq!(attributes(&mut []), None);
    }

    #[test]
    fn the_order_of_attributes_does_not_matter() {
        let (a, b) = (
            ("a", "String", Transport::Text, b"1".as_slice()),
            ("b", "Binary", Transport::Binary, b"2".as_slice()),
        );
        assert_eq!(attributes(&mut [a, b]), attributes(&mut [b, a]));
    }
}
