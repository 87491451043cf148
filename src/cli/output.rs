//! For people on a terminal: columns and colours. For programs: plain lines, or JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Failure;

/// Prints one line; colours are left out where nobody would see them, or nobody wants them (`NO_COLOR`).
pub(super) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    written(writeln!(anstream::stdout(), "{text}"))
}

/// Prints text as it is.
pub(super) fn raw(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text).and_then(|()| stdout.flush()))
}

/// Says something beside the output, as far as anybody can be told.
pub fn aside(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A reader that has gone away (`| head`) is no failure of ours; a full disk is.
fn written(done: io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("the output cannot be written: {error}").into())
        }
        _ => Ok(()),
    }
}

/// Prints JSON, readable.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value)?)
}

/// Whether people read along.
pub(super) fn for_people() -> bool {
    io::stdout().is_terminal()
}

/// Prints rows in columns on a terminal, separated by tabs otherwise.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    if !for_people() {
        return rows.iter().try_for_each(|row| line(row.join("\t")));
    }
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let show = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>();
        line(padded.join("  ").trim_end())
    };
    show(head)?;
    rows.iter().try_for_each(|row| show(std::array::from_fn(|column| row[column].as_str())))
}
