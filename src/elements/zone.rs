//! Time zones as poller configurations and dates write them: `GMT`, `MST`, `-6:00`, `GMT+2`, `America/Chicago`. Pure.

use jiff::{
    Zoned,
    tz::{Offset, TimeZone},
};

/// The text names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such time zone (`GMT`, `-6:00` and names such as `America/Chicago` are)")]
pub struct UnknownZone;

/// Zone names that stand for a fixed offset in dates, in hours (RFC 822, section 5.1).
const FIXED: [(&str, i8); 13] = [
    ("GMT", 0),
    ("UTC", 0),
    ("UT", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("HST", -10),
    ("Z", 0),
];

/// Java's short ids that stand for a place, with daylight saving time (`java.time.ZoneId.SHORT_IDS`).
const PLACES: [(&str, &str); 9] = [
    ("PST", "America/Los_Angeles"),
    ("CST", "America/Chicago"),
    ("AST", "America/Anchorage"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("ECT", "Europe/Paris"),
    ("AET", "Australia/Sydney"),
    ("NST", "Pacific/Auckland"),
    ("CTT", "Asia/Shanghai"),
];

/// The zone with this name.
///
/// # Errors
/// [`UnknownZone`]. (Java falls back to UTC silently.)
pub fn parse(name: &str) -> Result<TimeZone, UnknownZone> {
    let name = name.trim();
    if let Some((_, place)) = PLACES.iter().find(|(short, _)| name.eq_ignore_ascii_case(short)) {
        return TimeZone::get(place).map_err(|_| UnknownZone);
    }
    match read_offset(name) {
        Some((Offset::UTC, "")) => return Ok(TimeZone::UTC),
        Some((offset, "")) => return Ok(TimeZone::fixed(offset)),
        _ => {}
    }
    let is_name = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
    if !is_name || name.is_empty() {
        return Err(UnknownZone);
    }
    TimeZone::get(name).map_err(|_| UnknownZone)
}

/// Reads an offset, or a name that stands for one, from the beginning of `text` and returns the rest: `+0000`,
/// `+00:00`, `-6:00`, `+02`, `Z`, `GMT`, `GMT-06:00`, `PDT`.
pub fn read_offset(text: &str) -> Option<(Offset, &str)> {
    let word = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    if word == 0 {
        return numeric(text);
    }
    let (name, rest) = text.split_at(word);
    let (_, hours) = FIXED.iter().find(|(fixed, _)| fixed.eq_ignore_ascii_case(name))?;
    let is_utc = *hours == 0 && word > 1;
    match numeric(rest) {
        Some(offset) if is_utc => Some(offset),
        _ => Some((Offset::from_hours(*hours).ok()?, rest)),
    }
}

/// Reads a sign, one or two digits of hours, and minutes with or without a colon.
fn numeric(text: &str) -> Option<(Offset, &str)> {
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = &text[1..];
    let digits = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let (head, mut rest) = rest.split_at(digits);
    let (hours, minutes) = match digits {
        1 | 2 => (head, ""),
        3 | 4 => head.split_at(digits - 2),
        _ => return None,
    };
    let mut minutes: i32 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    if digits <= 2
        && let Some(after) = rest.strip_prefix(':')
        && let Some(two) = after.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_digit()))
    {
        minutes = two.parse().ok()?;
        rest = &after[2..];
    }
    let hours: i32 = hours.parse().ok()?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some((Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?, rest))
}

/// Formats an offset as `+0200`, or `+02:00` with a colon.
pub fn offset_text(offset: Offset, has_colon: bool) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    let colon = if has_colon { ":" } else { "" };
    format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
}

/// What Java's `z` prints: `GMT`, `PST`, or `GMT-06:00` where the zone has no name.
pub fn abbreviation(at: &Zoned) -> String {
    if at.time_zone() == &TimeZone::UTC {
        return "GMT".to_owned();
    }
    let name = at.strftime("%Z").to_string();
    if name.bytes().all(|b| b.is_ascii_alphabetic()) && !name.is_empty() {
        return name;
    }
    format!("GMT{}", offset_text(at.offset(), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_every_kind_of_name() {
        for (name, hours) in [
            ("GMT", Some(0)),
            ("utc", Some(0)),
            ("Z", Some(0)),
            ("MST", Some(-7)),
            ("-6:00", Some(-6)),
            ("-06:00", Some(-6)),
            ("+0200", Some(2)),
            ("+2", Some(2)),
            ("GMT-6", Some(-6)),
            ("UTC+01:00", Some(1)),
            ("Asia/Tokyo", Some(9)),
            ("JST", Some(9)),
            ("", None),
            ("Mars/Olympus", None),
            ("../../etc/passwd", None),
            ("+24:00", None),
            ("+2:60", None),
            ("GMT+", None),
            ("<zone>", None),
        ] {
            let offset = parse(name).ok().map(|zone| zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds());
            assert_eq!(offset, hours.map(|hours: i32| hours * 3600), "{name}");
        }
    }

    #[test]
    fn places_keep_their_daylight_saving() {
        let summer: jiff::Timestamp = "2019-07-01T00:00:00Z".parse().expect("a date");
        for (name, hours) in [("PST", -7), ("America/Chicago", -5), ("MST", -7)] {
            assert_eq!(parse(name).expect("a zone").to_offset(summer).seconds(), hours * 3600, "{name}");
        }
    }
}
