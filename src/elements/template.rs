//! The url of a polled resource: a hub path, a `where` and other parameters, with macros for the time of the last poll. Pure.
//!
//! Source: Cloud Elements, "Polling: macros" (`${date:FMT}`, `${gmtDate:FMT}`, `${dateTimeZone:{zone}:FMT}`, `${epoch}`).

use std::ops::Range;

use jiff::tz::TimeZone;

use super::{
    date_format::{DateFormat, FormatError},
    zone::{self, UnknownZone},
};
use crate::clock::Timestamp;

/// No url in use is longer than this.
const MAX_URL: usize = 4096;
/// Segments of a path.
const MAX_SEGMENTS: usize = 8;
/// Bytes of one segment.
const MAX_SEGMENT: usize = 128;

/// Why a url cannot be polled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Longer than 4,096 bytes, or with control characters.
    #[error("the url is longer than 4,096 bytes or holds control characters")]
    Malformed,
    /// Another host, or a way out of the store's API.
    #[error("the url leaves the store's host; give a path such as /hubs/ecommerce/orders")]
    LeavesHost,
    /// No resource, or one with characters that no resource has.
    #[error("the url names no resource; give a path such as /hubs/ecommerce/orders")]
    NoResource,
    /// A macro where it means nothing.
    #[error("macros may stand in the values of the url's query only")]
    MisplacedMacro,
    /// `${` without `}`.
    #[error("a macro is not closed by `}}`")]
    OpenMacro,
    /// A macro of another name.
    #[error("`${{{0}}}` is no macro (date, gmtDate, dateTimeZone and epoch are)")]
    UnknownMacro(String),
    /// A format that cannot be.
    #[error("in a macro, {0}")]
    Format(#[from] FormatError),
    /// A zone that cannot be.
    #[error("in a macro, {0}")]
    Zone(#[from] UnknownZone),
    /// `where` twice.
    #[error("the url has more than one `where`")]
    SecondWhere,
}

/// Where a resource's rows are, without hub and host: `orders`, `orders/12/products`, `v3/catalog/products`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourcePath(Vec<String>);

impl ResourcePath {
    /// Reads the path of a hub call. The name of the hub does not matter, and `/orders` is what `/hubs/ecommerce/orders` is.
    ///
    /// # Errors
    /// [`TemplateError::LeavesHost`] for anything that could lead elsewhere, [`TemplateError::NoResource`] for what names
    /// nothing.
    pub fn parse(path: &str) -> Result<Self, TemplateError> {
        let leaves = path.starts_with("//") || path.contains([':', '\\', '@', '#', '%']);
        let mut segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        if leaves || segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err(TemplateError::LeavesHost);
        }
        if segments.starts_with(&["elements", "api-v2"]) {
            segments.drain(..2);
        }
        if segments.first() == Some(&"hubs") {
            segments.drain(..segments.len().min(2));
        }
        let fits = |segment: &&str| {
            (1..=MAX_SEGMENT).contains(&segment.len())
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.~-".contains(&b))
        };
        if segments.is_empty() || segments.len() > MAX_SEGMENTS || !segments.iter().all(fits) {
            return Err(TemplateError::NoResource);
        }
        Ok(Self(segments.into_iter().map(str::to_owned).collect()))
    }

    /// Its segments, at least one.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

/// A `where` whose macros have been filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The clause.
    pub text: String,
    /// The bytes of it that came from macros.
    pub macros: Vec<Range<usize>>,
}

/// A hub call: which resource, and which of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubQuery {
    /// The resource.
    pub path: ResourcePath,
    /// The clause, if there is one.
    pub filter: Option<Filter>,
    /// Parameters beside `where`.
    pub parameters: Vec<(String, String)>,
}

/// A checked url template.
#[derive(Debug, Clone)]
pub struct UrlTemplate {
    path: ResourcePath,
    filter: Option<Vec<Part>>,
    parameters: Vec<(String, Vec<Part>)>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Date(DateFormat, TimeZone),
    /// How many of the unit a second has.
    Epoch(i64),
}

