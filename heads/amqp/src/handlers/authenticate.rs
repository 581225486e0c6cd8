//! Who is it?

use subtle::ConstantTimeEq;

use super::Context;
use crate::Shared;
use crate::call::{Principal, Proof, Reply};
use crate::codec::Method;
use crate::error::{Code, Failure};

/// Who a client has proved to be; `None`: nobody who may come in.
pub(super) async fn principal(shared: &Shared, proof: Proof) -> Option<Principal> {
    match proof {
        Proof::Password {
            user,
            password,
            loopback,
        } => password_of(shared, user, &password, loopback).await,
        Proof::Certificate(subject) => {
            // The name of the user is the certificate's common name, or the whole subject.
            let name = common_name(&subject).unwrap_or(subject);
            let known = shared.broker.meta().rights(&name).is_some();
            known.then(|| Principal {
                user: name.into(),
                is_default_user: false,
            })
        }
    }
}

/// The most specific common name of a subject as RFC 4514 writes it: the first, for the most
/// specific comes first. What is escaped in a value separates nothing.
fn common_name(subject: &str) -> Option<String> {
    let mut rest = subject.as_bytes();
    while !rest.is_empty() {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (kind, value) = rest.split_at(equals);
        let (value, after) = value_of(value.get(1..)?)?;
        if kind.eq_ignore_ascii_case(b"CN") {
            return value;
        }
        rest = after;
    }
    None
}

/// The text of the value at the front, `None` when it is not text (`#0403`), and what comes after
/// its separator. Nothing when the escapes make no sense.
fn value_of(text: &[u8]) -> Option<(Option<String>, &[u8])> {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let is_text = text.first() != Some(&b'#');
    let mut value = Vec::new();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match *byte {
            b',' | b'+' => break,
            b'\\' => {
                let (one, after) = rest.split_first()?;
                rest = after;
                let Some(high) = hex(*one) else {
                    value.push(*one);
                    continue;
                };
                let (two, after) = rest.split_first()?;
                rest = after;
                value.push(u8::try_from(high * 16 + hex(*two)?).ok()?);
            }
            byte => value.push(byte),
        }
    }
    let value = String::from_utf8(value).ok().filter(|_| is_text);
    Some((value, rest))
}

async fn password_of(
    shared: &Shared,
    user: String,
    password: &str,
    loopback: bool,
) -> Option<Principal> {
    let config = &shared.config;
    let is_default = !config.default_user.is_empty() && user == config.default_user;
    // A user who was made takes the place of the configuration's.
    if is_default && shared.broker.meta().rights(&user).is_none() {
        let same: bool = password
            .as_bytes()
            .ct_eq(config.default_password.as_bytes())
            .into();
        let near = loopback || !config.default_user_loopback_only;
        return (same && near).then(|| Principal {
            user: user.into(),
            is_default_user: true,
        });
    }
    match shared.broker.verify_password(&user, password).await {
        Ok(true) => Some(Principal {
            user: user.into(),
            is_default_user: false,
        }),
        Ok(false) => None,
        Err(error) => {
            tracing::warn!(%error, "a password could not be checked");
            None
        }
    }
}

impl Context {
    /// A new secret for the same user. A password is what there is; it is checked where the user
    /// has one, and nothing expires.
    pub(super) async fn update_secret(&self, secret: &[u8]) -> Result<Reply, Failure> {
        let may_stay = self.scope.is_default_user
            || crate::access::may_enter(&self.shared.broker, &self.scope);
        let text = std::str::from_utf8(secret);
        let known = text.is_ok() && may_stay;
        if !known {
            return Err(Failure::new(Code::NotAllowed, "New secret was refused"));
        }
        Ok(std::future::ready(Reply::Done(Some(Method::UpdateSecretOk {}))).await)
    }
}

#[cfg(test)]
mod tests {
    use super::common_name;

    #[test]
    fn the_common_name_is_the_first_and_is_not_found_in_other_values() {
        for (subject, wanted) in [
            ("CN=anna,O=Acme", Some("anna")),
            ("O=Acme\\, Inc,CN=anna", Some("anna")),
            ("O=x\\,CN=admin,C=DE", None),
            ("O=x\\+CN=admin", None),
            ("OU=CN=admin,CN=anna", Some("anna")),
            ("O=x\\\\,CN=anna", Some("anna")),
            ("UID=7+CN=anna,CN=people", Some("anna")),
            ("CN=\\ a\\+b\\00\\c3\\bc", Some(" a+b\0ü")),
            ("CN=#0403,O=Acme", None),
            ("2.5.4.3=anna", None),
            ("CN=broken\\", None),
            ("CN=broken\\0", None),
            ("", None),
        ] {
            assert_eq!(common_name(subject).as_deref(), wanted, "{subject}");
        }
    }
}
