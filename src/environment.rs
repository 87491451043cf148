//! Reads the variables of the process and of a `.env` file in the working directory, and the files that `_FILE`
//! variables name. `config` interprets them.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    path::Path,
};

use onetribe_relay::config::{self, VARIABLES, Value};

const FILE: &str = ".env";

/// Most bytes read of a file: no secret is as long, and the file may be endless.
const MOST_READ: u64 = 128 * 1024;

/// The variables, and what a person should know of them.
pub struct Environment {
    /// Each with its value.
    pub vars: Vec<(String, Value)>,
    /// What is most likely not as it was meant: a sentence each, without values.
    pub warnings: Vec<String>,
}

/// The variables of `.env` in the working directory, if there is one, and the real ones, which take precedence;
/// secrets are read from the files that their `_FILE` variables name.
pub fn read() -> Result<Environment, String> {
    let text = match fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unreadable(&error)),
    };
    let given = entries(&text).map_err(|fault| format!("{FILE}, {fault}"))?;
    let real: Vec<(String, OsString)> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    let is_real = |name: &str| real.iter().any(|(other, _)| other == name);
    let is_known = |name: &str| is_real(name) || given.iter().any(|(other, _)| other == name);
    let mut warnings: Vec<String> = altered(&text, is_known)
        .into_iter()
        .filter(|(name, _)| !is_real(name))
        .map(|(_, warning)| format!("{FILE}, {warning}"))
        .collect();
    let vars = merged(given, real);
    warnings.extend(config::misspelt(&vars));
    if !config::has_any_needed(&vars) {
        warnings.push(format!(
            "none of the required variables is set, neither in the environment nor in {}: copy `.env.example` to that \
             place and fill it in",
            full_path()
        ));
    }
    Ok(Environment { vars: config::read_secret_files(vars, read_file), warnings })
}

fn full_path() -> String {
    std::path::absolute(FILE).map_or_else(|_| FILE.to_owned(), |path| path.display().to_string())
}

fn unreadable(error: &io::Error) -> String {
    let cure = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!("let user {user}, as whom the relay runs, read it, or move it away")
        }
        io::ErrorKind::InvalidData => "save it as text in UTF-8".to_owned(),
        io::ErrorKind::IsADirectory => "it has to be a file".to_owned(),
        _ => "make it readable, or move it away".to_owned(),
    };
    format!("{} cannot be read: {error}; {cure}", full_path())
}

/// Merges the entries of a `.env` file with the real variables. A real `X` also takes precedence over an `X_FILE` in
/// the file, and vice versa.
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

/// Parses a `.env` file; the error is about the first unreadable entry, without its value.
fn entries(text: &str) -> Result<Vec<(String, OsString)>, String> {
    // Some editors write a byte order mark, and the last line may lack its line feed.
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let entries = dotenvy::from_read_iter(text.as_bytes());
    let entries = entries.map(|entry| entry.map(|(name, value)| (name, OsString::from(value))));
    entries.collect::<Result<_, _>>().map_err(|_| fault(&text))
}

/// Where the first unreadable entry begins, and what is wrong with it.
fn fault(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let readable = |before: &usize| dotenvy::from_read_iter(lines[..*before].concat().as_bytes()).all(|it| it.is_ok());
    // The lines before the entry can be parsed without it, however many lines it spans.
    let before = (0..lines.len()).rev().find(readable).unwrap_or(0);
    format!("line {}: {}", before + 1, problem(lines[before]))
}

/// Name and value of a line, as they are written.
fn assigned(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    Some((name.trim(), value.trim()))
}

fn is_variable(name: &str) -> bool {
    VARIABLES.iter().any(|variable| variable.name == name || variable.file == Some(name))
}

/// What is wrong with an entry. Only names that the relay knows are quoted: any other text may be part of a secret.
fn problem(line: &str) -> String {
    let Some((name, value)) = assigned(line) else {
        return "this is not of the form NAME=value".into();
    };
    if !is_variable(name) {
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

/// The variables of a `.env` file of which the value is another than what is written there, each with a sentence that
/// says why. `is_known` tells whether there is a variable of that name to be put in.
fn altered(text: &str, is_known: impl Fn(&str) -> bool) -> Vec<(&str, String)> {
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    lines
        .filter_map(|(at, line)| {
            let (name, value) = assigned(line).filter(|(name, _)| is_variable(name))?;
            let why = alteration(value, &is_known)?;
            Some((name, format!("line {}: {why} in the value of {name}: put the value in single quotes", at + 1)))
        })
        .collect()
}

/// How a value is altered when it is read, unless it looks meant: `${NAME}` of a variable that there is, and a comment
/// that begins with `# `.
fn alteration(value: &str, is_known: impl Fn(&str) -> bool) -> Option<&'static str> {
    if value.starts_with('\'') {
        return None;
    }
    let is_quoted = value.starts_with('"');
    let (own, comment) = match value.split_once([' ', '\t']) {
        _ if is_quoted => (value, ""),
        _ if value.starts_with('#') => ("", value),
        Some((own, rest)) => (own, rest.trim_start()),
        None => (value, ""),
    };
    let is_meant = |after: &str| {
        let name = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        name.is_some_and(|(name, _)| is_known(name))
    };
    if own.replace("\\$", "").split('$').skip(1).any(|after| !is_meant(after)) {
        return Some("`$` is taken for the beginning of another variable's name");
    }
    if comment.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| !c.is_whitespace() && c != '#')) {
        return Some("everything from `#` on is taken for a comment");
    }
    (!is_quoted && own.contains(['"', '\''])).then_some("quotes are left out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_read_as_it_is_written_is_told_by_its_line_and_without_it() {
        let altered = |text: &'static str| altered(text, |name| name == "PGPASSWORD");
        for (text, said) in [
            ("PORT=1\n\nADMIN_TOKEN=hunter2$x", "line 3: `$` is taken for"),
            ("ADMIN_TOKEN=\"hunter2$x y\"", "line 1: `$` is taken for"),
            ("export ALERT_URL = hunter2$", "line 1: `$` is taken for"),
            ("ALERT_URL=https://${hunter2}/", "line 1: `$` is taken for"),
            ("\u{feff}ADMIN_TOKEN=hunter2 #hunter3\r\n", "line 1: everything from `#` on is taken for a comment"),
            ("ADMIN_TOKEN=#hunter2", "line 1: everything from `#` on is taken for a comment"),
            ("ADMIN_TOKEN_FILE=a\"hunter2\"", "line 1: quotes are left out in the value of ADMIN_TOKEN_FILE"),
        ] {
            let found = altered(text);
            assert!(found.len() == 1 && found[0].1.starts_with(said), "{text:?}: {found:?}");
            assert!(!found[0].1.contains("hunter"), "{found:?}");
            let read = entries(text).expect("it can be read").pop().expect("an entry");
            assert_ne!(assigned(text.lines().last().expect("a line")).map(|(_, value)| value.into()), Some(read.1));
        }
        for text in [
            "ADMIN_TOKEN='a$b #c'",
            "ADMIN_TOKEN=a#b",
            "ADMIN_TOKEN=a\\$b",
            "PORT=8080 # costs $5",
            "PORT=8080 ####",
            "ADMIN_TOKEN=   # none yet",
            "ADMIN_TOKEN=\"a#b c\"",
            "DATABASE_URL=postgres://relay:${PGPASSWORD}@db/relay",
            "PS1=$x",
            "# ADMIN_TOKEN=$x",
        ] {
            assert!(altered(text).is_empty(), "{text}");
        }
    }

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
