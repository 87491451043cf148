//! The variables of the process, and those of a `.env` file in the working directory. What they mean, `config` says.

use std::{ffi::OsString, fs, io};

use onetribe_relay::config::VARIABLES;

const FILE: &str = ".env";

/// The variables of `.env` in the working directory, if there is one, and the real ones, which win.
pub fn read() -> Result<Vec<(String, OsString)>, String> {
    let mut vars = match fs::read_to_string(FILE) {
        Ok(text) => entries(&text).map_err(|fault| format!("{FILE}, {fault}"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("{FILE} cannot be read: {error}")),
    };
    let real: Vec<(String, OsString)> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    vars.retain(|(name, _)| real.iter().all(|(other, _)| other != name));
    vars.extend(real);
    Ok(vars)
}

/// The entries of a `.env` file, or what is wrong with the first one that cannot be read, without its value.
fn entries(text: &str) -> Result<Vec<(String, OsString)>, String> {
    // Some editors put a mark before the first line; the last line may lack its end.
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let entries = dotenvy::from_read_iter(text.as_bytes());
    let entries = entries.map(|entry| entry.map(|(name, value)| (name, OsString::from(value))));
    entries.collect::<Result<_, _>>().map_err(|_| fault(&text))
}

/// Where the first entry begins that cannot be read, and what is wrong with it.
fn fault(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let readable = |before: &usize| dotenvy::from_read_iter(lines[..*before].concat().as_bytes()).all(|it| it.is_ok());
    // The lines before an entry can be read without it, however many lines it has itself.
    let before = (0..lines.len()).rev().find(readable).unwrap_or(0);
    format!("line {}: {}", before + 1, problem(lines[before]))
}

/// What is wrong with an entry. Only names that the relay knows are repeated: any other may be a piece of a secret.
fn problem(line: &str) -> String {
    let line = line.trim();
    let entry = line.strip_prefix("export ").unwrap_or(line).split_once('=');
    let Some((name, value)) = entry.map(|(name, value)| (name.trim(), value.trim())) else {
        return "this is not of the form NAME=value".into();
    };
    if !VARIABLES.iter().any(|variable| variable.name == name) {
        return "this cannot be read as NAME=value; a value with spaces goes in single quotes".into();
    }
    let is_quoted = value.starts_with(['\'', '"']);
    if is_quoted && !value[1..].contains(&value[..1]) {
        return format!("the quote that opens the value of {name} is not closed");
    }
    if !is_quoted && value.contains(char::is_whitespace) {
        return format!("the value of {name} has spaces in it: put it in single quotes");
    }
    format!("the value of {name} cannot be read: one with quotes, `$` or `\\` in it goes in single quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_by_its_line_and_without_the_value() {
        for (text, said) in [
            ("PORT=1\n# A comment\n\nADMIN_TOKEN=hunter2 x\nHOST=::", "line 4: the value of ADMIN_TOKEN has spaces"),
            ("export ADMIN_TOKEN = hunter2 x", "line 1: the value of ADMIN_TOKEN has spaces"),
            ("ALERT_URL='two\nlines'\nhunter2", "line 3: this is not of the form NAME=value"),
            ("PORT=1\r\nhunter2=\"\r\n", "line 2: this cannot be read as NAME=value"),
            ("PORT=1\nMY hunter2=x\n", "line 2: this cannot be read as NAME=value"),
            ("PORT=1\n\nADMIN_TOKEN=\"hunter2\nHOST=::\n", "line 3: the quote that opens the value of ADMIN_TOKEN"),
            ("ADMIN_TOKEN=hunter2\\x", "line 1: the value of ADMIN_TOKEN cannot be read: one with quotes"),
            ("ADMIN_TOKEN='hunter2' x", "line 1: the value of ADMIN_TOKEN cannot be read"),
        ] {
            let fault = entries(text).expect_err("it cannot be read");
            assert!(fault.starts_with(said), "{text:?}: {fault}");
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn what_is_right_is_read() {
        let read = entries("\u{feff}PORT=1\r\n# X\nADMIN_TOKEN='a b' # why\nHOST=:: ").expect("it is right");
        let wanted = [("PORT", "1"), ("ADMIN_TOKEN", "a b"), ("HOST", "::")];
        assert_eq!(read, wanted.map(|(name, value)| (name.to_owned(), OsString::from(value))));
    }
}
