//! HTML for people, JSON for programs: what a request's `Accept` header prefers. Pure.
//!
//! Source: RFC 9110, section 12.5.1: the most specific range that names a type gives it its weight.

use actix_web::{HttpRequest, http::header};

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

/// What the request would rather have; `None` when it does not care (no header, or `*/*` as `curl` sends it).
pub(super) fn preferred(request: &HttpRequest) -> Option<Format> {
    let ranges: Vec<&str> = request
        .headers()
        .get_all(header::ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    of_ranges(&ranges)
}

fn of_ranges(ranges: &[&str]) -> Option<Format> {
    if ranges.is_empty() {
        return None;
    }
    let (html, json) = (weight(ranges, "text", "html"), weight(ranges, "application", "json"));
    match html.partial_cmp(&json)? {
        std::cmp::Ordering::Greater => Some(Format::Html),
        std::cmp::Ordering::Less => Some(Format::Json),
        std::cmp::Ordering::Equal => None,
    }
}

/// The weight of a type, and how precisely it was named: `application/json, */*` prefers JSON.
fn weight(ranges: &[&str], kind: &str, subkind: &str) -> (f32, u8) {
    let mut best: Option<(u8, f32)> = None;
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let precision = match name.split_once('/') {
            Some((k, s)) if k == kind && s == subkind => 2,
            Some((k, "*")) if k == kind => 1,
            Some(("*", "*")) => 0,
            _ => continue,
        };
        let q = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(1.0, |q| q.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0));
        if best.is_none_or(|(known, _)| precision > known) {
            best = Some((precision, q));
        }
    }
    best.map_or((0.0, 0), |(precision, q)| (q, precision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_named_and_heavier_type_wins() {
        let prefer = |text: &str| of_ranges(&text.split(',').collect::<Vec<_>>());
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
        assert_eq!(of_ranges(&[]), None);
    }
}
