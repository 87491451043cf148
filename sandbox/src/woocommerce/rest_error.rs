//! Errors as WordPress answers them.

use serde_json::{Value, json};

use crate::answer::Answer;

/// An error with the body `{"code","message","data":{"status"}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RestError {
    pub status: u16,
    pub code: &'static str,
    pub message: &'static str,
}

impl RestError {
    const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    pub const WRONG_SECRET: Self =
        Self::new(401, "woocommerce_rest_authentication_error", "Consumer secret is invalid.");
    pub const UNKNOWN_KEY: Self = Self::new(401, "woocommerce_rest_authentication_error", "Consumer key is invalid.");
    pub const WRONG_SIGNATURE: Self = Self::new(
        401,
        "woocommerce_rest_authentication_error",
        "Invalid signature - provided signature does not match.",
    );
    pub const WRONG_TIME: Self = Self::new(401, "woocommerce_rest_authentication_error", "Invalid timestamp.");
    pub const USED_NONCE: Self =
        Self::new(401, "woocommerce_rest_authentication_error", "Invalid nonce - nonce has already been used.");
    pub const READ_ONLY: Self = Self::new(
        401,
        "woocommerce_rest_authentication_error",
        "The API key provided does not have write permissions.",
    );
    pub const NO_ROUTE: Self =
        Self::new(404, "rest_no_route", "No route was found matching the URL and request method.");
    pub const CLOSED: Self =
        Self::new(401, "rest_cannot_access", "DRA: Only authenticated users can access the REST API.");
    pub const NO_ORDER: Self = Self::new(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.");
    pub const NO_OBJECT: Self = Self::new(404, "woocommerce_rest_invalid_id", "Invalid ID.");
    pub const NO_HOOK: Self = Self::new(404, "woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.");
    pub const NO_TRASH: Self =
        Self::new(501, "woocommerce_rest_trash_not_supported", "Webhooks do not support trashing.");
    pub const NOT_JSON: Self = Self::new(400, "rest_invalid_json", "Invalid JSON body passed.");

    /// 401 if the caller is not logged in, 403 if it lacks the rights.
    pub fn cannot_view(is_logged_in: bool) -> Self {
        let status = if is_logged_in { 403 } else { 401 };
        Self::new(status, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
    }

    pub fn invalid_param(name: &'static str) -> Self {
        Self::new(400, "rest_invalid_param", name)
    }

    pub fn body(self) -> Value {
        let Self { status, code, message } = self;
        json!({ "code": code, "message": message, "data": { "status": status } })
    }

    pub fn answer(self) -> Answer {
        Answer::json(self.status, self.body().to_string())
    }
}
