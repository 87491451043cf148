//! Checks PostgreSQL URLs. Errors never quote the URL; any part may contain a password.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use url::Url;

/// The parameters that a URL may have. Any other would be ignored silently, and perhaps logged.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Whether a text is meant to be a PostgreSQL URL.
pub fn is_meant(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| ["postgres", "postgresql"].contains(&&*scheme.to_ascii_lowercase()))
}

/// Parses the URL without opening the files that it may name.
///
/// # Errors
/// What would be right, worded to follow the name of the variable or argument that holds the URL.
pub fn options(text: &str) -> Result<PgConnectOptions, String> {
    if !is_meant(text) {
        return Err("must be `postgres://…`".into());
    }
    let unfit = "must be `postgres://USER:PASSWORD@HOST/DATABASE`; in a password, `@` is written as `%40`, `/` as `%2F`, \
                 `#` as `%23`";
    // Of a password with a `/` or `#` in it, the part before that would be taken for the port.
    let is_cut = |url: &Url| url.path().contains('@') || url.fragment().is_some();
    let url = Url::parse(text).ok().filter(|url| !url.cannot_be_a_base() && !is_cut(url)).ok_or(unfit)?;
    let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    if url.query_pairs().any(|(name, _)| !known(&name)) {
        return Err("has a parameter after its `?` that is not known".into());
    }
    PgConnectOptions::from_str(text).map_err(|_| match url.query_pairs().find(|(name, value)| !is_fit(name, value)) {
        Some((name, _)) if name.ends_with("mode") => {
            format!("its {name} must be one of disable, allow, prefer, require, verify-ca and verify-full")
        }
        Some((name, _)) => format!("its parameter {name} has a value that cannot be used"),
        None => unfit.into(),
    })
}

/// Whether a parameter's value is valid by itself.
fn is_fit(name: &str, value: &str) -> bool {
    Url::parse_with_params("postgres://localhost", [(name, value)])
        .is_ok_and(|url| PgConnectOptions::from_str(url.as_str()).is_ok())
}
