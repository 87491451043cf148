//! Numbers and spans of time in plain English, for pages, terminals and alerts. Pure.

use std::time::Duration;

use crate::http::Failure;

/// What was seen instead of a success, as a person reads it: `HTTP 401`, `timed out`.
pub fn failure(failure: Failure) -> String {
    match failure {
        Failure::Status(status) => format!("HTTP {status}"),
        Failure::Html(status) => format!("a web page instead of an answer (HTTP {status})"),
        Failure::Dns => "the name does not resolve".to_owned(),
        Failure::PrivateAddress => "the address is private".to_owned(),
        Failure::Connect => "no connection".to_owned(),
        Failure::Tls => "TLS or certificate problem".to_owned(),
        Failure::Timeout => "timed out".to_owned(),
        Failure::Broken => "the connection broke".to_owned(),
        Failure::NotJson => "the answer is not the JSON asked for".to_owned(),
        Failure::AnotherObject => "the answer is another object".to_owned(),
        Failure::TooLarge => "the answer is too large".to_owned(),
    }
}

/// `40 seconds`, `1 minute`, `5 hours`, `3 days`: one unit, rounded down.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => count(seconds, "second"),
        60..3600 => count(seconds / 60, "minute"),
        3600..172_800 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

/// `just now`, or how long ago.
pub fn ago(since: Duration) -> String {
    if since < Duration::from_secs(5) { "just now".to_owned() } else { format!("{} ago", span(since)) }
}

/// `1 order`, `1,250 orders`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `is` after one, `are` after any other number.
pub fn are(n: u64) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// With a comma between thousands.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_numbers_read_like_english() {
        for (seconds, said) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3599, "59 minutes"),
            (3600, "1 hour"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), said);
        }
        assert_eq!(ago(Duration::from_secs(1)), "just now");
        assert_eq!(ago(Duration::from_secs(90)), "1 minute ago");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_000), "1,000");
        assert_eq!(count(1_234_567, "order"), "1,234,567 orders");
    }
}
