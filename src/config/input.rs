//! The value of a variable before it is parsed: where it came from, whether it is set, and how its faults are reported.

use std::{ffi::OsString, path::PathBuf};

use super::fault::Fault;

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The variable's own text.
    Own(OsString),
    /// The content of the file that its `_FILE` twin names, trimmed, and the file's path.
    OfFile(OsString, PathBuf),
    /// The file cannot be used, or both variables are set: the variable to blame, and what is wrong.
    Unusable(&'static str, String),
}

impl From<OsString> for Value {
    fn from(text: OsString) -> Self {
        Self::Own(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Own(text.into())
    }
}

/// A variable for the parsers, with its default filled in.
pub(super) struct Input {
    /// The name of the variable that was set: the plain one or the `_FILE` one.
    pub name: &'static str,
    /// The text to read: what was set, or the default.
    pub text: Option<String>,
    /// Why there is no text although a variable is set.
    pub problem: Option<String>,
    /// Whether the operator has set it.
    pub is_set: bool,
    /// The file that the text was read from.
    pub file: Option<PathBuf>,
    /// Whether its text must not be shown.
    pub is_secret: bool,
}

/// Why a text was refused.
pub(super) struct Rejection {
    message: String,
    /// The message already quotes the part that is wrong.
    is_quoted: bool,
}

impl From<&str> for Rejection {
    fn from(message: &str) -> Self {
        Self { message: message.to_owned(), is_quoted: false }
    }
}

impl From<String> for Rejection {
    fn from(message: String) -> Self {
        Self { message, is_quoted: false }
    }
}

impl Rejection {
    /// The fault of one item in a list that is not secret.
    pub fn of_item(item: &str, message: &str) -> Self {
        let shown = if may_be_secret(item) { "an entry that looks like a secret".to_owned() } else { quoted(item) };
        Self { message: format!("{shown} {message}"), is_quoted: true }
    }
}

/// Longer words that look random are taken for secrets; a store hash is about ten characters long.
const LONGEST_WORD: usize = 24;

/// Whether a value may hold a secret that was meant for another variable: a password before an `@`, or a token.
fn may_be_secret(text: &str) -> bool {
    let is_token = |word: &str| {
        word.len() > LONGEST_WORD && (!word.contains('-') || word.bytes().any(|byte| byte.is_ascii_digit()))
    };
    text.contains('@') || text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_+=".contains(c)).any(is_token)
}

/// A value for a message: one line, at most 100 characters, without control characters.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(100).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    let mut quoted = String::from("`");
    for c in shown.chars() {
        match c {
            '"' | '\'' | '\\' => quoted.push(c),
            _ => quoted.extend(c.escape_debug()),
        }
    }
    quoted + cut + "`"
}

/// A parsed value, or why the text was refused.
pub(super) type Parsed<T> = Result<T, Rejection>;

impl Input {
    /// Reads a variable that must be set or have a default. `None` exactly when a fault was added.
    pub fn required<T>(&self, faults: &mut Vec<Fault>, read: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        if !self.is_given() {
            self.fault(faults, "is required and not set");
        }
        self.optional(faults, read)
    }

    /// Reads a variable that may be unset.
    pub fn optional<T>(&self, faults: &mut Vec<Fault>, read: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        if let Some(problem) = &self.problem {
            self.fault(faults, problem);
            return None;
        }
        let text = self.text.as_deref()?;
        match read(text) {
            Ok(value) => Some(value),
            Err(rejection) => {
                let value = match () {
                    () if rejection.is_quoted || self.is_secret => String::new(),
                    () if may_be_secret(text) => "; the value is not shown, since it may hold a secret".to_owned(),
                    () => format!("; it is {}", quoted(text)),
                };
                let content = |path: &PathBuf| format!("the content of {}: ", quoted(&path.to_string_lossy()));
                let of_file = self.file.as_ref().map(content).unwrap_or_default();
                self.fault(faults, of_file + &rejection.message + &value);
                None
            }
        }
    }

    /// Whether a text or a file was given, valid or not.
    pub fn is_given(&self) -> bool {
        self.text.is_some() || self.problem.is_some()
    }

    /// Adds a fault for this variable.
    pub fn fault(&self, faults: &mut Vec<Fault>, message: impl Into<String>) {
        faults.push(Fault { variable: self.name, message: message.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_on_one_line_and_cut() {
        assert_eq!(quoted("\"a\u{1b}[31m\nb"), "`\"a\\u{1b}[31m\\nb`");
        assert_eq!(quoted(&"x".repeat(101)), format!("`{}…`", "x".repeat(100)));
    }

    #[test]
    fn what_looks_like_a_token_may_be_a_secret() {
        let token = "s2bl3m1ok9j5k7q8w4x6z0a1b2c3d4e";
        for text in [token, "user:x@host", &format!("https://example.com/{token}/x"), &"x".repeat(25)] {
            assert!(may_be_secret(text), "{text}");
        }
        let harmless = "https://the-relay-of-the-shop-in-staging.example.com:8443/stores/abcde";
        for text in [harmless, "stores/abcde", "info,onetribe_relay=debug", "api.bigcommerce.com"] {
            assert!(!may_be_secret(text), "{text}");
        }
    }
}