impl UrlTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, TemplateError> {
        let url = url.trim();
        if url.len() > MAX_URL || url.chars().any(char::is_control) {
            return Err(TemplateError::Malformed);
        }
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        if path.contains("${") {
            return Err(TemplateError::MisplacedMacro);
        }
        let mut template = Self { path: ResourcePath::parse(path)?, filter: None, parameters: Vec::new() };
        for (name, value) in pairs(query)? {
            if !name.eq_ignore_ascii_case("where") {
                template.parameters.push((name, value));
            } else if template.filter.replace(value).is_some() {
                return Err(TemplateError::SecondWhere);
            }
        }
        Ok(template)
    }

    /// The resource.
    pub fn path(&self) -> &ResourcePath {
        &self.path
    }

    /// The call that it stands for when everything since `at` is asked for.
    pub fn expand(&self, at: Timestamp) -> HubQuery {
        let filter =
            self.filter.as_ref().map(|parts| filled(parts, at)).filter(|filter| !filter.text.trim().is_empty());
        let parameters = self.parameters.iter().map(|(name, parts)| (name.clone(), filled(parts, at).text)).collect();
        HubQuery { path: self.path.clone(), filter, parameters }
    }
}

fn filled(parts: &[Part], at: Timestamp) -> Filter {
    let mut filter = Filter::default();
    for part in parts {
        let from = filter.text.len();
        match part {
            Part::Literal(text) => {
                filter.text.push_str(text);
                continue;
            }
            Part::Date(format, zone) => filter.text.push_str(&format.format(at, zone)),
            Part::Epoch(1) => filter.text.push_str(&at.millis().div_euclid(1000).to_string()),
            Part::Epoch(1_000_000) => filter.text.push_str(&at.millis().saturating_mul(1000).to_string()),
            Part::Epoch(_) => filter.text.push_str(&at.millis().to_string()),
        }
        filter.macros.push(from..filter.text.len());
    }
    filter
}

/// The query's names and values. `&` and `=` within macros separate nothing.
fn pairs(query: &str) -> Result<Vec<(String, Vec<Part>)>, TemplateError> {
    let mut pairs = Vec::new();
    let (mut name, mut value): (Option<String>, Vec<Part>) = (None, Vec::new());
    let mut literal = String::new();
    let mut rest = query;
    loop {
        let stop = rest.find(['&', '=', '$']).unwrap_or(rest.len());
        literal.push_str(&rest[..stop]);
        rest = &rest[stop..];
        if let Some(body) = rest.strip_prefix("${") {
            if name.is_none() {
                return Err(TemplateError::MisplacedMacro);
            }
            let length = macro_length(body).ok_or(TemplateError::OpenMacro)?;
            value.push(Part::Literal(decoded(&std::mem::take(&mut literal))));
            value.push(read_macro(&body[..length])?);
            rest = &body[length + 1..];
            continue;
        }
        match rest.chars().next() {
            Some('=') if name.is_none() => name = Some(decoded(&std::mem::take(&mut literal))),
            Some(separator @ ('=' | '$')) => literal.push(separator),
            end => {
                let text = decoded(&std::mem::take(&mut literal));
                match name.take() {
                    Some(name) => {
                        value.push(Part::Literal(text));
                        pairs.push((name, std::mem::take(&mut value)));
                    }
                    None if text.is_empty() => {}
                    None => pairs.push((text, Vec::new())),
                }
                if end.is_none() {
                    return Ok(pairs);
                }
            }
        }
        rest = &rest[1..];
    }
}

/// The length of a macro's inside. The zone of `dateTimeZone` may stand in braces of its own.
fn macro_length(body: &str) -> Option<usize> {
    let zone = match body.strip_prefix("dateTimeZone:{") {
        Some(after) => "dateTimeZone:{".len() + after.find('}')? + 1,
        None => 0,
    };
    Some(zone + body[zone..].find('}')?)
}

