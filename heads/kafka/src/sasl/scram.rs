//! The server's half of SCRAM (RFC 5802, RFC 7677), pure: messages in, messages out.
//!
//! For an unknown user the caller makes up what is stored, and says so: the exchange goes on as any
//! other and fails at the last step, so that the first step does not tell who exists.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Hash {
    fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, parts),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, parts),
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

fn mac<M: Mac + hmac::digest::KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length; the empty result would fail every comparison.
    let Ok(mut mac) = <M as Mac>::new_from_slice(key) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// What the server keeps of a user's password.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) stored_key: Vec<u8>,
    pub(crate) server_key: Vec<u8>,
}

/// The client's first message, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    /// Who wants in.
    pub(crate) user: String,
    nonce: String,
    /// What the client must repeat at the end, in base64.
    binding: String,
    bare: String,
}

impl ClientFirst {
    /// Parses `gs2-header client-first-message-bare` (RFC 5802 7).
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let mut fields = text.splitn(3, ',');
        let (flag, authzid, bare) = (fields.next()?, fields.next()?, fields.next()?);
        // `p=` asks for channel binding, which is not offered.
        if flag != "n" && flag != "y" {
            return None;
        }
        let mut attributes = bare.split(',');
        let user = saslname(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let printable = nonce.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if nonce.is_empty() || !printable || user.is_empty() {
            return None;
        }
        if !authzid.is_empty() && saslname(authzid.strip_prefix("a=")?)? != user {
            return None;
        }
        // Extensions such as `tokenauth` ask for something that is not served.
        if attributes.next().is_some() {
            return None;
        }
        let binding = BASE64.encode(format!("{flag},{authzid},"));
        Some(Self {
            user,
            nonce: nonce.to_owned(),
            binding,
            bare: bare.to_owned(),
        })
    }
}

/// Undoes `=2C` and `=3D` (RFC 5802 5.1).
fn saslname(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, escape) = rest.split_at(at);
        name.push_str(before);
        match escape.get(..3)? {
            "=2C" => name.push(','),
            "=3D" => name.push('='),
            _ => return None,
        }
        rest = escape.get(3..)?;
    }
    name.push_str(rest);
    Some(name)
}

/// An exchange that waits for the client's last message.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    hash: Hash,
    first: ClientFirst,
    server_first: String,
    nonce: String,
    stored: Stored,
    known: bool,
}

impl Exchange {
    /// Answers the client's first message; of a user who is not `known`, `stored` is made up.
    pub(crate) fn begin(
        hash: Hash,
        first: ClientFirst,
        stored: Stored,
        known: bool,
        server_nonce: &str,
    ) -> Self {
        let nonce = format!("{}{server_nonce}", first.nonce);
        let server_first = format!(
            "r={nonce},s={},i={}",
            BASE64.encode(&stored.salt),
            stored.iterations
        );
        Self {
            hash,
            first,
            server_first,
            nonce,
            stored,
            known,
        }
    }

    /// The message to send now.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Who wants in.
    pub(crate) fn user(&self) -> &str {
        &self.first.user
    }

    /// Checks the client's last message; the server's last message when the proof holds.
    pub(crate) fn finish(&self, message: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(message).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if binding != self.first.binding || nonce != self.nonce {
            return None;
        }
        let proof = BASE64.decode(proof).ok()?;
        let said = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let signature = self.hash.hmac(&self.stored.stored_key, &[said.as_bytes()]);
        if proof.len() != signature.len() {
            return None;
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(p, s)| p ^ s).collect();
        let same = self.hash.digest(&client_key).ct_eq(&self.stored.stored_key);
        if !bool::from(same) || !self.known {
            return None;
        }
        let verifier = self.hash.hmac(&self.stored.server_key, &[said.as_bytes()]);
        Some(format!("v={}", BASE64.encode(verifier)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange printed in RFC 7677 3: user `user`, password `pencil`.
    fn stored() -> Stored {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut block = Hash::Sha256.hmac(b"pencil", &[&salt, &1_u32.to_be_bytes()]);
        let mut salted = block.clone();
        for _ in 1..4096 {
            block = Hash::Sha256.hmac(b"pencil", &[&block]);
            salted.iter_mut().zip(&block).for_each(|(a, b)| *a ^= b);
        }
        let client_key = Hash::Sha256.hmac(&salted, &[b"Client Key"]);
        Stored {
            salt,
            iterations: 4096,
            stored_key: Hash::Sha256.digest(&client_key),
            server_key: Hash::Sha256.hmac(&salted, &[b"Server Key"]),
        }
    }

    fn exchange(stored: Stored, known: bool) -> Exchange {
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        Exchange::begin(
            Hash::Sha256,
            first,
            stored,
            known,
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        )
    }

    const LAST: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn follows_the_exchange_of_rfc_7677() {
        let exchange = exchange(stored(), true);
        assert_eq!(
            exchange.server_first(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        assert_eq!(
            exchange.finish(LAST).as_deref(),
            Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
    }

    #[test]
    fn refuses_a_wrong_proof_nonce_or_binding() {
        let exchange = exchange(stored(), true);
        let text = std::str::from_utf8(LAST).unwrap();
        for wrong in [
            text.replace("dHzb", "dHzc"),
            text.replace("rOpr", "rOps"),
            text.replace("biws", "eSws"),
            text.replace("p=", ""),
            String::new(),
        ] {
            assert_eq!(exchange.finish(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn an_unknown_user_fails_at_the_end_whatever_he_brings() {
        assert_eq!(exchange(stored(), false).finish(LAST), None);
        let nothing = Stored {
            stored_key: Vec::new(),
            server_key: Vec::new(),
            ..stored()
        };
        let exchange = exchange(nothing, false);
        let empty = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=";
        assert_eq!(exchange.finish(empty), None);
    }

    #[test]
    fn first_messages_are_taken_apart() {
        let parse = |text: &str| ClientFirst::parse(text.as_bytes()).map(|first| first.user);
        assert_eq!(parse("n,,n=a=2Cb=3Dc,r=x").as_deref(), Some("a,b=c"));
        assert_eq!(parse("y,a=u,n=u,r=x").as_deref(), Some("u"));
        for wrong in [
            "",
            "n,,",
            "p=tls-unique,,n=u,r=x",
            "n,a=v,n=u,r=x",
            "n,,n=u=,r=x",
            "n,,n=u,r=",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse("n,,n=u,r=x,tokenauth=true"), None);
    }
}
