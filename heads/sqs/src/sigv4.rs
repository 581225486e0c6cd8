//! Signatures (AWS Signature Version 4): who asks, and that nobody changed the request.
//!
//! A signature is an HMAC over a digest of the canonical request ([`canonical`]), with a key that
//! is derived from the secret, the day and the region. It comes in the header `authorization`, or
//! in the query of a URL that was signed beforehand. Derived keys are kept, for they are the same
//! all day; how many is bounded. Comparisons take the same time wherever the difference is.

mod canonical;
mod date;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::HashMap;
use hmac::{Hmac, Mac};
use net::http::Request;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::digest::hex;
use crate::error::{Code, Failure};
use canonical::Signed;

/// How far the clocks of two machines may be apart, and how old a signed request may be.
const SKEW_MAX_MS: i64 = 15 * 60 * 1000;
/// The longest life of a URL that was signed beforehand, in seconds.
const EXPIRES_MAX: i64 = 604_800;
/// How many derived keys are kept.
const KEYS_KEPT: usize = 1024;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The secrets by their access keys' ids.
pub(crate) type Secrets = BTreeMap<String, String>;

/// What is derived from a secret for a day and a region.
type Key = [u8; 32];

/// Verifies requests.
#[derive(Debug)]
pub(crate) struct Verifier {
    secrets: Secrets,
    service: &'static str,
    derived: Mutex<HashMap<String, Arc<Key>>>,
}

/// What a request says about its signature.
#[derive(Debug)]
struct Claim<'r> {
    key_id: &'r str,
    day: &'r str,
    region: &'r str,
    service: &'r str,
    signed: Vec<&'r str>,
    signature: &'r str,
}

fn incomplete(why: impl Into<String>) -> Failure {
    Failure::new(Code::IncompleteSignature, why.into())
}

/// The credentials file: a line for each key, its id and its secret; `#` begins a comment.
///
/// # Errors
/// Which line is wrong, without its contents.
pub(crate) fn secrets(text: &str) -> Result<Secrets, String> {
    let mut secrets = Secrets::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(id), Some(secret), None) = (words.next(), words.next(), words.next()) else {
            return Err(format!("line {} is not `ID SECRET`", at + 1));
        };
        secrets.insert(id.to_owned(), secret.to_owned());
    }
    Ok(secrets)
}

impl Verifier {
    pub(crate) fn new(secrets: Secrets, service: &'static str) -> Self {
        Self {
            secrets,
            service,
            derived: Mutex::new(HashMap::default()),
        }
    }