fn read_macro(body: &str) -> Result<Part, TemplateError> {
    /// What bare `${date}` means: ISO 8601 in UTC.
    const ISO: &str = "yyyy-MM-dd'T'HH:mm:ss'Z'";
    let unknown = || TemplateError::UnknownMacro(body.chars().take(64).collect());
    let (name, argument) = body.split_once(':').map_or((body, None), |(name, argument)| (name, Some(argument)));
    match (name, argument) {
        ("date" | "gmtDate", format) => Ok(Part::Date(DateFormat::parse(format.unwrap_or(ISO))?, TimeZone::UTC)),
        ("dateTimeZone", Some(argument)) => {
            let (zone, format) = split_zone(argument).ok_or_else(unknown)?;
            Ok(Part::Date(DateFormat::parse(format)?, zone::parse(zone)?))
        }
        ("epoch", None | Some("ms")) => Ok(Part::Epoch(1000)),
        ("epoch", Some("s")) => Ok(Part::Epoch(1)),
        ("epoch", Some("us")) => Ok(Part::Epoch(1_000_000)),
        _ => Err(unknown()),
    }
}

/// `{MST}:FMT`, or `MST:FMT`, or `-6:00:FMT`.
fn split_zone(argument: &str) -> Option<(&str, &str)> {
    if let Some(after) = argument.strip_prefix('{') {
        let (zone, format) = after.split_once('}')?;
        return Some((zone, format.strip_prefix(':')?));
    }
    let is_offset = argument.starts_with(['+', '-']);
    let skipped = if is_offset { argument.find(':')? + 1 } else { 0 };
    let end = skipped + argument[skipped..].find(':')?;
    Some((&argument[..end], &argument[end + 1..]))
}

