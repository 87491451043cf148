//! The output of commands, with the same words with and without a terminal. On a terminal, text is wrapped at words;
//! programs can ask for JSON.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde::Serialize;

use super::{
    failure::CommandError,
    terminal::{width, wrapped},
};
use crate::humanize;

/// Prints a line, or several if the text has line feeds. Leaves colours out where they cannot be shown or are not
/// wanted (`NO_COLOR`).
pub(super) fn line(text: impl std::fmt::Display) -> Result<(), CommandError> {
    let text = wrapped(&text.to_string(), width(io::stdout()));
    written(writeln!(anstream::stdout(), "{text}"))
}

/// Prints text unchanged.
pub(super) fn raw(text: &[u8]) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text).and_then(|()| stdout.flush()))
}

/// A closed pipe (`| head`) is not a failure; a full disk is.
fn written(done: io::Result<()>) -> Result<(), CommandError> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::failed(format_args!("the output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints JSON, indented for people. Characters that could deceive a terminal are written as JSON escapes.
pub(super) fn json(value: &impl Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value).map_err(CommandError::failed)?;
    let mut shown = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c != '\n' && humanize::is_unprintable(c) {
            // The surrogate pair of a character beyond the basic plane.
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown.push('\n');
    raw(shown.as_bytes())
}

/// Prints rows in columns under a head.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), CommandError> {
    raw_lines(&columns(head, rows, width(io::stdout())))
}

/// Like [`table`], with the first column in colour; `colour` chooses it by the text.
pub(super) fn painted_table<const N: usize>(
    head: [&str; N],
    rows: &[[String; N]],
    colour: impl Fn(&str) -> &'static str,
) -> Result<(), CommandError> {
    let table = columns(head, rows, width(io::stdout()));
    let paint = |line: &str| match line.split_once(' ') {
        Some((word, rest)) if !word.is_empty() => format!("{}{word}\x1b[0m {rest}", colour(word)),
        _ => line.to_owned(),
    };
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default().to_owned();
    raw_lines(&std::iter::once(head).chain(lines.map(paint)).collect::<Vec<_>>().join("\n"))
}

fn raw_lines(text: &str) -> Result<(), CommandError> {
    written(writeln!(anstream::stdout(), "{text}"))
}

/// The least width of a table's last column in which it is wrapped.
const LEAST_ROOM: usize = 12;

/// The columns of a table, two spaces apart; the last one wrapped at words where the terminal is too narrow for it.
fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]], width: Option<usize>) -> String {
    let shown: Vec<[Cow<'_, str>; N]> =
        rows.iter().map(|row| std::array::from_fn(|column| humanize::printable(&row[column]))).collect();
    let length = |text: &str| text.chars().count();
    let widths: [usize; N] = std::array::from_fn(|column| {
        shown.iter().map(|row| length(&row[column])).chain([length(head[column])]).max().unwrap_or_default()
    });
    let before: usize = widths.iter().take(N.saturating_sub(1)).map(|width| width + 2).sum();
    let room = width.and_then(|width| width.checked_sub(before)).filter(|room| *room >= LEAST_ROOM);
    let print = |cells: [&str; N]| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
            if column + 1 == N {
                let indented = format!("\n{:before$}", "");
                line.push_str(&wrapped(cell, room).replace('\n', &indented));
            } else {
                line.push_str(&format!("{cell:<width$}  "));
            }
        }
        line.trim_end().to_owned()
    };
    let body = shown.iter().map(|row| print(std::array::from_fn(|column| &*row[column])));
    std::iter::once(print(head)).chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_wraps_under_itself() {
        let rows = [["1", "a b"], ["22", "what came\u{1b}[2J from outside is long"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            columns(["ID", "NAME"], &rows, None),
            "ID  NAME\n1   a b\n22  what came\\u{1b}[2J from outside is long"
        );
        assert_eq!(
            columns(["ID", "NAME"], &rows, Some(29)),
            "ID  NAME\n1   a b\n22  what came\\u{1b}[2J from\n    outside is long"
        );
    }
}
