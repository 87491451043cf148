//! Error answers of the Cloud Elements API. Pure.
//!
//! Source: Cloud Elements, "Error codes", and the vendor's test suite, which requires exactly these keys.

use serde_json::{Value, json};

/// An error answer. The message names the key that is wrong and quotes no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, for the client.
    pub message: String,
    /// The store's own message, if it was the store that refused.
    pub provider_message: Option<String>,
}

impl ApiError {
    /// An error with this status and message.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), provider_message: None }
    }

    /// 400: a key's value is wrong.
    pub fn invalid(key: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(400, format!("{key}: {problem}"))
    }

    /// 400: a key is missing.
    pub fn missing(key: &str) -> Self {
        Self::new(400, format!("{key} is missing"))
    }

    /// 401: the caller's secrets are missing or wrong.
    pub fn unauthorized() -> Self {
        Self::new(
            401,
            "the Authorization header holds no known `User <secret>, Organization <secret>` or `Element <token>`",
        )
    }

    /// 401: the store refuses the credentials.
    pub fn refused_by_store(message: impl Into<String>, provider_message: impl Into<String>) -> Self {
        Self { status: 401, message: message.into(), provider_message: Some(provider_message.into()) }
    }

    /// 404: nothing is at this path.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    /// The answer's body. `request_id` is also its `Elements-Request-Id`.
    pub fn body(&self, request_id: &str) -> Value {
        let mut body = json!({ "requestId": request_id, "message": self.message });
        if let (Some(provider), Some(body)) = (&self.provider_message, body.as_object_mut()) {
            body.insert("providerMessage".to_owned(), provider.as_str().into());
        }
        body
    }
}

/// A new id for a request or an event: 24 hexadecimal digits.
pub fn new_request_id() -> String {
    format!("{:024x}", rand::random::<u128>() >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_exactly_the_documented_keys() {
        let id = new_request_id();
        assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        let body = ApiError::missing("password").body(&id);
        assert_eq!(body, json!({ "requestId": id, "message": "password is missing" }));
        let body = ApiError::refused_by_store("the store refuses the credentials", "HTTP 401").body(&id);
        assert_eq!(body["providerMessage"], "HTTP 401");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(3));
    }
}
