//! Users and what is kept of their passwords (RFC 5802 3): never the password.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::{Error, Meta, Permission, STRANGERS, TopicPermission, USERS};

/// How often the hash is repeated for a new password.
pub const ITERATIONS: u32 = 8192;
/// How long the salt of a new password is, in bytes.
const SALT_BYTES: usize = 24;
/// How often at most, when a client has made the credential.
pub const ITERATIONS_MAX: u32 = 16_384;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// What is kept of a password for one hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Credential {
    /// Random bytes.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub salt: Vec<u8>,
    /// How often the hash was repeated.
    pub iterations: u32,
    /// H(HMAC(salted password, "Client Key")).
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub stored_key: Vec<u8>,
    /// HMAC(salted password, "Server Key").
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub server_key: Vec<u8>,
}

fn write<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&BASE64.encode(bytes))
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    BASE64.decode(text).map_err(serde::de::Error::custom)
}

/// A password that came as a hash, from another system's export. It serves to compare a password
/// with, but not for SCRAM, which needs the password itself once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PasswordHash {
    mechanism: ScramMechanism,
    #[serde(serialize_with = "write", deserialize_with = "read")]
    salt: Vec<u8>,
    #[serde(serialize_with = "write", deserialize_with = "read")]
    digest: Vec<u8>,
}

impl PasswordHash {
    /// How many of the bytes are salt.
    const SALT_LEN: usize = 4;

    /// Reads four bytes of salt and the hash of salt and password behind them; `None` when the
    /// length does not fit.
    #[must_use]
    pub fn from_bytes(mechanism: ScramMechanism, bytes: &[u8]) -> Option<Self> {
        let (salt, digest) = bytes.split_at_checked(Self::SALT_LEN)?;
        let fits = match mechanism {
            ScramMechanism::Sha256 => digest.len() == Sha256::output_size(),
            ScramMechanism::Sha512 => digest.len() == Sha512::output_size(),
        };
        fits.then(|| Self {
            mechanism,
            salt: salt.to_vec(),
            digest: digest.to_vec(),
        })
    }

    /// The bytes that [`PasswordHash::from_bytes`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.salt[..], &self.digest[..]].concat()
    }

    /// Which hash it is.
    #[must_use]
    pub fn mechanism(&self) -> ScramMechanism {
        self.mechanism
    }

    fn is_of(&self, password: &str) -> bool {
        let salted = [&self.salt[..], password.as_bytes()].concat();
        let digest = match self.mechanism {
            ScramMechanism::Sha256 => Sha256::digest(salted).to_vec(),
            ScramMechanism::Sha512 => Sha512::digest(salted).to_vec(),
        };
        bool::from(self.digest.ct_eq(&digest))
    }
}

/// A user: credentials and rights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct User {
    pub(crate) credentials: BTreeMap<ScramMechanism, Credential>,
    /// Instead of credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<PasswordHash>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) permissions: BTreeMap<String, Permission>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) topics: BTreeMap<String, BTreeMap<String, TopicPermission>>,
}

