//! HTML for people, JSON for programs: what a request's `Accept` header prefers.

use std::cmp::Ordering;

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{Accept, Header, Quality},
};

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

/// The format that a request prefers; `None` if it has no preference (no header, or `*/*` as `curl` sends it).
pub(super) fn preferred(request: &HttpRequest) -> Option<Format> {
    of(request)
}

fn of(request: &impl HttpMessage) -> Option<Format> {
    let accept = Accept::parse(request).ok()?;
    let (html, json) = (weight(&accept, "text", "html"), weight(&accept, "application", "json"));
    match html.partial_cmp(&json)? {
        Ordering::Greater => Some(Format::Html),
        Ordering::Less => Some(Format::Json),
        Ordering::Equal => None,
    }
}

/// The weight of a type, and how specifically it was named, so that `application/json, */*` prefers JSON. The most
/// specific range that includes a type gives its weight (RFC 9110, section 12.5.1).
fn weight(accept: &Accept, kind: &str, subkind: &str) -> (Quality, u8) {
    let precision = |range: &str| match range.split_once('/') {
        Some((k, s)) if k == kind && s == subkind => Some(2),
        Some((k, "*")) if k == kind => Some(1),
        Some(("*", "*")) => Some(0),
        _ => None,
    };
    let ranges = accept.iter().filter_map(|item| {
        let precision = precision(&item.item.essence_str().to_ascii_lowercase())?;
        Some((item.quality, precision))
    });
    ranges.max_by_key(|(_, precision)| *precision).unwrap_or((Quality::ZERO, 0))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_better_named_and_heavier_type_wins() {
        let prefer = |text: &str| of(&TestRequest::get().insert_header(("accept", text)).to_http_request());
        for (accept, wanted) in [
            ("*/*", None),
            ("application/json", Some(Format::Json)),
            ("Application/JSON; charset=utf-8", Some(Format::Json)),
            ("application/json, */*", Some(Format::Json)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Some(Format::Html)),
            ("text/html;q=0.5, application/json;q=0.9", Some(Format::Json)),
            ("application/json;q=0.1, text/html;q=0.2", Some(Format::Html)),
            ("text/*", Some(Format::Html)),
            ("image/png", None),
            ("application/json;q=0, */*", Some(Format::Html)),
            ("application/json;q=many, text/html", Some(Format::Html)),
        ] {
            assert_eq!(prefer(accept), wanted, "{accept}");
        }
        assert_eq!(of(&TestRequest::get().to_http_request()), None);
    }
}
