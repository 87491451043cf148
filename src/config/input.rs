//! One variable's value on its way to the rules: where it came from, whether it is set, and how a fault in it is told.

use std::{collections::BTreeMap, ffi::OsString, io, path::Path};

use super::{Fault, VARIABLES};

/// What a variable holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Its own text.
    Own(OsString),
    /// The content of the file that its `_FILE` twin names, trimmed.
    OfFile(OsString),
    /// The file cannot be used, or both are set: the variable to name, and what is wrong.
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

/// Largest file that a `_FILE` variable may name, in bytes.
const MAX_FILE: usize = 64 * 1024;

/// Takes the value of every secret variable from the file that its `_FILE` twin names, where one is set. `read` reads a
/// file. What is wrong with a file becomes a fault only where the variable is read.
pub fn read_secret_files(
    vars: Vec<(String, OsString)>,
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Vec<(String, Value)> {
    let is_set = |text: &OsString| text.to_str().is_none_or(|text| !text.trim().is_empty());
    // Of a name that comes twice the last one counts, an empty one too.
    let mut set: BTreeMap<String, OsString> = vars.into_iter().collect();
    set.retain(|_, text| is_set(text));
    let twins = VARIABLES.iter().filter_map(|variable| Some((variable.name, variable.file?)));
    let files: Vec<(&str, Value)> = twins
        .filter_map(|(name, twin)| {
            let path = set.get(twin)?;
            let value = if set.contains_key(name) {
                Value::Unusable(twin, format!("is set, and {name} as well: set one of them"))
            } else {
                read_file(twin, Path::new(path), &read)
            };
            Some((name, value))
        })
        .collect();
    let own = set.into_iter().map(|(name, text)| (name, Value::Own(text)));
    own.chain(files.into_iter().map(|(name, value)| (name.to_owned(), value))).collect()
}

fn read_file(twin: &'static str, path: &Path, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Value {
    let path = path.to_str().map_or(path, |path| Path::new(path.trim()));
    // What is no absolute path may be the secret itself, in the wrong variable.
    let shown = if path.is_absolute() { format!(": {}", quoted(&path.to_string_lossy())) } else { String::new() };
    let unusable = |problem: &str, cause: &str| Value::Unusable(twin, format!("names {problem}{shown}{cause}"));
    let bytes = match read(path) {
        Ok(bytes) if bytes.len() <= MAX_FILE => bytes,
        Ok(_) => return unusable("a file of more than 64 KiB", ""),
        Err(error) => return unusable("a file that cannot be read", &format!(" ({error})")),
    };
    match std::str::from_utf8(&bytes).map(|text| text.trim_start_matches('\u{feff}').trim()) {
        Ok("") => unusable("an empty file", ""),
        Ok(text) => Value::OfFile(text.into()),
        Err(_) => unusable("a file that is not text in UTF-8", ""),
    }
}

/// One variable as the rules read it, its default filled in.
pub(super) struct Input {
    /// The variable that was set: its name, or that of its `_FILE` twin.
    pub name: &'static str,
    /// The text to read: what was set, or the default.
    pub text: Option<String>,
    /// Why there is no text although something is set.
    pub problem: Option<String>,
    /// Whether it is the operator who has set it.
    pub is_set: bool,
    /// Whether its text may be shown.
    pub is_secret: bool,
}

/// Why a text is not taken.
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
    /// One item of a list that is no secret.
    pub fn of_item(item: &str, message: &str) -> Self {
        Self { message: format!("{} {message}", quoted(item)), is_quoted: true }
    }
}

/// A value as a message shows it: one line, at most 100 characters, nothing that a terminal would obey.
fn quoted(text: &str) -> String {
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

/// A value, or why it is none.
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
                // A password may have slipped in before an `@`.
                let shows = !rejection.is_quoted && !self.is_secret && !text.contains('@');
                let value = if shows { format!("; it is {}", quoted(text)) } else { String::new() };
                self.fault(faults, rejection.message + &value);
                None
            }
        }
    }

    /// Whether there is anything to read, be it fit or not.
    pub fn is_given(&self) -> bool {
        self.text.is_some() || self.problem.is_some()
    }

    /// Adds a fault of this variable.
    pub fn fault(&self, faults: &mut Vec<Fault>, message: impl Into<String>) {
        faults.push(Fault { variable: self.name, message: message.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_files(vars: &[(&str, &str)], file: &'static [u8]) -> BTreeMap<String, Value> {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        let read = |path: &Path| match path.to_str() {
            Some("/run/secrets/x") => Ok(file.to_vec()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        read_secret_files(vars, read).into_iter().collect()
    }

    #[test]
    fn a_secret_comes_from_its_file_trimmed() {
        let vars = with_files(&[("ADMIN_TOKEN_FILE", " /run/secrets/x ")], b"\xef\xbb\xbfs3cret\r\n\n");
        assert_eq!(vars["ADMIN_TOKEN"], Value::OfFile("s3cret".into()));
    }

    #[test]
    fn an_empty_twin_counts_as_unset() {
        for (own, file) in [("x", ""), ("x", "  ")] {
            let vars = with_files(&[("ADMIN_TOKEN", own), ("ADMIN_TOKEN_FILE", file)], b"y");
            assert_eq!(vars["ADMIN_TOKEN"], Value::Own("x".into()));
        }
        let vars = with_files(&[("ADMIN_TOKEN", " "), ("ADMIN_TOKEN_FILE", "/run/secrets/x")], b"y");
        assert_eq!(vars["ADMIN_TOKEN"], Value::OfFile("y".into()));
    }

    #[test]
    fn what_is_wrong_with_a_file_names_variable_and_path_and_not_the_content() {
        let problem = |vars: &[(&str, &str)], file| match &with_files(vars, file)["ADMIN_TOKEN"] {
            Value::Unusable("ADMIN_TOKEN_FILE", message) => message.clone(),
            other => panic!("{other:?}"),
        };
        let file = [("ADMIN_TOKEN_FILE", "/run/secrets/x")];
        assert!(problem(&file, b" \n").contains("empty file: `/run/secrets/x"));
        assert!(problem(&file, b"s3cret\xff").contains("UTF-8: `/run/secrets/x"));
        assert!(problem(&[("ADMIN_TOKEN_FILE", "/nowhere")], b"").contains("cannot be read: `/nowhere`"));
        let misplaced = problem(&[("ADMIN_TOKEN_FILE", "s3cret")], b"");
        assert!(misplaced.contains("cannot be read") && !misplaced.contains("s3cret"), "{misplaced}");
        let both = problem(&[("ADMIN_TOKEN", "s3cret"), ("ADMIN_TOKEN_FILE", "/run/secrets/x")], b"s3cret");
        assert!(both.contains("ADMIN_TOKEN as well") && !both.contains("s3cret"), "{both}");
    }

    #[test]
    fn what_is_no_secret_has_no_twin() {
        let vars = with_files(&[("PORT_FILE", "/run/secrets/x")], b"1");
        assert!(!vars.contains_key("PORT"));
    }

    #[test]
    fn a_value_is_shown_on_one_line_and_cut() {
        assert_eq!(quoted("\"a\u{1b}[31m\nb"), "`\"a\\u{1b}[31m\\nb`");
        assert_eq!(quoted(&"x".repeat(101)), format!("`{}…`", "x".repeat(100)));
    }
}