    /// Whether the request is signed by one who knows a secret; the id of its key.
    pub(crate) fn verify<'r>(&self, request: &'r Request, now_ms: i64) -> Result<&'r str, Failure> {
        if request.headers.contains_key("authorization") {
            self.in_header(request, now_ms)
        } else if request.query.contains("X-Amz-Signature=") {
            self.in_query(request, now_ms)
        } else {
            Err(Failure::new(
                Code::NoToken,
                "Request is missing Authentication Token",
            ))
        }
    }

    fn in_header<'r>(&self, request: &'r Request, now_ms: i64) -> Result<&'r str, Failure> {
        let claim = header_claim(request)?;
        let stamp = request
            .header("x-amz-date")
            .or_else(|| request.header("date"));
        let stamp = stamp.ok_or_else(|| incomplete("a signed request has a date: X-Amz-Date"))?;
        let at = time(stamp)?;
        let distance = now_ms.saturating_sub(at);
        if distance > SKEW_MAX_MS {
            return Err(expired(at, now_ms, SKEW_MAX_MS));
        }
        if distance < -SKEW_MAX_MS {
            return Err(not_yet(at, now_ms));
        }
        let payload = payload(request)?;
        self.check(request, &claim, stamp, &request.query, &payload)?;
        Ok(claim.key_id)
    }

    fn in_query<'r>(&self, request: &'r Request, now_ms: i64) -> Result<&'r str, Failure> {
        let query = Presigned::read(&request.query)?;
        let claim = Claim {
            signed: query
                .signed
                .split("%3B")
                .flat_map(|s| s.split(';'))
                .collect(),
            signature: query.signature,
            ..credential(query.credential)?
        };
        let at = time(query.date)?;
        let expires: i64 = query
            .expires
            .parse()
            .map_err(|_| incomplete("X-Amz-Expires"))?;
        if !(1..=EXPIRES_MAX).contains(&expires) {
            return Err(incomplete("X-Amz-Expires is between 1 and 604800 seconds"));
        }
        if now_ms > at.saturating_add(expires * 1000) {
            return Err(expired(at, now_ms, expires * 1000));
        }
        if at.saturating_sub(now_ms) > SKEW_MAX_MS {
            return Err(not_yet(at, now_ms));
        }
        let payload = payload(request)?;
        self.check(request, &claim, query.date, &query.rest, &payload)?;
        Ok(claim.key_id)
    }

    fn check(
        &self,
        request: &Request,
        claim: &Claim<'_>,
        stamp: &str,
        query: &str,
        payload: &str,
    ) -> Result<(), Failure> {
        if claim.service != self.service {
            return Err(Failure::new(
                Code::Signature,
                format!(
                    "Credential should be scoped to correct service: '{}'.",
                    self.service
                ),
            ));
        }
        if claim.region.is_empty() {
            return Err(Failure::new(
                Code::Signature,
                "Credential should be scoped to a valid region.",
            ));
        }
        if !date::iso(stamp).is_some_and(|iso| iso.starts_with(claim.day)) || claim.day.len() != 8 {
            return Err(incomplete(
                "the day of the credential is not that of the date",
            ));
        }
        let secret = self.secrets.get(claim.key_id).ok_or_else(|| {
            Failure::new(
                Code::UnknownKey,
                "The security token included in the request is invalid.",
            )
        })?;
        let all_signed = Signed::new(&request.headers, &claim.signed)
            .ok_or_else(|| incomplete("'Host' and every 'X-Amz-' header have to be signed"))?;
        let canonical = canonical::request(
            request.method.as_str(),
            &request.path,
            query,
            &all_signed,
            payload,
        );
        let scope = format!(
            "{}/{}/{}/aws4_request",
            claim.day, claim.region, claim.service
        );
        let iso = date::iso(stamp).unwrap_or_default();
        let digest = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("{ALGORITHM}\n{iso}\n{scope}\n{digest}");
        let key = self.key(claim, secret);
        let expected = hex(&hmac(&*key, to_sign.as_bytes()));
        let is_same = expected.as_bytes().ct_eq(claim.signature.as_bytes());
        if bool::from(is_same) {
            return Ok(());
        }
        Err(Failure::new(
            Code::Signature,
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method.",
        ))
    }

    /// The key of a day and a region.
    fn key(&self, claim: &Claim<'_>, secret: &str) -> Arc<Key> {
        let name = format!("{}/{}/{}", claim.key_id, claim.day, claim.region);
        if let Some(key) = self.derived.lock().get(&name) {
            return key.clone();
        }
        let key = Arc::new(derive(secret, claim.day, claim.region, claim.service));
        let mut derived = self.derived.lock();
        // Days pass and regions are made up: what was kept is forgotten, all at once, which costs
        // four digests for each key that is still in use.
        if derived.len() >= KEYS_KEPT {
            derived.clear();
        }
        derived.insert(name, key.clone());
        key
    }
}

fn derive(secret: &str, day: &str, region: &str, service: &str) -> Key {
    let key = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    let key = hmac(&key, region.as_bytes());
    let key = hmac(&key, service.as_bytes());
    hmac(&key, b"aws4_request")
}

