//! Java's date patterns, as poller configurations use them: formatting and parsing dates. Pure.
//!
//! Source: `java.text.SimpleDateFormat`, English names. Differences are noted where they occur.

mod letters;
mod read;

use std::iter::Peekable;

use jiff::{
    civil::Weekday,
    tz::{Offset, TimeZone},
};
use letters::{DAYS, MONTHS, is_number};
use read::{Parts, skip_literal};
use serde_json::Value;

use super::zone;
use crate::clock::Timestamp;

/// Longest pattern that is parsed; those in use are shorter.
const MAX_PATTERN: usize = 256;
/// The word that, in place of a pattern, stands for milliseconds since 1970.
const MILLISECONDS: &str = "milliseconds";

/// Java's pattern letters, except those that count weeks.
const LETTERS: &str = "GyYMLDdEuaHkKhmsSzZX";

/// A date format, parsed and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Milliseconds,
    Pattern(Vec<Item>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    Field { letter: char, width: usize },
}

/// Why a text is not a date format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The pattern is empty.
    #[error("the date format is empty")]
    Empty,
    /// The pattern is longer than 256 bytes.
    #[error("the date format is too long")]
    TooLong,
    /// The letter has no meaning in Java.
    #[error("`{0}` is no date letter (literal text goes between single quotes)")]
    UnknownLetter(char),
    /// The letter counts weeks of the year or month, which does not give a date by itself.
    #[error("the date letter `{0}` (a count of weeks) is not supported")]
    Unsupported(char),
    /// A quote is not closed.
    #[error("a single quote is opened and not closed")]
    Unbalanced,
    /// `X` is repeated more than three times.
    #[error("`X` may come one to three times in a row")]
    TooManyX,
}

impl DateFormat {
    /// Parses a pattern, or the word `milliseconds`. A lone quote at the very end is ignored, since the vendor's own
    /// example has one (`yyyy-MM-dd'T'HH:mm:ss'`).
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn parse(pattern: &str) -> Result<Self, FormatError> {
        if pattern.trim().is_empty() {
            return Err(FormatError::Empty);
        }
        if pattern.len() > MAX_PATTERN {
            return Err(FormatError::TooLong);
        }
        if pattern.trim().eq_ignore_ascii_case(MILLISECONDS) {
            return Ok(Self(Kind::Milliseconds));
        }
        let mut items = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(first) = chars.next() {
            match first {
                '\'' => push_literal(&mut items, &quoted(&mut chars)?),
                'A'..='Z' | 'a'..='z' => {
                    let mut width = 1;
                    while chars.next_if_eq(&first).is_some() {
                        width += 1;
                    }
                    items.push(field(first, width)?);
                }
                other => push_literal(&mut items, other.encode_utf8(&mut [0; 4])),
            }
        }
        if items.is_empty() { Err(FormatError::Empty) } else { Ok(Self(Kind::Pattern(items))) }
    }

    /// Formats a time, as clocks in `zone` show it.
    pub fn format(&self, at: Timestamp, zone: &TimeZone) -> String {
        let items = match &self.0 {
            Kind::Milliseconds => return at.millis().to_string(),
            Kind::Pattern(items) => items,
        };
        let zoned = moment(at).to_zoned(zone.clone());
        let mut text = String::new();
        for item in items {
            match item {
                Item::Literal(literal) => text.push_str(literal),
                Item::Field { letter, width } => text.push_str(&formatted(*letter, *width, &zoned)),
            }
        }
        text
    }

    /// Parses a date. Text after the end of the pattern is ignored, as in Java. A date without a zone of its own is
    /// read in `zone`. `None` if the text does not fit, or names no date (31 June).
    pub fn read(&self, text: &str, zone: &TimeZone) -> Option<Timestamp> {
        let items = match &self.0 {
            Kind::Milliseconds => return text.trim().parse().ok().map(Timestamp::from_millis),
            Kind::Pattern(items) => items,
        };
        let mut parts = Parts::default();
        let mut rest = text.trim_start();
        for (at, item) in items.iter().enumerate() {
            rest = match item {
                Item::Literal(literal) => skip_literal(rest, literal)?,
                Item::Field { letter, width } => {
                    let abuts =
                        matches!(items.get(at + 1), Some(Item::Field { letter, width }) if is_number(*letter, *width));
                    parts.read(*letter, *width, abuts, rest)?
                }
            };
        }
        parts.moment(zone)
    }

