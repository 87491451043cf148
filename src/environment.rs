//! The variables of the process, those of a `.env` file in the working directory, and the files that `_FILE` variables
//! name. What they mean, `config` says.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    path::Path,
};

use onetribe_relay::config::{self, VARIABLES, Value};

const FILE: &str = ".env";

/// More than any secret is long: a file that is larger, or never ends, is not read to its end.
const MOST_READ: u64 = 128 * 1024;

/// The variables of `.env` in the working directory, if there is one, and the real ones, which win; secrets are taken
/// from the files that their `_FILE` twins name.
pub fn read() -> Result<Vec<(String, Value)>, String> {
    let given = match fs::read_to_string(FILE) {
        Ok(text) => entries(&text).map_err(|fault| format!("{FILE}, {fault}"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("{FILE} cannot be read: {error}")),
    };
    let real = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    Ok(config::read_secret_files(merged(given, real), read_file))
}

/// The entries of a `.env` file and the real variables. A real `X` also wins over `X_FILE` in the file, and the other
/// way round.
fn merged(mut given: Vec<(String, OsString)>, real: Vec<(String, OsString)>) -> Vec<(String, OsString)> {
    let twin = |name: &str| {
        let variable = VARIABLES.iter().find(|variable| variable.name == name || variable.file == Some(name))?;
        if variable.name == name { variable.file } else { Some(variable.name) }
    };
    let is_real = |name: &str| real.iter().any(|(other, _)| other == name);
    let is_filled = |text: &OsString| text.to_str().is_none_or(|text| !text.trim().is_empty());
    let is_set = |name: &str| real.iter().any(|(other, text)| other == name && is_filled(text));
    given.retain(|(name, _)| !is_real(name) && !twin(name).is_some_and(is_set));
    given.extend(real);
    given
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(bytes)
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
    if !VARIABLES.iter().any(|variable| variable.name == name || variable.file == Some(name)) {
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
    fn a_real_variable_wins_over_the_file_in_either_spelling() {
        let pairs = |vars: &[(&str, &str)]| -> Vec<(String, OsString)> {
            vars.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect()
        };
        let given = pairs(&[
            ("ADMIN_TOKEN", "a"),
            ("ALERT_URL_FILE", "/b"),
            ("PORT", "1"),
            ("CREDENTIALS_KEY", "k"),
            ("X_FILE", "x"),
        ]);
        let real =
            [("ADMIN_TOKEN_FILE", "/c"), ("ALERT_URL", "d"), ("PORT", "2"), ("CREDENTIALS_KEY_FILE", ""), ("X", "y")];
        let real = pairs(&real);
        let kept = pairs(&[("CREDENTIALS_KEY", "k"), ("X_FILE", "x")]);
        assert_eq!(merged(given, real.clone()), [kept, real].concat());
    }

    #[test]
    fn what_is_right_is_read() {
        let read = entries("\u{feff}PORT=1\r\n# X\nADMIN_TOKEN='a b' # why\nHOST=:: ").expect("it is right");
        let wanted = [("PORT", "1"), ("ADMIN_TOKEN", "a b"), ("HOST", "::")];
        assert_eq!(read, wanted.map(|(name, value)| (name.to_owned(), OsString::from(value))));
    }
}