pub(crate) fn hmac(key: &[u8], data: &[u8]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn header_claim(request: &Request) -> Result<Claim<'_>, Failure> {
    let text = request.header("authorization").unwrap_or_default();
    let rest = text
        .strip_prefix(ALGORITHM)
        .ok_or_else(|| incomplete(format!("Authorization header requires '{ALGORITHM}'")))?;
    let mut parts = BTreeMap::new();
    for part in rest.split(',') {
        if let Some((name, value)) = part.trim().split_once('=') {
            parts.insert(name, value);
        }
    }
    let part = |name: &'static str| {
        let found = parts.get(name).copied().filter(|value| !value.is_empty());
        found
            .ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
    };
    let given = part("Credential")?;
    Ok(Claim {
        signed: part("SignedHeaders")?.split(';').collect(),
        signature: part("Signature")?,
        ..credential(given)?
    })
}

/// Splits `ID/day/region/service/aws4_request`; `as_sent` may have its slashes encoded.
fn credential(as_sent: &str) -> Result<Claim<'_>, Failure> {
    let separator = if as_sent.contains("%2F") { "%2F" } else { "/" };
    let parts: Vec<&str> = as_sent.split(separator).collect();
    match parts.as_slice() {
        [key_id, day, region, service, "aws4_request"] => Ok(Claim {
            key_id,
            day,
            region,
            service,
            signed: Vec::new(),
            signature: "",
        }),
        _ => Err(incomplete(
            "Credential is ID/day/region/service/aws4_request",
        )),
    }
}

/// The digest of the body: as a header says it, checked, or of the body itself.
fn payload(request: &Request) -> Result<String, Failure> {
    let digest = || hex(&Sha256::digest(&request.body));
    match request.header("x-amz-content-sha256") {
        None => Ok(digest()),
        Some("UNSIGNED-PAYLOAD") if request.peer.tls.is_some() => Ok("UNSIGNED-PAYLOAD".to_owned()),
        Some(given) if given == digest() => Ok(given.to_owned()),
        Some(_) => Err(Failure::new(
            Code::Signature,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )),
    }
}

fn time(stamp: &str) -> Result<i64, Failure> {
    date::parse(stamp).ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'"))
}

fn expired(at: i64, now: i64, life: i64) -> Failure {
    let (until, now) = (date::show(at.saturating_add(life)), date::show(now));
    Failure::new(
        Code::Expired,
        format!("Signature expired: {until} is now earlier than {now}"),
    )
}

fn not_yet(at: i64, now: i64) -> Failure {
    let (at, now) = (date::show(at), date::show(now));
    Failure::new(
        Code::Signature,
        format!("Signature not yet current: {at} is still later than {now}"),
    )
}

/// The parameters of a URL that was signed beforehand, as they are encoded.
#[derive(Debug, Default)]
struct Presigned<'r> {
    credential: &'r str,
    date: &'r str,
    expires: &'r str,
    signed: &'r str,
    signature: &'r str,
    /// The query without the signature.
    rest: String,
}

impl<'r> Presigned<'r> {
    fn read(query: &'r str) -> Result<Self, Failure> {
        let mut found = Self::default();
        let mut algorithm = "";
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "X-Amz-Algorithm" => algorithm = value,
                "X-Amz-Credential" => found.credential = value,
                "X-Amz-Date" => found.date = value,
                "X-Amz-Expires" => found.expires = value,
                "X-Amz-SignedHeaders" => found.signed = value,
                "X-Amz-Signature" => {
                    found.signature = value;
                    continue;
                }
                _ => {}
            }
            rest.push(pair);
        }
        if algorithm != ALGORITHM {
            return Err(incomplete(format!("X-Amz-Algorithm is {ALGORITHM}")));
        }
        found.rest = rest.join("&");
        Ok(found)
    }
}

/// Who says to ask, unverified: where every request is accepted.
pub(crate) fn claimed(request: &Request) -> Option<&str> {
    let text = request.header("authorization")?;
    let (_, rest) = text.split_once("Credential=")?;
    rest.split('/').next().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests;
