//! Authentication: what a client's token means, step by step.
//!
//! Users are kept as SCRAM credentials for both hashes, which serve PLAIN as well: the password
//! that PLAIN brings is run through the same derivation and compared.

pub(crate) mod scram;

use std::time::Duration;

use bytes::Bytes;

use crate::Shared;
use crate::config::Mechanism;
use scram::{ClientFirst, Exchange, Hash, Stored};

/// Where an exchange stands.
#[derive(Debug)]
pub(crate) enum Step {
    /// The first token of a mechanism is awaited.
    First(Mechanism),
    /// The last message of a SCRAM exchange is.
    Last(Box<Exchange>),
}

/// What a token led to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Another token is needed.
    Continue(Step),
    /// The client is who it says; for how long, if not for ever.
    Done {
        principal: String,
        lifetime: Option<Duration>,
    },
    /// It is not.
    Refused,
}

/// The longest token. SCRAM keeps the text of its first message until the second, and what PLAIN
/// brings is hashed thousands of times: before anybody is known, both have to be cheap.
const TOKEN_BYTES_MAX: usize = 4096;

/// Decides about a token: the outcome and the token to answer with.
pub(crate) async fn step(shared: &Shared, step: Step, token: &Bytes) -> (Outcome, Vec<u8>) {
    if token.len() > TOKEN_BYTES_MAX {
        return (Outcome::Refused, Vec::new());
    }
    match step {
        Step::First(Mechanism::Plain) => plain(shared, token).await,
        Step::First(Mechanism::ScramSha256) => scram_first(shared, Hash::Sha256, token),
        Step::First(Mechanism::ScramSha512) => scram_first(shared, Hash::Sha512, token),
        Step::Last(exchange) => match exchange.finish(token) {
            Some(answer) => (
                done(shared, exchange.user().to_owned()),
                answer.into_bytes(),
            ),
            None => (Outcome::Refused, Vec::new()),
        },
    }
}

fn done(shared: &Shared, principal: String) -> Outcome {
    Outcome::Done {
        principal,
        lifetime: lifetime(shared),
    }
}

/// How long an authentication lasts; `None` is for ever.
pub(crate) fn lifetime(shared: &Shared) -> Option<Duration> {
    let millis = shared.config.sasl_lifetime.0;
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// `[authorization] NUL user NUL password` (RFC 4616 2).
fn plain_parts(token: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(token).ok()?;
    let mut parts = text.split('\0');
    let (acting, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none();
    let himself = acting.is_empty() || acting == user;
    (whole && himself && !user.is_empty() && !password.is_empty()).then_some((user, password))
}

async fn plain(shared: &Shared, token: &[u8]) -> (Outcome, Vec<u8>) {
    let Some((user, password)) = plain_parts(token) else {
        return (Outcome::Refused, Vec::new());
    };
    match shared.broker.verify_password(user, password).await {
        Ok(true) => (done(shared, user.to_owned()), Vec::new()),
        Ok(false) => (Outcome::Refused, Vec::new()),
        Err(error) => {
            tracing::warn!(%error, "a password could not be checked");
            (Outcome::Refused, Vec::new())
        }
    }
}

fn scram_first(shared: &Shared, hash: Hash, token: &[u8]) -> (Outcome, Vec<u8>) {
    let Some(first) = ClientFirst::parse(token) else {
        return (Outcome::Refused, Vec::new());
    };
    let (stored, known) = stored(shared, hash, &first.user);
    let mut nonce = [0_u8; 24];
    shared.rng.fill_secret(&mut nonce);
    let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
    let exchange = Exchange::begin(hash, first, stored, known, &nonce);
    let answer = exchange.server_first().as_bytes().to_vec();
    (Outcome::Continue(Step::Last(Box::new(exchange))), answer)
}

/// What is kept of a user, or what stands for one who does not exist; and whether he does.
fn stored(shared: &Shared, hash: Hash, user: &str) -> (Stored, bool) {
    let mechanism = match hash {
        Hash::Sha256 => broker::meta::ScramMechanism::Sha256,
        Hash::Sha512 => broker::meta::ScramMechanism::Sha512,
    };
    let meta = shared.broker.meta();
    let kept = meta.credential(user, mechanism);
    let known = kept.is_some();
    let credential = kept.unwrap_or_else(|| meta.stand_in(user, mechanism));
    let stored = Stored {
        salt: credential.salt,
        iterations: credential.iterations,
        stored_key: credential.stored_key,
        server_key: credential.server_key,
    };
    (stored, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_tokens_have_three_parts() {
        assert_eq!(plain_parts(b"\0anna\0secret"), Some(("anna", "secret")));
        assert_eq!(plain_parts(b"anna\0anna\0secret"), Some(("anna", "secret")));
        for wrong in [
            "",
            "\0anna",
            "\0anna\0",
            "\0\0secret",
            "bob\0anna\0secret",
            "\0a\0b\0c",
        ] {
            assert_eq!(plain_parts(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(plain_parts(b"\0\xff\0x"), None);
    }
}
