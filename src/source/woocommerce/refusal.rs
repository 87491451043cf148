//! Unsuccessful answers: what they mean, and the error to return for them. Pure.
//!
//! WordPress's errors are `{"code":…,"message":…,"data":{"status":…}}`. The message is in the shop's language; the
//! code is not (WooCommerce, "REST API: errors").

use serde::Deserialize;

use crate::http::{CallError, Failure, json_start};

/// The largest body of an error that is read.
pub(super) const MAX_ERROR: usize = 256 * 1024;

/// The meaning of an error's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Not logged in (401), or without the permission (403): `woocommerce_rest_cannot_…`.
    CannotAccess,
    /// The keys were checked and are wrong, or lack the permission: `woocommerce_rest_authentication_error`.
    Authentication,
    /// A parameter has a value that the shop does not support: `rest_invalid_param`.
    InvalidParameter,
    /// There is no such route, because WooCommerce is not active or its API has been removed: `rest_no_route`.
    NoRoute,
    /// There is no such object: `…_invalid_id`, `woocommerce_rest_invalid_…`, `woocommerce_rest_…_invalid`.
    InvalidId,
    /// A plugin requires a login for the REST API.
    RestClosed,
    /// Any other code, or none.
    Other,
}

/// An unsuccessful answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The error to return.
    pub error: CallError,
    /// The meaning of the body, if it is WordPress's.
    pub code: Code,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self { error, code: Code::Other }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        CallError::from(failure).into()
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
}

/// Codes of plugins and snippets that refuse requests without a login. Keys that WooCommerce sees count as a login.
const CLOSED: [&str; 5] =
    ["rest_disabled", "rest_api_disabled", "rest_cannot_access", "rest_login_required", "rest_not_logged_in"];

impl Code {
    /// Reads the code from the body of an error.
    pub fn read(body: &[u8]) -> Self {
        let Ok(ErrorBody { code }) = serde_json::from_slice(json_start(body)) else { return Self::Other };
        match code.as_str() {
            "woocommerce_rest_authentication_error" => Self::Authentication,
            "rest_invalid_param" => Self::InvalidParameter,
            "rest_no_route" => Self::NoRoute,
            code if code.starts_with("woocommerce_rest_cannot_") => Self::CannotAccess,
            code if code.ends_with("_invalid_id") || is_about_object(code) => Self::InvalidId,
            code if CLOSED.contains(&code) => Self::RestClosed,
            _ => Self::Other,
        }
    }
}

/// The other codes by which WooCommerce's controllers say that an object does not exist.
fn is_about_object(code: &str) -> bool {
    let rest = code.strip_prefix("woocommerce_rest_");
    rest.is_some_and(|rest| rest.starts_with("invalid_") || rest.ends_with("_invalid"))
}

impl Refusal {
    /// Reads an answer with an unsuccessful status.
    ///
    /// A web page under any status says nothing about credentials or objects. Nor does a 404 that is not
    /// WooCommerce's own about an object, such as a proxy's while its backend is down. Both become [`Failure::Html`],
    /// the store's fault.
    pub fn read(error: CallError, body: &[u8]) -> Self {
        let code = Code::read(body);
        let is_page = json_start(body).first() == Some(&b'<');
        let failure = match error.failure {
            Failure::Status(status @ (404 | 410)) if code != Code::InvalidId => Failure::Html(status),
            Failure::Status(status) if is_page => Failure::Html(status),
            // Some servers label everything as HTML; an error of WordPress is not a web page.
            Failure::Html(status) if code != Code::Other && code != Code::NoRoute => Failure::Status(status),
            failure => failure,
        };
        Self { error: CallError { failure, ..error }, code }
    }

    /// The status, unless the answer is a web page.
    pub fn status(&self) -> Option<u16> {
        match self.error.failure {
            Failure::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the API may have moved, so that the next call should look for it again.
    pub fn may_have_moved(&self) -> bool {
        matches!(self.error.failure, Failure::Status(301 | 302 | 303 | 307 | 308) | Failure::Html(404 | 410))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(failure: Failure, body: &str) -> (Failure, Code) {
        let refusal = Refusal::read(failure.into(), body.as_bytes());
        (refusal.error.failure, refusal.code)
    }

    #[test]
    fn pages_and_missing_routes_are_the_stores_trouble() {
        let body = |code: &str| format!(r#"{{"code":"{code}","message":"Désolé","data":{{"status":401}}}}"#);
        for (seen, body, expected) in [
            (Failure::Status(401), body("woocommerce_rest_cannot_view"), (Failure::Status(401), Code::CannotAccess)),
            (
                Failure::Status(401),
                body("woocommerce_rest_authentication_error"),
                (Failure::Status(401), Code::Authentication),
            ),
            (
                Failure::Status(404),
                body("woocommerce_rest_shop_order_invalid_id"),
                (Failure::Status(404), Code::InvalidId),
            ),
            (Failure::Status(404), body("woocommerce_rest_invalid_order_id"), (Failure::Status(404), Code::InvalidId)),
            (Failure::Status(404), body("woocommerce_rest_term_invalid"), (Failure::Status(404), Code::InvalidId)),
            (Failure::Status(404), body("no_such_app"), (Failure::Html(404), Code::Other)),
            (Failure::Status(404), "404 page not found\n".into(), (Failure::Html(404), Code::Other)),
            (Failure::Status(410), String::new(), (Failure::Html(410), Code::Other)),
            (Failure::Status(404), body("rest_no_route"), (Failure::Html(404), Code::NoRoute)),
            (Failure::Html(404), body("rest_no_route"), (Failure::Html(404), Code::NoRoute)),
            (Failure::Html(401), body("rest_login_required"), (Failure::Status(401), Code::RestClosed)),
            (Failure::Status(403), "<html>Just a moment...".into(), (Failure::Html(403), Code::Other)),
            (Failure::Status(404), "\u{feff} <!doctype html>".into(), (Failure::Html(404), Code::Other)),
            (Failure::Status(401), "[]".into(), (Failure::Status(401), Code::Other)),
            (Failure::Status(429), String::new(), (Failure::Status(429), Code::Other)),
        ] {
            assert_eq!(read(seen, &body), expected, "{seen} {body}");
        }
    }
}
