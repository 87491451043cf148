//! `.env.example`, the README's table and the parser must agree.

use std::{collections::BTreeMap, fs, path::PathBuf};

use onetribe_relay::config::{Config, VARIABLES};

/// Values for the variables that have to be filled in.
const FILLED_IN: [(&str, &str); 4] = [
    ("BIGCOMMERCE_STORE_HASH", "abcde"),
    ("BIGCOMMERCE_ACCESS_TOKEN", "a-token"),
    ("BIGCOMMERCE_CLIENT_SECRET", "a-client-secret-of-abcde"),
    ("ONE_TRIBE_DESTINATION", "https://example.com/direct/webhook/big-commerce/order/a-token"),
];

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The variables that the program itself reports as required.
fn required() -> Vec<&'static str> {
    let error = Config::from_vars(BTreeMap::<String, String>::new()).expect_err("something is required");
    error.0.iter().filter(|fault| fault.message.contains("required")).map(|fault| fault.variable).collect()
}

/// A variable as a document describes it; `None` for no default.
type Documented = (String, Option<String>);

fn expected(names: impl Iterator<Item = &'static str>) -> Vec<Documented> {
    let default = |name| VARIABLES.iter().find(|variable| variable.name == name).and_then(|variable| variable.default);
    names.map(|name| (name.to_owned(), default(name).map(str::to_owned))).collect()
}

/// One `NAME=default` of `.env.example`, and whether it is commented out.
fn entry(line: &str) -> Option<(bool, Documented)> {
    let (commented, text) = line.strip_prefix("# ").map_or((false, line), |text| (true, text));
    let (name, value) = text.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_name.then(|| (commented, (name.to_owned(), Some(value.to_owned()).filter(|value| !value.is_empty()))))
}

/// Parses text as a `.env` file.
fn dotenv(text: &str) -> BTreeMap<String, String> {
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().expect("every line is of the form NAME=value")
}

fn accepted(mut vars: BTreeMap<String, String>) -> Config {
    vars.extend(FILLED_IN.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Config::from_vars(vars).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_example_lists_every_variable_once_and_the_required_ones_first() {
    let text = read(".env.example");
    let required = required();
    let optional = VARIABLES.iter().map(|variable| variable.name).filter(|name| !required.contains(name));
    let order: Vec<&'static str> = required.iter().copied().chain(optional).collect();
    let (commented, found): (Vec<bool>, Vec<Documented>) = text.lines().filter_map(entry).unzip();

    assert_eq!(found, expected(order.iter().copied()));
    // Required variables are to be filled in; the others are commented out, so that their defaults may change.
    let out: Vec<bool> = order.iter().map(|name| !required.contains(name)).collect();
    assert_eq!(commented, out);

    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| entry(line).is_some()) {
        let says_why = at > 0 && lines[at - 1].starts_with("# ") && entry(lines[at - 1]).is_none();
        assert!(says_why, "no comment stands above {line}");
    }
}

#[test]
fn the_example_is_accepted_once_it_is_filled_in() {
    let text = read(".env.example");
    accepted(dotenv(&text));

    let uncommented: String = text
        .lines()
        .filter_map(|line| Some((line, entry(line)?)))
        .fold(String::new(), |text, (line, (commented, _))| text + if commented { &line[2..] } else { line } + "\n");
    assert_eq!(format!("{:?}", accepted(dotenv(&uncommented))), format!("{:?}", accepted(BTreeMap::new())));
}

#[test]
fn the_readme_has_every_variable_in_order_with_its_default() {
    let required = required();
    let readme = read("README.md");
    let mut found: Vec<Documented> = Vec::new();
    for line in readme.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, default, meaning, ..] = cells[..] else { continue };
        let name = name.trim_end_matches('🔒').trim().trim_matches('`');
        if !VARIABLES.iter().any(|variable| variable.name == name) {
            continue;
        }
        assert!(!meaning.is_empty(), "{name} has no meaning");
        let default = match default {
            "required" => {
                assert!(required.contains(&name), "{name} is not required");
                None
            }
            "none" => {
                assert!(!required.contains(&name), "{name} is required");
                None
            }
            value => Some(value.trim_matches('`').to_owned()),
        };
        found.push((name.to_owned(), default));
    }
    assert_eq!(found, expected(VARIABLES.iter().map(|variable| variable.name)));
}

#[test]
fn the_documents_mark_what_is_secret() {
    let secret: Vec<&str> =
        VARIABLES.iter().filter(|variable| variable.file.is_some()).map(|variable| variable.name).collect();
    assert!(secret.contains(&"CREDENTIALS_KEY") && !secret.contains(&"PORT"));
    let readme = read("README.md");
    let marked: Vec<&str> =
        readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` 🔒")).map(|(name, _)| name).collect();
    assert_eq!(marked, secret);

    // For a secret variable, the comment above it ends with that word.
    let example = read(".env.example");
    let mut above = "";
    let mut marked = Vec::new();
    for line in example.lines() {
        if let Some((_, (name, _))) = entry(line)
            && above.to_lowercase().ends_with("secret.")
        {
            marked.push(name);
        }
        above = line;
    }
    let mut secret: Vec<String> = secret.into_iter().map(str::to_owned).collect();
    marked.sort();
    secret.sort();
    assert_eq!(marked, secret);
}

#[test]
fn the_documents_tell_of_files() {
    for document in ["README.md", ".env.example"] {
        assert!(read(document).contains("ADMIN_TOKEN_FILE"), "{document}");
    }
}
