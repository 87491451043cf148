//! What people see in a browser.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use super::Relay;

/// Stand-in.
pub(super) fn sentence(status: StatusCode, title: &str, what: &str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(format!("<h1>{title}</h1><p>{what}</p>"))
}

/// Stand-in.
pub(super) fn led_back(status: StatusCode, location: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .body(format!("<a href=\"{location}\">Back</a>"))
}

/// Stand-in.
pub(super) async fn connections(_: &Relay, _: &HttpRequest) -> HttpResponse {
    sentence(StatusCode::OK, "Connections", "")
}