    /// Like [`Self::read`], from a JSON string or number.
    pub fn read_json(&self, value: &Value, zone: &TimeZone) -> Option<Timestamp> {
        match (value, &self.0) {
            (Value::String(text), _) => self.read(text, zone),
            (Value::Number(number), Kind::Milliseconds) => match number.as_i64() {
                Some(millis) => Some(Timestamp::from_millis(millis)),
                // Truncated: fractions of a millisecond do not matter. The cast saturates.
                None => number.as_f64().map(|millis| Timestamp::from_millis(millis as i64)),
            },
            (Value::Number(number), Kind::Pattern(_)) => self.read(&number.to_string(), zone),
            _ => None,
        }
    }
}

/// The time for the calendar; times beyond its range become its first or last.
pub(super) fn moment(at: Timestamp) -> jiff::Timestamp {
    let edge = if at.millis() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(at.millis()).unwrap_or(edge)
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(literal)) => literal.push_str(text),
        _ if text.is_empty() => {}
        _ => items.push(Item::Literal(text.to_owned())),
    }
}

/// Reads the text after an opening quote, up to the closing one; `''` is one quote, within quotes and outside.
fn quoted(chars: &mut Peekable<std::str::Chars<'_>>) -> Result<String, FormatError> {
    if chars.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    let mut text = String::new();
    let mut is_first = true;
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') => return Ok(text),
            Some(other) => text.push(other),
            // A lone quote at the end of the pattern.
            None if is_first => return Ok(text),
            None => return Err(FormatError::Unbalanced),
        }
        is_first = false;
    }
}

fn field(letter: char, width: usize) -> Result<Item, FormatError> {
    match letter {
        'w' | 'W' | 'F' => return Err(FormatError::Unsupported(letter)),
        'X' if width > 3 => return Err(FormatError::TooManyX),
        _ if LETTERS.contains(letter) => {}
        _ => return Err(FormatError::UnknownLetter(letter)),
    }
    Ok(Item::Field { letter, width })
}

fn formatted(letter: char, width: usize, at: &jiff::Zoned) -> String {
    let number = |number: i64| format!("{number:0width$}");
    let name = |name: &'static str| if width >= 4 { name.to_owned() } else { name[..3].to_owned() };
    let hour = i64::from(at.hour());
    match letter {
        'G' => if at.year() > 0 { "AD" } else { "BC" }.to_owned(),
        // `Y`, the year that weeks are counted in, is usually written by mistake for the year, and read as that.
        'y' | 'Y' if width == 2 => format!("{:02}", at.year().rem_euclid(100)),
        'y' | 'Y' => number(i64::from(at.year().unsigned_abs())),
        'M' | 'L' if width < 3 => number(at.month().into()),
        'M' | 'L' => name(MONTHS[usize::from(at.month().unsigned_abs().clamp(1, 12)) - 1]),
        'D' => number(at.day_of_year().into()),
        'd' => number(at.day().into()),
        'E' => name(DAYS[weekday_index(at.weekday())]),
        'u' => number(at.weekday().to_monday_one_offset().into()),
        'a' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        'H' => number(hour),
        'k' => number(if hour == 0 { 24 } else { hour }),
        'K' => number(hour % 12),
        'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }),
        'm' => number(at.minute().into()),
        's' => number(at.second().into()),
        // With more than three digits, stores read a fraction: zeros are appended (Java puts them in front).
        'S' if width > 3 => format!("{:03}{}", at.millisecond(), "0".repeat(width - 3)),
        'S' => number(at.millisecond().into()),
        'z' => zone::abbreviation(at),
        'Z' => zone::offset_text(at.offset(), false),
        _ => iso_offset(at.offset(), width),
    }
}

fn weekday_index(day: Weekday) -> usize {
    usize::from(day.to_monday_zero_offset().unsigned_abs().min(6))
}

/// `X`, `XX` and `XXX`: `Z` for UTC, else `+02`, `+0200`, `+02:00`.
fn iso_offset(offset: Offset, width: usize) -> String {
    if offset.seconds() == 0 {
        return "Z".to_owned();
    }
    let mut text = zone::offset_text(offset, width == 3);
    if width == 1 {
        text.truncate(3);
    }
    text
}

#[cfg(test)]
mod tests;
