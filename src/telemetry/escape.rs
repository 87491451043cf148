//! Escapes control characters, and those that reorder or hide the text around them, so that no outside text can
//! control a terminal or forge a line. Catches whatever the formatter lets through.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

use crate::{config::LogFormat, humanize};

/// Expects whole lines, one per write.
pub(super) struct Escaping<W> {
    lines: W,
    format: LogFormat,
}

impl<W> Escaping<W> {
    pub fn new(lines: W, format: LogFormat) -> Self {
        Self { lines, format }
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.lines.write_all(escaped(&text, self.format).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

/// Escapes one line, which ends with a line feed. Keeps the formatter's own colours; the formatter escapes any others
/// itself.
fn escaped(line: &str, format: LogFormat) -> Cow<'_, str> {
    let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
    if !body.contains(humanize::is_unprintable) {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len() + 16);
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        let colour = colour(rest);
        let step = if colour > 0 { colour } else { c.len_utf8() };
        let (piece, next) = rest.split_at(step);
        match format {
            _ if colour == 0 && !humanize::is_unprintable(c) => shown.push(c),
            LogFormat::Pretty if colour > 0 => shown.push_str(piece),
            LogFormat::Pretty => shown.push_str(&humanize::printable(piece)),
            // All of these are in the basic multilingual plane, and occur within strings only.
            LogFormat::Json => piece.chars().for_each(|c| {
                let _ = write!(shown, "\\u{:04x}", u32::from(c));
            }),
        }
        rest = next;
    }
    shown.push_str(end);
    Cow::Owned(shown)
}

/// The length of the colour sequence (`ESC [ 2 m`) at the beginning of a text; 0 if there is none.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\x1b[") else { return 0 };
    let parameters = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
    if rest.as_bytes().get(parameters) == Some(&b'm') { 2 + parameters + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_reorders_or_begins_a_line() {
        for (line, shown) in [
            ("plain, größer, 日本\n", "plain, größer, 日本\n"),
            ("\x1b[2mtime\x1b[0m order\n", "\x1b[2mtime\x1b[0m order\n"),
            ("a\nb\n", "a\\u{a}b\n"),
            ("\x1b[2J\x07\u{9b}\u{202e}\u{2028}\n", "\\u{1b}[2J\\u{7}\\u{9b}\\u{202e}\\u{2028}\n"),
            ("\x1b[1;31", "\\u{1b}[1;31"),
        ] {
            assert_eq!(escaped(line, LogFormat::Pretty), shown);
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let line = format!("{}\n", serde_json::json!({ "message": "a\u{202e}\u{7f}\u{85}\u{2066}b\n\x1b[31m" }));
        let shown = escaped(&line, LogFormat::Json);
        assert!(shown.is_ascii() && !shown.trim_end().contains(char::is_control), "{shown}");
        let [before, after] =
            [&*line, &*shown].map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        assert_eq!(before, after);
    }
}
