//! The url of a polled resource: a hub path, a `where` and other parameters, with macros for the time of the last
//! poll. Pure.
//!
//! Source: Cloud Elements, "Polling: macros" (`${date:FMT}`, `${gmtDate:FMT}`, `${dateTimeZone:{zone}:FMT}`,
//! `${epoch}`).

use std::ops::Range;

use jiff::tz::TimeZone;

use super::{
    date_format::{DateFormat, FormatError},
    zone::{self, UnknownZone},
};
use crate::clock::Timestamp;

/// Longest url that is parsed; those in use are shorter.
const MAX_URL: usize = 4096;
/// Most segments of a path.
const MAX_SEGMENTS: usize = 8;
/// Longest segment, in bytes.
const MAX_SEGMENT: usize = 128;

/// Why a url cannot be used for polling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The url is longer than 4,096 bytes, or has control characters.
    #[error("the url is longer than 4,096 bytes or holds control characters")]
    Malformed,
    /// The url names another host, or leaves the store's API.
    #[error("the url leaves the store's host; give a path such as /hubs/ecommerce/orders")]
    LeavesHost,
    /// The url names no resource, or one with characters that no resource has.
    #[error("the url names no resource; give a path such as /hubs/ecommerce/orders")]
    NoResource,
    /// A macro stands outside the values of the query.
    #[error("macros may stand in the values of the url's query only")]
    MisplacedMacro,
    /// A macro is not closed.
    #[error("a macro is not closed by `}}`")]
    OpenMacro,
    /// A macro's name is unknown.
    #[error("`${{{0}}}` is no macro (date, gmtDate, dateTimeZone and epoch are)")]
    UnknownMacro(String),
    /// A macro's date format is invalid.
    #[error("in a macro, {0}")]
    Format(#[from] FormatError),
    /// A macro's time zone is unknown.
    #[error("in a macro, {0}")]
    Zone(#[from] UnknownZone),
    /// The url has more than one `where`.
    #[error("the url has more than one `where`")]
    SecondWhere,
}

/// The path of a resource, without hub and host: `orders`, `orders/12/products`, `v3/catalog/products`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourcePath(Vec<String>);

impl ResourcePath {
    /// Parses the path of a hub call. The hub's name does not matter, and `/orders` is the same as
    /// `/hubs/ecommerce/orders`.
    ///
    /// # Errors
    /// [`TemplateError::LeavesHost`] for anything that could lead elsewhere, [`TemplateError::NoResource`] for a path
    /// that names nothing.
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

    /// The path's segments, at least one.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

/// A `where` whose macros have been filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The text of the clause.
    pub text: String,
    /// The byte ranges of the text that came from macros.
    pub macros: Vec<Range<usize>>,
}

/// A hub call: a resource, and a filter on its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubQuery {
    /// The path of the resource.
    pub path: ResourcePath,
    /// The clause, if there is one.
    pub filter: Option<Filter>,
    /// Query parameters other than `where`.
    pub parameters: Vec<(String, String)>,
}

/// A url template, parsed and checked.
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
    /// Seconds times this number.
    Epoch(i64),
}

impl UrlTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what is wrong.
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

    /// The path of the resource.
    pub fn path(&self) -> &ResourcePath {
        &self.path
    }

    /// The call for everything since `at`: the template with its macros filled in.
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

/// Splits a query into names and values. `&` and `=` within macros do not separate.
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

/// The length of a macro's content. The zone of `dateTimeZone` may be in braces of its own.
fn macro_length(body: &str) -> Option<usize> {
    let zone = match body.strip_prefix("dateTimeZone:{") {
        Some(after) => "dateTimeZone:{".len() + after.find('}')? + 1,
        None => 0,
    };
    Some(zone + body[zone..].find('}')?)
}

fn read_macro(body: &str) -> Result<Part, TemplateError> {
    /// The format of `${date}` without an argument: ISO 8601 in UTC.
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

/// Splits `{MST}:FMT`, `MST:FMT` or `-6:00:FMT` into zone and format.
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

/// Decodes percent escapes. `+` stays as it is, since dates contain it (`+0000`).
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
mod tests;
