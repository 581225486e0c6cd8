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
            let common = subject.split(',').find_map(|part| part.strip_prefix("CN="));
            let name = common.unwrap_or(&subject);
            let known = shared.broker.meta().rights(name).is_some();
            known.then(|| Principal {
                user: name.into(),
                is_default_user: false,
            })
        }
    }
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
