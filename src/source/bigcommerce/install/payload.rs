//! Verifies `signed_payload_jwt`, which the app's load, uninstall and remove-user callbacks carry: HS256 under the
//! app's client secret.
//!
//! Source: BigCommerce, "Handling app callbacks". Of what the payload says about people, only the user's id and
//! language are parsed.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;

use super::store_of_context;
use crate::{clock::Timestamp, secret::Secret};

/// How far the payload's times may be off.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// The longest payload that is read. Real ones have under 1 KiB; a server takes URLs of 8 KiB at most.
const MAX_JWT: usize = 8 * 1024;
/// The default of `url`, also used in place of anything that is not a plain path.
const HOME: &str = "/";
/// The longest locale that is read; no language tag in use is longer.
const MAX_LOCALE: usize = 35;

/// The app that payloads must be for.
#[derive(Clone)]
pub struct PayloadVerifier {
    key: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for PayloadVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PayloadVerifier")
    }
}

/// A verified payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPayload {
    /// The hash of the store.
    pub store_hash: String,
    /// BigCommerce's id of the user who clicked.
    pub user_id: i64,
    /// The user's language as a BCP 47 tag, such as `en-US`; empty if not given.
    pub locale: String,
    /// The path within the app that was asked for, `/` by default. Always begins with a single slash, so it cannot
    /// lead elsewhere.
    pub path: String,
    /// The channel (storefront) that the app was opened from, if any.
    pub channel_id: Option<i64>,
    /// When BigCommerce signed the payload, by its clock.
    pub issued_at: Timestamp,
}

/// Why a payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is not a JWT, or claims are missing or have the wrong type.
    #[error("the payload is no JWT with the claims of BigCommerce's")]
    Malformed,
    /// It is not signed, or not with HS256.
    #[error("the payload is not signed with HS256")]
    WrongAlgorithm,
    /// The signature does not match the app's secret.
    #[error("the payload's signature does not fit the app's client secret")]
    WrongSignature,
    /// `aud` names another app.
    #[error("the payload is meant for another app")]
    WrongAudience,
    /// `iss` is not `bc`.
    #[error("the payload was not issued by BigCommerce")]
    WrongIssuer,
    /// `exp` has passed.
    #[error("the payload has expired")]
    Expired,
    /// `nbf` or `iat` has not come yet.
    #[error("the payload is not valid yet")]
    NotYetValid,
    /// `sub` names no store.
    #[error("the payload names no store")]
    NoStore,
}

#[derive(Deserialize)]
struct Claims {
    // Checked by the library, and read here to refuse a list, which the library would accept.
    #[serde(rename = "aud")]
    _aud: String,
    #[serde(rename = "iss")]
    _iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    sub: String,
    user: User,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    channel_id: Option<i64>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    #[serde(default)]
    locale: Option<String>,
}

impl PayloadVerifier {
    /// For the app with this client id, whose payloads are signed with the raw text of this client secret.
    pub fn new(client_id: &str, client_secret: &Secret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[client_id]);
        validation.set_issuer(&["bc"]);
        validation.set_required_spec_claims(&["aud", "iss", "exp", "nbf", "sub"]);
        // The library can only use the machine's clock, so the times are checked here.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { key: DecodingKey::from_secret(client_secret.expose().as_bytes()), validation }
    }

    /// Verifies a payload at `now`. `clock_skew` is how many seconds BigCommerce's clock is ahead of the one that
    /// gave `now` (negative if behind, 0 if not known).
    ///
    /// # Errors
    /// [`PayloadError`], which contains nothing of the payload.
    pub fn verify(&self, jwt: &str, now: Timestamp, clock_skew: i64) -> Result<LoadPayload, PayloadError> {
        if jwt.len() > MAX_JWT {
            return Err(PayloadError::Malformed);
        }
        let claims: Claims =
            jsonwebtoken::decode(jwt, &self.key, &self.validation).map_err(|error| reason(error.kind()))?.claims;
        check_times(&claims, (now.millis().div_euclid(1000)).saturating_add(clock_skew))?;
        let store_hash = store_of_context(&claims.sub).ok_or(PayloadError::NoStore)?.to_owned();
        Ok(LoadPayload {
            store_hash,
            user_id: claims.user.id,
            locale: claims.user.locale.filter(|locale| is_locale(locale)).unwrap_or_default(),
            path: claims.url.filter(|url| is_own_path(url)).unwrap_or_else(|| HOME.to_owned()),
            channel_id: claims.channel_id,
            issued_at: Timestamp::from_seconds(claims.iat),
        })
    }
}

fn reason(kind: &ErrorKind) -> PayloadError {
    match kind {
        ErrorKind::InvalidSignature => PayloadError::WrongSignature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::MissingAlgorithm => {
            PayloadError::WrongAlgorithm
        }
        ErrorKind::InvalidAudience => PayloadError::WrongAudience,
        ErrorKind::InvalidIssuer => PayloadError::WrongIssuer,
        // To the library, a header with an algorithm that it does not know (`none`) is not a header.
        _ => PayloadError::Malformed,
    }
}

fn check_times(claims: &Claims, now: i64) -> Result<(), PayloadError> {
    let leeway = LEEWAY.as_secs().cast_signed();
    if claims.exp.saturating_add(leeway) <= now {
        return Err(PayloadError::Expired);
    }
    if claims.nbf.max(claims.iat) > now.saturating_add(leeway) {
        return Err(PayloadError::NotYetValid);
    }
    Ok(())
}

fn is_locale(text: &str) -> bool {
    text.len() <= MAX_LOCALE && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether this is a path on this server: no scheme, no host (`//host`, which browsers also see in `/\host`), no
/// unusual characters.
fn is_own_path(url: &str) -> bool {
    url.starts_with('/') && !url.starts_with("//") && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests;
