//! For people on a terminal: columns and colours. For programs: plain lines, or JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Failure;

/// Prints one line; colours are left out where nobody would see them, or nobody wants them (`NO_COLOR`). A reader that has
/// gone away (`| head`) is no failure of ours.
pub(super) fn line(text: impl std::fmt::Display) {
    drop(writeln!(anstream::stdout(), "{text}"));
}

/// Prints JSON, readable.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Whether people read along.
pub(super) fn for_people() -> bool {
    io::stdout().is_terminal()
}

/// Prints rows in columns on a terminal, separated by tabs otherwise.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    if !for_people() {
        return rows.iter().for_each(|row| line(row.join("\t")));
    }
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let show = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>();
        line(padded.join("  ").trim_end());
    };
    show(head);
    rows.iter().for_each(|row| show(std::array::from_fn(|column| row[column].as_str())));
}
