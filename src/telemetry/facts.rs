//! Log lines for people: the message, and only those fields that it does not already state. Programs get all fields,
//! in JSON.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use crate::humanize;

/// Formats fields so that each fact appears once.
#[derive(Debug)]
pub(super) struct OnceOnly;

impl<'w> FormatFields<'w> for OnceOnly {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut facts = Facts::default();
        fields.record(&mut facts);
        let (dim, plain) = if writer.has_ansi_escapes() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        writer.write_str(&humanize::printable(&facts.message))?;
        let mut space = if facts.message.is_empty() { "" } else { " " };
        for (name, value) in &facts.fields {
            if !is_told(&facts.message, name, value) {
                write!(writer, "{space}{dim}{name}={plain}{}", humanize::printable(value))?;
                space = " ";
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Facts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Facts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push((name, value.to_owned())),
        }
    }
}

/// Fields that count something: their number, anywhere in a message, is that count.
const COUNTS: [&str; 7] = ["changes", "connections", "count", "dropped_lines", "failures", "missed", "shards"];

/// Whether a message already states the value of a field. A bare number is ambiguous unless it counts something, so it
/// must follow the field's name.
fn is_told(message: &str, name: &str, value: &str) -> bool {
    if value.is_empty() {
        return false;
    }
    let is_number = value.bytes().all(|b| b.is_ascii_digit()) && !COUNTS.contains(&name);
    let wanted = match value.strip_prefix("http_") {
        Some(status) => format!("HTTP {status}"),
        None if is_number => format!("{} {value}", name.trim_end_matches("_id")),
        // A URL's last slash is left out where a path follows.
        None => value.trim_end_matches('/').to_owned(),
    };
    let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    message.match_indices(&wanted).any(|(at, found)| {
        is_apart(message[..at].chars().next_back()) && is_apart(message[at + found.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_message_tells_is_not_told_again_and_nothing_else_is_left_out() {
        let message = "connection 3: order 12: refused: destination: HTTP 422";
        for (name, value, told) in [
            ("connection", "3", true),
            ("order_id", "12", true),
            ("error", "destination: HTTP 422", true),
            ("attempt", "12", false),
            ("connection", "1", false),
            ("order_id", "1", false),
            ("error", "destination: HTTP 42", false),
            ("side", "store", false),
            ("error", "", false),
            ("error", "http_422", true),
            ("error", "http_42", false),
            ("missed", "12", true),
            ("missed", "1", false),
        ] {
            assert_eq!(is_told(message, name, value), told, "{name}={value}");
        }
    }
}
