//! Parses dates field by field, as `SimpleDateFormat.parse` does.

use jiff::{
    civil,
    tz::{Offset, TimeZone},
};

use super::letters::{DAYS, MONTHS, is_number};
use crate::{clock::Timestamp, elements::zone::read_offset};

/// Skips a literal of the pattern. A space in it matches any number of spaces, at least one.
pub fn skip_literal<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    let mut rest = text;
    let mut chars = literal.chars().peekable();
    while let Some(expected) = chars.next() {
        if expected.is_whitespace() {
            while chars.next_if(|next| next.is_whitespace()).is_some() {}
            let trimmed = rest.trim_start();
            if trimmed.len() == rest.len() {
                return None;
            }
            rest = trimmed;
        } else {
            rest = rest.strip_prefix(expected)?;
        }
    }
    Some(rest)
}

/// The fields of a date read so far.
#[derive(Debug, Default)]
pub struct Parts {
    year: Option<i16>,
    is_before_christ: bool,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: Option<i8>,
    half_day_hour: Option<i8>,
    is_afternoon: Option<bool>,
    minute: i8,
    second: i8,
    millisecond: i32,
    offset: Option<Offset>,
}

impl Parts {
    /// Reads one field from the beginning of `text` and returns the rest. With `abuts` a number follows directly, so
    /// this one has exactly its width.
    pub fn read<'a>(&mut self, letter: char, width: usize, abuts: bool, text: &'a str) -> Option<&'a str> {
        if is_number(letter, width) {
            return self.read_number(letter, width, abuts, text.trim_start());
        }
        match letter {
            'M' | 'L' => {
                let (index, rest) = named(text, &MONTHS)?;
                self.month = i8::try_from(index + 1).ok();
                Some(rest)
            }
            // Skipped: the day of the week follows from the date.
            'E' => named(text, &DAYS).map(|(_, rest)| rest),
            'a' => {
                let (is_afternoon, rest) = one_of(text, &[("AM", false), ("PM", true)])?;
                self.is_afternoon = Some(is_afternoon);
                Some(rest)
            }
            'G' => {
                let (is_before, rest) = one_of(text, &[("AD", false), ("BC", true)])?;
                self.is_before_christ = is_before;
                Some(rest)
            }
            _ => {
                let (offset, rest) = read_offset(text.trim_start())?;
                self.offset = Some(offset);
                Some(rest)
            }
        }
    }

    fn read_number<'a>(&mut self, letter: char, width: usize, abuts: bool, text: &'a str) -> Option<&'a str> {
        let limit = if abuts { width.min(9) } else { 9 };
        let length = text.bytes().take(limit).take_while(u8::is_ascii_digit).count();
        if length == 0 || (abuts && length < limit) {
            return None;
        }
        let (digits, rest) = text.split_at(length);
        let number: i32 = digits.parse().ok()?;
        let small =
            |range: std::ops::RangeInclusive<i32>| range.contains(&number).then(|| i8::try_from(number).ok())?;
        match letter {
            'y' | 'Y' => self.year = Some(year(i16::try_from(number).ok()?, width <= 2 && length == 2)),
            'M' | 'L' => self.month = Some(small(1..=12)?),
            'd' => self.day = Some(small(1..=31)?),
            'D' => self.day_of_year = Some(i16::try_from(number).ok()?),
            'H' => self.hour = Some(small(0..=23)?),
            'k' => self.hour = Some(small(1..=24)? % 24),
            'K' => self.half_day_hour = Some(small(0..=11)?),
            'h' => self.half_day_hour = Some(small(1..=12)? % 12),
            'm' => self.minute = small(0..=59)?,
            's' => self.second = small(0..=59)?,
            'S' => self.millisecond = digits.get(..3).unwrap_or(digits).parse().ok()?,
            _ => {}
        }
        // A fraction may have more digits than were read; they are skipped.
        Some(if letter == 'S' && !abuts { rest.trim_start_matches(|c: char| c.is_ascii_digit()) } else { rest })
    }

    /// The time that the fields describe together.
    pub fn moment(self, zone: &TimeZone) -> Option<Timestamp> {
        let year = self.year.unwrap_or(1970);
        let year = if self.is_before_christ { 1 - year } else { year };
        let date = match self.day_of_year {
            Some(day) if self.month.is_none() && self.day.is_none() => {
                civil::Date::new(year, 1, 1).ok()?.with().day_of_year(day).build().ok()?
            }
            _ => civil::Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        let half_day = || self.half_day_hour.map(|hour| hour + if self.is_afternoon == Some(true) { 12 } else { 0 });
        let hour = self.hour.or_else(half_day).unwrap_or(0);
        let time = civil::Time::new(hour, self.minute, self.second, self.millisecond * 1_000_000).ok()?;
        let zone = self.offset.map_or_else(|| zone.clone(), TimeZone::fixed);
        let moment = zone.to_timestamp(civil::DateTime::from_parts(date, time)).ok()?;
        Some(Timestamp::from_millis(moment.as_millisecond()))
    }
}

/// Takes a two-digit year as one from 1970 to 2069. (Java: from 80 years ago to 20 years ahead.)
fn year(number: i16, is_short: bool) -> i16 {
    match number {
        0..70 if is_short => 2000 + number,
        70..100 if is_short => 1900 + number,
        _ => number,
    }
}

/// Reads a name, or its first three letters, whatever the case, from the beginning of `text`.
fn named<'a>(text: &'a str, names: &[&str]) -> Option<(usize, &'a str)> {
    let with = |shortened: bool| {
        names.iter().enumerate().find_map(|(index, name)| {
            let name = if shortened { &name[..3] } else { name };
            let head = text.get(..name.len())?;
            head.eq_ignore_ascii_case(name).then(|| (index, &text[name.len()..]))
        })
    };
    with(false).or_else(|| with(true))
}

fn one_of<'a, T: Copy>(text: &'a str, words: &[(&str, T)]) -> Option<(T, &'a str)> {
    words.iter().find_map(|(word, meaning)| {
        let head = text.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then(|| (*meaning, &text[word.len()..]))
    })
}
