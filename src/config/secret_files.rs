//! Secrets in files, as Docker, Kubernetes and systemd provide them.

use std::{collections::BTreeMap, ffi::OsString, io, path::Path};

use super::{
    VARIABLES,
    input::{Value, quoted},
};

/// Largest file that a `_FILE` variable may name, in bytes.
const MAX_FILE: usize = 64 * 1024;

/// Replaces each secret variable by the content of the file that its `_FILE` variable names, if that is set. `read`
/// reads a file. A file that cannot be used becomes a fault only when its variable is read.
pub fn read_secret_files(
    vars: Vec<(String, OsString)>,
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Vec<(String, Value)> {
    let is_set = |text: &OsString| text.to_str().is_none_or(|text| !text.trim().is_empty());
    // If a name occurs twice, the last value counts, even if it is empty.
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
    // Anything but an absolute path may be the secret itself, in the wrong variable.
    let shown = if path.is_absolute() { format!(": {}", quoted(&path.to_string_lossy())) } else { String::new() };
    let unusable = |problem: &str, cause: &str| Value::Unusable(twin, format!("names {problem}{shown}{cause}"));
    let bytes = match read(path) {
        Ok(bytes) if bytes.len() <= MAX_FILE => bytes,
        Ok(_) => return unusable("a file of more than 64 KiB", ""),
        Err(error) => return unusable("a file that cannot be read", &format!(" ({error})")),
    };
    match std::str::from_utf8(&bytes).map(|text| text.trim_start_matches('\u{feff}').trim()) {
        Ok("") => unusable("an empty file", ""),
        Ok(text) => Value::OfFile(text.into(), path.to_owned()),
        Err(_) => unusable("a file that is not text in UTF-8", ""),
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
        assert_eq!(vars["ADMIN_TOKEN"], Value::OfFile("s3cret".into(), "/run/secrets/x".into()));
    }

    #[test]
    fn an_empty_twin_counts_as_unset() {
        for (own, file) in [("x", ""), ("x", "  ")] {
            let vars = with_files(&[("ADMIN_TOKEN", own), ("ADMIN_TOKEN_FILE", file)], b"y");
            assert_eq!(vars["ADMIN_TOKEN"], Value::Own("x".into()));
        }
        let vars = with_files(&[("ADMIN_TOKEN", " "), ("ADMIN_TOKEN_FILE", "/run/secrets/x")], b"y");
        assert_eq!(vars["ADMIN_TOKEN"], Value::OfFile("y".into(), "/run/secrets/x".into()));
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
}
