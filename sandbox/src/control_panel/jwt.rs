//! `signed_payload_jwt`, genuine or forged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use super::app::User;

/// How long a payload is valid.
const VALID_SECONDS: i64 = 24 * 3600;

/// An unsigned payload, made by [`super::ControlPanelSim::jwt`] with the claims that BigCommerce documents. Every part
/// of it can be changed.
#[derive(Debug, Clone)]
pub struct Jwt {
    algorithm: String,
    secret: String,
    claims: Value,
}

impl Jwt {
    pub(super) fn new(client_id: &str, client_secret: &str, store_hash: &str, user: &User, now: i64) -> Self {
        let owner = User::default();
        let claims = json!({
            "aud": client_id,
            "iss": "bc",
            "iat": now,
            "nbf": now - 5,
            "exp": now + VALID_SECONDS,
            "jti": format!("{:032x}", rand::random::<u128>()),
            "sub": format!("stores/{store_hash}"),
            "user": { "id": user.id, "email": user.email, "locale": user.locale },
            "owner": { "id": owner.id, "email": owner.email },
            "url": "/",
            "channel_id": null,
        });
        Self { algorithm: "HS256".to_owned(), secret: client_secret.to_owned(), claims }
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if let Value::Object(claims) = &mut self.claims {
            claims.remove(name);
        }
        self
    }

    /// Shifts `iat`, `nbf` and `exp` by this many seconds: `-90_000` has expired, `3600` is not valid yet.
    #[must_use]
    pub fn shifted(mut self, seconds: i64) -> Self {
        for name in ["iat", "nbf", "exp"] {
            if let Some(at) = self.claims[name].as_i64() {
                self.claims[name] = json!(at + seconds);
            }
        }
        self
    }

    /// Signs with another secret than the app's.
    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// Sets the algorithm in the header. `HS256`, `HS384` and `HS512` sign accordingly, `none` does not sign, and any
    /// other name gets an HS256 signature.
    #[must_use]
    pub fn algorithm(mut self, name: &str) -> Self {
        name.clone_into(&mut self.algorithm);
        self
    }

    /// The signed token, its three parts joined by dots.
    pub fn sign(&self) -> String {
        let header = json!({ "alg": self.algorithm, "typ": "JWT" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&self.claims));
        if self.algorithm.eq_ignore_ascii_case("none") {
            return format!("{message}.");
        }
        let algorithm = match self.algorithm.as_str() {
            "HS384" => Algorithm::HS384,
            "HS512" => Algorithm::HS512,
            _ => Algorithm::HS256,
        };
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        let signature = crypto::sign(message.as_bytes(), &key, algorithm).expect("an HMAC takes any key and message");
        format!("{message}.{signature}")
    }
}
