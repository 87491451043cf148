//! The terminal: its width, text wrapped at words, and notes on standard error.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};

use crate::humanize;

/// The least width of a terminal at which wrapping helps.
const MIN_COLUMN: usize = 24;

/// Prints to standard error, if it can be written, without moving the cursor.
pub fn print_note(text: impl std::fmt::Display) {
    let text = text.to_string();
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(humanize::printable).collect();
    let _ = writeln!(io::stderr(), "{}", wrapped(&lines.join("\n"), width(io::stderr())));
}

/// The width of the terminal in characters; `None` without a terminal.
pub(super) fn width(output: impl AsFd + IsTerminal) -> Option<usize> {
    if !output.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(output).ok()?.ws_col;
    Some(usize::from(columns)).filter(|columns| *columns >= MIN_COLUMN)
}

/// Text with line feeds between words, so that no line is longer than `width` unless a word is. Continued lines are
/// indented like the first.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let wrap = |line: &str| {
        let words = line.trim_start_matches(' ');
        let indent = line.len() - words.len();
        let (mut wrapped, mut column) = (" ".repeat(indent), indent);
        for (number, word) in words.split(' ').enumerate() {
            let length = word.chars().count();
            if number > 0 && column + 1 + length > width {
                wrapped.push('\n');
                wrapped.push_str(&" ".repeat(indent));
                column = indent;
            } else if number > 0 {
                wrapped.push(' ');
                column += 1;
            }
            wrapped.push_str(word);
            column += length;
        }
        wrapped
    };
    text.split('\n').map(wrap).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_words_and_keeps_its_indentation() {
        assert_eq!(wrapped("one two three", None), "one two three");
        assert_eq!(wrapped("one two three", Some(8)), "one two\nthree");
        assert_eq!(wrapped("  one two three\nfour", Some(9)), "  one two\n  three\nfour");
        assert_eq!(wrapped("unbreakable word", Some(4)), "unbreakable\nword");
        assert_eq!(wrapped("", Some(4)), "");
    }
}
