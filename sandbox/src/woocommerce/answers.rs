//! Answers that several routes share.

use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};

use super::config::ShopPermalinks;
use super::state::State;
use crate::answer::Answer;

/// A web page.
pub(super) fn page(status: u16, text: &str) -> Answer {
    let mut answer = Answer::json(status, format!("<!DOCTYPE html><html><body>{text}</body></html>"));
    answer.headers.push((CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8")));
    answer
}

/// The shop's front page, which links to the REST API.
pub(super) fn front_page(state: &State) -> Answer {
    let mut answer = page(200, "<h1>Sandbox shop</h1>");
    let home = state.home();
    let root = match state.config().permalinks {
        ShopPermalinks::Pretty => format!("{home}/wp-json/"),
        ShopPermalinks::IndexPhp => format!("{home}/index.php/wp-json/"),
        ShopPermalinks::Plain => format!("{home}/index.php?rest_route=/"),
    };
    let link = format!(r#"<{root}>; rel="https://api.w.org/""#);
    answer.headers.push((LINK, HeaderValue::from_str(&link).expect("an address is a valid header")));
    answer
}

/// The headers `X-WP-Total` and `X-WP-TotalPages`.
pub(super) fn totals(rows: usize, per_page: usize) -> [(HeaderName, HeaderValue); 2] {
    [
        (HeaderName::from_static("x-wp-total"), HeaderValue::from(rows)),
        (HeaderName::from_static("x-wp-totalpages"), HeaderValue::from(rows.div_ceil(per_page.max(1)))),
    ]
}
