//! Numbers, durations and failures in plain English, for pages, terminals and alerts. Pure.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use crate::http::Failure;

/// A failure for people: `HTTP 401`, `timed out`.
pub fn failure(failure: Failure) -> String {
    match failure {
        Failure::Status(status) => format!("HTTP {status}"),
        Failure::Html(status) => format!("a web page instead of an answer, HTTP {status}"),
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

/// What a store has done instead of answering; a refusal is no outage.
pub fn store_failure(seen: Failure) -> String {
    let what = match seen {
        Failure::Status(401 | 403) => "refuses the relay's credentials",
        Failure::Status(404 | 410) => "does not know what it is asked for",
        _ => "does not answer as it should",
    };
    format!("the store {what} ({})", failure(seen))
}

/// A duration: `40 seconds`, `1 minute`, `5 hours`, `3 days`, in one unit, rounded down.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => count(seconds, "second"),
        60..3600 => count(seconds / 60, "minute"),
        3600..172_800 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

/// The same; none for what has only just begun.
pub fn span_if_any(since: Duration) -> Option<String> {
    (since >= Duration::from_secs(5)).then(|| span(since))
}

/// `just now`, or how long ago.
pub fn ago(since: Duration) -> String {
    span_if_any(since).map_or_else(|| "just now".to_owned(), |span| format!("{span} ago"))
}

/// A wait: `now`, `in 5 seconds`.
pub fn due_in(wait: Duration) -> String {
    if wait < Duration::from_secs(1) { "now".to_owned() } else { format!("in {}", span(wait)) }
}

/// A number with its noun: `1 order`, `1,250 orders`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// The verb for a number: `is` for one, `are` for any other.
pub fn are(n: u64) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// A number with a comma between thousands.
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

/// A text from outside, made safe for a page, a terminal or a log line: control characters, and those that reorder or
/// hide the text around them, become visible escapes such as `\u{202e}` (Unicode Technical Report 36, "Bidirectional
/// text spoofing"). Everything else is unchanged.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unprintable(character) {
            // Writing to a `String` cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// C0 and C1 controls, zero-width and bidirectional characters, line and paragraph separators, the byte order mark.
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A list: `218`, `218 and 219`, `218, 219 and 220`, `218, 219, 220 and 1,247 more`. Names at most `shown` of `total`
/// items.
pub fn listed(items: &[String], total: u64, shown: usize) -> String {
    let named = &items[..items.len().min(shown)];
    let hidden = total.saturating_sub(named.len() as u64);
    match (named, hidden) {
        ([], hidden) => number(hidden),
        ([one], 0) => one.clone(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (named, hidden) => format!("{} and {} more", named.join(", "), number(hidden)),
    }
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

    #[test]
    fn what_reorders_or_hides_text_becomes_visible() {
        assert!(matches!(printable("Pläne & Ölgemälde 日本"), Cow::Borrowed(_)));
        for (text, shown) in [
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\nb\u{1b}[31m", "a\\u{a}b\\u{1b}[31m"),
            ("\u{2066}x\u{2069}\u{200f}\u{85}", "\\u{2066}x\\u{2069}\\u{200f}\\u{85}"),
            ("\u{2028}\u{feff}", "\\u{2028}\\u{feff}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn lists_name_a_few_and_count_the_rest() {
        let items: Vec<String> = ["218", "219", "220"].map(str::to_owned).into();
        for (of, total, shown, said) in [
            (0, 0, 3, "0"),
            (1, 1, 3, "218"),
            (2, 2, 3, "218 and 219"),
            (3, 3, 3, "218, 219 and 220"),
            (3, 1_250, 3, "218, 219, 220 and 1,247 more"),
            (3, 3, 2, "218, 219 and 1 more"),
        ] {
            assert_eq!(listed(&items[..of], total, shown), said);
        }
    }
}