/// Percent escapes resolved. `+` stays, since dates have it (`+0000`).
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escape = || {
            let digits = text.get(at + 1..at + 3)?;
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
        };
        match (byte, escape()) {
            (b'%', Some(escaped)) => {
                decoded.push(escaped);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tuesday, 5 March 2019, 21:40:11.123 UTC.
    const AT: Timestamp = Timestamp::from_millis(1_551_822_011_123);

    fn expanded(url: &str) -> HubQuery {
        UrlTemplate::parse(url).expect(url).expand(AT)
    }

    #[test]
    fn the_documented_macros_are_filled_in() {
        for (clause, filled) in [
            (
                "min_date_modified='${date:EEE, dd MMM yyyy HH:mm:ss Z}'",
                "min_date_modified='Tue, 05 Mar 2019 21:40:11 +0000'",
            ),
            ("lastUpdated>'${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}'", "lastUpdated>'2019-03-05T21:40:11Z'"),
            ("a='${dateTimeZone:{MST}:yyyy-MM-dd HH:mm}'", "a='2019-03-05 14:40'"),
            ("a='${dateTimeZone:{-6:00}:yyyy-MM-dd HH:mm}'", "a='2019-03-05 15:40'"),
            ("a='${dateTimeZone:-6:00:HH:mm}'", "a='15:40'"),
            ("a='${dateTimeZone:America/Chicago:HH:mm}'", "a='15:40'"),
            ("a='${date}'", "a='2019-03-05T21:40:11Z'"),
            ("a=${epoch}", "a=1551822011123"),
            ("a=${epoch:s} AND b=${epoch:us}", "a=1551822011 AND b=1551822011123000"),
            ("a%3D%27%C3%A4%27%20AND%20b='$5'", "a='ä' AND b='$5'"),
            ("a LIKE '%x%'", "a LIKE '%x%'"),
        ] {
            let filter = expanded(&format!("/hubs/ecommerce/orders?where={clause}")).filter.expect("a filter");
            assert_eq!(filter.text, filled);
        }
        let filter = expanded("/orders?where=a='${epoch:s}'").filter.expect("a filter");
        assert_eq!(&filter.text[filter.macros[0].clone()], "1551822011");
    }

    #[test]
    fn the_hub_s_name_does_not_matter() {
        for url in
            ["/hubs/crap/orders", "/orders", "orders/", "hubs/crm/orders", "/elements/api-v2/hubs/ecommerce/orders?"]
        {
            assert_eq!(expanded(url).path.segments(), ["orders"], "{url}");
        }
        assert_eq!(expanded("/hubs/x/v3/catalog/products").path.segments(), ["v3", "catalog", "products"]);
    }

    #[test]
    fn other_parameters_are_kept() {
        let query = expanded("/hubs/ecommerce/orders?status_id=11&where=a='1'&since=${epoch:s}&flag");
        let parameters = [("status_id", "11"), ("since", "1551822011"), ("flag", "")];
        assert_eq!(query.parameters, parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(expanded("/orders?where=%20").filter, None);
    }

    #[test]
    fn urls_that_lead_elsewhere_or_nowhere_are_refused() {
        for (url, error) in [
            ("https://evil.example/hubs/ecommerce/orders", TemplateError::LeavesHost),
            ("//evil.example/orders", TemplateError::LeavesHost),
            ("/hubs/ecommerce/../../v2/store", TemplateError::LeavesHost),
            ("/hubs/ecommerce/%2e%2e/store", TemplateError::LeavesHost),
            (r"/\evil.example/orders", TemplateError::LeavesHost),
            ("user@evil.example", TemplateError::LeavesHost),
            ("/orders#x", TemplateError::LeavesHost),
            ("", TemplateError::NoResource),
            ("/hubs/ecommerce", TemplateError::NoResource),
            ("/hubs/ecommerce/", TemplateError::NoResource),
            ("/hubs/ecommerce//orders", TemplateError::NoResource),
            ("/or ders", TemplateError::NoResource),
            ("/a/b/c/d/e/f/g/h/i", TemplateError::NoResource),
            ("/${date}/orders", TemplateError::MisplacedMacro),
            ("/orders?${date}=x", TemplateError::MisplacedMacro),
            ("/orders?where=a='${date:yyyy'", TemplateError::OpenMacro),
            ("/orders?where=a='${dateTimeZone:{MST:yyyy'", TemplateError::OpenMacro),
            ("/orders?where=a='${now}'", TemplateError::UnknownMacro("now".to_owned())),
            ("/orders?where=a='${epoch:min}'", TemplateError::UnknownMacro("epoch:min".to_owned())),
            ("/orders?where=a='${date:bogus}'", TemplateError::Format(FormatError::UnknownLetter('b'))),
            ("/orders?where=a='${dateTimeZone:{Moon}:yyyy}'", TemplateError::Zone(UnknownZone)),
            ("/orders?where=a='1'&where=b='2'", TemplateError::SecondWhere),
            ("/orders\n", TemplateError::Malformed),
        ] {
            // Trimmed at the ends, a control character elsewhere is refused.
            let url = url.replace('\n', "\nx");
            assert_eq!(UrlTemplate::parse(&url).map(|_| ()), Err(error), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_url_panics_or_leaves(
            url in "\\PC{0,80}|[a-z/?&='%.${}:\\\\@# -]{0,60}|(/|\\.\\.|%2e|hubs|x|\\?|where=|&|\\$\\{|date|:|\\}|epoch|'){0,24}",
            millis: i64
        ) {
            if let Ok(template) = UrlTemplate::parse(&url) {
                let query = template.expand(Timestamp::from_millis(millis));
                for segment in query.path.segments() {
                    prop_assert!(segment != ".." && segment != "." && !segment.contains(['/', '\\', ':', '?', '#']));
                }
                if let Some(filter) = query.filter {
                    for range in filter.macros {
                        prop_assert!(filter.text.get(range).is_some());
                    }
                }
            }
        }
    }
}
