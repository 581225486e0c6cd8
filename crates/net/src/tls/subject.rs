//! The subject of an X.509 certificate, as RFC 4514 writes it: `CN=anna,OU=Ops,O=Acme`.
//!
//! Only as much DER as leads there; the certificate has been verified before it comes here.

use std::fmt::Write;

const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] EXPLICIT Version` (RFC 5280 4.1).
const VERSION: u8 = 0xA0;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1E;

/// Attribute types with a short name (RFC 4514 3, and the e-mail address that OpenSSL writes).
const NAMES: [(&[u8], &str); 10] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x0A], "O"),
    (&[0x55, 0x04, 0x0B], "OU"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x19],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 0x01, 0x01],
        "UID",
    ),
    (
        &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x01],
        "EMAILADDRESS",
    ),
];

/// The subject of the certificate `der`; `None` when it is not one.
pub(super) fn of_certificate(der: &[u8]) -> Option<String> {
    let certificate = Der(der).value(SEQUENCE)?;
    let mut fields = Der(Der(certificate).value(SEQUENCE)?);
    if fields.tag() == Some(VERSION) {
        fields.value(VERSION)?;
    }
    fields.value(INTEGER)?; // serial number
    fields.value(SEQUENCE)?; // signature algorithm
    fields.value(SEQUENCE)?; // issuer
    fields.value(SEQUENCE)?; // validity
    let mut subject = Der(fields.value(SEQUENCE)?);
    let mut names = Vec::new();
    while !subject.0.is_empty() {
        names.push(relative_name(subject.value(SET)?)?);
    }
    // RFC 4514 2.1: the last first.
    names.reverse();
    Some(names.join(","))
}

/// One level of the name: `CN=anna`, rarely `CN=anna+UID=7`.
fn relative_name(set: &[u8]) -> Option<String> {
    let mut set = Der(set);
    let mut text = String::new();
    while !set.0.is_empty() {
        let mut pair = Der(set.value(SEQUENCE)?);
        let oid = pair.value(OID)?;
        if !text.is_empty() {
            text.push('+');
        }
        match NAMES.iter().find(|(known, _)| *known == oid) {
            Some((_, name)) => text.push_str(name),
            None => write_oid(&mut text, oid)?,
        }
        text.push('=');
        let tag = pair.tag()?;
        let value = pair.value(tag)?;
        match string(tag, value) {
            Some(value) => escape(&mut text, &value),
            // RFC 4514 2.4: what is no string is shown as its bytes.
            None => {
                text.push('#');
                for byte in value {
                    write!(text, "{byte:02x}").ok()?;
                }
            }
        }
    }
    Some(text)
}

fn string(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => {
            std::str::from_utf8(value).ok().map(str::to_owned)
        }
        // Latin-1 in practice.
        TELETEX_STRING => Some(value.iter().map(|&byte| char::from(byte)).collect()),
        BMP_STRING => {
            let units = value
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// RFC 4514 2.4.
fn escape(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (at == 0 && matches!(c, ' ' | '#'))
            || (at == last && c == ' ');
        match c {
            '\0' => text.push_str("\\00"),
            _ if special => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
}

/// `2.5.4.5`: the dotted form (X.690 8.19).
fn write_oid(text: &mut String, oid: &[u8]) -> Option<()> {
    let mut arc = 0_u64;
    let mut is_first = true;
    for byte in oid {
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7F))?;
        if byte & 0x80 != 0 {
            continue;
        }
        if is_first {
            let root = (arc / 40).min(2);
            write!(text, "{root}.{}", arc - root * 40).ok()?;
            is_first = false;
        } else {
            write!(text, ".{arc}").ok()?;
        }
        arc = 0;
    }
    Some(())
}

/// A reader over the elements of a DER encoding.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next element, which must have `tag`.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            // X.690 8.1.3.5: the long form, here up to four bytes.
            let width = usize::from(first & 0x7F);
            if !(1..=4).contains(&width) || rest.len() < width {
                return None;
            }
            let (digits, after) = rest.split_at(width);
            len = digits
                .iter()
                .fold(0, |len, &digit| (len << 8) | usize::from(digit));
            rest = after;
        }
        if found != tag || len > rest.len() {
            return None;
        }
        let (value, rest) = rest.split_at(len);
        self.0 = rest;
        Some(value)
    }
}