impl User {
    pub(crate) fn row(&self) -> Vec<u8> {
        // A structure of texts and numbers is always writable as JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The credential of a password (RFC 5802 3). Takes milliseconds, on purpose.
#[must_use]
pub fn derive(
    mechanism: ScramMechanism,
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Credential {
    let salted = salted(mechanism, password.as_bytes(), salt, iterations);
    let client_key = hmac(mechanism, &salted, &[b"Client Key"]);
    let stored_key = match mechanism {
        ScramMechanism::Sha256 => Sha256::digest(&client_key).to_vec(),
        ScramMechanism::Sha512 => Sha512::digest(&client_key).to_vec(),
    };
    let server_key = hmac(mechanism, &salted, &[b"Server Key"]);
    Credential {
        salt: salt.to_vec(),
        iterations,
        stored_key,
        server_key,
    }
}

/// PBKDF2 with one block (RFC 5802 2.2, `Hi`).
fn salted(mechanism: ScramMechanism, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut block = hmac(mechanism, password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = block.clone();
    for _ in 1..iterations {
        block = hmac(mechanism, password, &[&block]);
        sum.iter_mut()
            .zip(&block)
            .for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(mechanism: ScramMechanism, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    fn with<M: Mac + hmac::digest::KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        // HMAC takes keys of every length.
        let Ok(mut mac) = <M as Mac>::new_from_slice(key) else {
            return Vec::new();
        };
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }
    match mechanism {
        ScramMechanism::Sha256 => with::<Hmac<Sha256>>(key, parts),
        ScramMechanism::Sha512 => with::<Hmac<Sha512>>(key, parts),
    }
}

impl Meta {
    /// The users' names.
    #[must_use]
    pub fn users(&self) -> Vec<String> {
        self.0.state.lock().users.keys().cloned().collect()
    }

    /// What is kept of a user's password for `mechanism`.
    #[must_use]
    pub fn credential(&self, user: &str, mechanism: ScramMechanism) -> Option<Credential> {
        self.0
            .state
            .lock()
            .users
            .get(user)?
            .credentials
            .get(&mechanism)
            .cloned()
    }

    /// What is shown of somebody who does not exist, so that nobody learns who does: it looks like
    /// what a user has, is the same at each look and after each start, and no password fits it.
    #[must_use]
    pub fn stand_in(&self, user: &str, mechanism: ScramMechanism) -> Credential {
        let secret = self.setting(STRANGERS).unwrap_or_default();
        let kind = match mechanism {
            ScramMechanism::Sha256 => b"256",
            ScramMechanism::Sha512 => b"512",
        };
        let parts: [&[u8]; 2] = [kind, user.as_bytes()];
        let mut salt = hmac(ScramMechanism::Sha256, secret.as_bytes(), &parts);
        salt.truncate(SALT_BYTES);
        Credential {
            salt,
            iterations: ITERATIONS,
            stored_key: Vec::new(),
            server_key: Vec::new(),
        }
    }

    /// Makes a user, or gives one a new password: credentials for every mechanism. Blocks until
    /// it is durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn set_password(&self, user: &str, password: &str) -> Result<(), Error> {
        let mut credentials = BTreeMap::new();
        for mechanism in [ScramMechanism::Sha256, ScramMechanism::Sha512] {
            let mut salt = [0; SALT_BYTES];
            self.0.rng.fill_secret(&mut salt);
            credentials.insert(mechanism, derive(mechanism, password, &salt, ITERATIONS));
        }
        let _changing = self.0.changing.lock();
        let kept = self.0.state.lock().users.get(user).cloned();
        let mut changed = kept.unwrap_or_default();
        (changed.credentials, changed.hash) = (credentials, None);
        self.change(|change| {
            change
                .open_table(USERS)?
                .insert(user, changed.row().as_slice())?;
            Ok(())
        })?;
        self.0.state.lock().users.insert(user.to_owned(), changed);
        Ok(())
    }

    /// The hash that a user's password came as, when it did.
    #[must_use]
    pub fn password_hash(&self, user: &str) -> Option<PasswordHash> {
        self.0.state.lock().users.get(user)?.hash.clone()
    }

    /// Removes a user. Blocks until it is durable.
    ///
    /// # Errors
    /// [`Error::UnknownUser`]; whatever the disk answers.
    pub fn delete_user(&self, name: &str) -> Result<(), Error> {
        let _changing = self.0.changing.lock();
        if !self.0.state.lock().users.contains_key(name) {
            return Err(Error::UnknownUser(name.to_owned()));
        }
        self.change(|change| {
            change.open_table(USERS)?.remove(name)?;
            Ok(())
        })?;
        self.0.state.lock().users.remove(name);
        Ok(())
    }

    /// Whether this is the user's password. Takes milliseconds, also for a user that does not
    /// exist.
    #[must_use]
    pub fn verify_password(&self, user: &str, password: &str) -> bool {
        let mechanism = ScramMechanism::Sha256;
        let kept = self.credential(user, mechanism);
        let (salt, iterations) = kept
            .as_ref()
            .map_or((&[0; SALT_BYTES][..], ITERATIONS), |kept| {
                (&kept.salt[..], kept.iterations)
            });
        let derived = derive(mechanism, password, salt, iterations);
        let hash = self.password_hash(user);
        hash.is_some_and(|hash| hash.is_of(password))
            || kept.is_some_and(|kept| bool::from(kept.stored_key.ct_eq(&derived.stored_key)))
    }
}
