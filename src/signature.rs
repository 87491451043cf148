//! Standard Webhooks signatures, and the relay's own tokens derived from the client secret. Pure.
//!
//! Scheme: <https://www.standardwebhooks.com>. As BigCommerce uses it, the key is the raw bytes of the API account's
//! client secret (BigCommerce, "Webhooks overview", callback verification).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// How far ahead of the relay's clock a signed timestamp may be.
pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// Longest header that is read; BigCommerce documents values up to 8 KB.
const MAX_HEADER: usize = 8 * 1024;
/// The length of 32 bytes in base64.
const ENCODED: usize = 44;

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `webhook-signature` is present, but `webhook-id` or `webhook-timestamp` is missing or unreadable.
    #[error("webhook-id or webhook-timestamp is missing or malformed")]
    Malformed,
    /// The timestamp is older than the tolerance.
    #[error("the webhook-timestamp is too old")]
    TooOld,
    /// The timestamp is more than five minutes ahead.
    #[error("the webhook-timestamp is in the future")]
    TooNew,
    /// None of the `v1` signatures matches any configured secret.
    #[error("no signature fits")]
    Mismatch,
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// Signs `body` as BigCommerce does. Returns the value of a `webhook-signature` header, `v1,<base64>`.
pub fn sign(secret: &str, webhook_id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let mac = mac(secret.as_bytes(), &[webhook_id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The three headers of the scheme, as received.
#[derive(Debug, Clone, Copy)]
pub struct SignatureHeaders<'a> {
    /// The value of `webhook-id`.
    pub id: Option<&'a str>,
    /// The value of `webhook-timestamp`, in Unix seconds.
    pub timestamp: Option<&'a str>,
    /// The value of `webhook-signature`, a list separated by spaces.
    pub signature: &'a str,
}

/// Checks `body` against the headers: any listed `v1` signature under any of `secrets` is enough. Each comparison
/// takes constant time.
///
/// # Errors
/// [`SignatureError`], which contains neither the secrets nor the expected value.
pub fn verify(
    secrets: &[Secret],
    headers: SignatureHeaders<'_>,
    body: &[u8],
    now: SystemTime,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    let id = headers.id.filter(|id| !id.is_empty()).ok_or(SignatureError::Malformed)?;
    let raw_timestamp = headers.timestamp.ok_or(SignatureError::Malformed)?;
    if !raw_timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SignatureError::Malformed);
    }
    let timestamp: u64 = raw_timestamp.parse().map_err(|_| SignatureError::Malformed)?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if timestamp < now.saturating_sub(tolerance.as_secs()) {
        return Err(SignatureError::TooOld);
    }
    if timestamp > now.saturating_add(MAX_AHEAD.as_secs()) {
        return Err(SignatureError::TooNew);
    }
    let given = listed(headers.signature);
    let genuine = secrets.iter().fold(false, |genuine, secret| {
        let key = secret.expose().as_bytes();
        let expected = mac(key, &[id.as_bytes(), b".", raw_timestamp.as_bytes(), b".", body]).finalize().into_bytes();
        given.iter().fold(genuine, |genuine, given| genuine | same_bytes(&expected, given))
    });
    if genuine { Ok(()) } else { Err(SignatureError::Mismatch) }
}

/// The listed `v1` signatures that may be right. Proxies join repeated headers with commas, and entries contain a
/// comma themselves (`v1,<base64>`): so every piece after a `v1` that decodes to 32 bytes counts.
fn listed(list: &str) -> Vec<[u8; 32]> {
    let list = list.get(..MAX_HEADER).unwrap_or(list);
    let mut follows_version = false;
    let mut found = Vec::new();
    for piece in list.split([' ', ',', '\t']).filter(|piece| !piece.is_empty()) {
        let is_version = piece.len() < 5 && piece.starts_with('v');
        if !is_version && follows_version && piece.len() == ENCODED {
            let mut bytes = [0; 33];
            if STANDARD.decode_slice(piece, &mut bytes) == Ok(32) {
                let mut signature = [0; 32];
                signature.copy_from_slice(&bytes[..32]);
                found.push(signature);
            }
        }
        follows_version = piece == "v1";
    }
    found
}

/// Derives a token for one `purpose` (and one `subject`, such as a store) from a client secret. Tokens of different
/// purposes reveal nothing about each other or the secret.
pub fn derive_token(secret: &Secret, purpose: &str, subject: &str) -> Secret {
    let mac = mac(secret.expose().as_bytes(), &[b"onetribe-relay\0", purpose.as_bytes(), b"\0", subject.as_bytes()]);
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()).into()
}

/// Compares two MACs in constant time.
fn same_bytes(a: &[u8], b: &[u8; 32]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_holds_for_its_raw_key() {
        // The example of the Standard Webhooks libraries, `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`: its key is not
        // text.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let parts: [&[u8]; 5] =
            [b"msg_p5jXN8AQM9LWM0D4loKWxJek", b".", b"1614265330", b".", br#"{"test": 2432232314}"#];
        let signature = STANDARD.encode(mac(&key, &parts).finalize().into_bytes());
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
