//! Reading one variable's text. A message says what would be right and never repeats the text of a secret.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use url::Url;

use super::{Database, Fault, HooksApi, LogFormat, is_loopback, postgres};
use crate::event::StoreHash;

/// One variable's text, defaults filled in.
pub(super) struct Input {
    pub name: &'static str,
    pub text: Option<String>,
    /// It is set to something that is no text.
    pub garbled: bool,
}

type Parsed<T> = Result<T, String>;

impl Input {
    pub fn required<T>(&self, faults: &mut Vec<Fault>, read: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        if self.text.is_none() && !self.garbled {
            faults.push(Fault { variable: self.name, message: "is required and not set".into() });
        }
        self.optional(faults, read)
    }

    pub fn optional<T>(&self, faults: &mut Vec<Fault>, read: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let parsed = if self.garbled { err("must be text in UTF-8") } else { read(self.text.as_deref()?) };
        parsed.map_err(|message| faults.push(Fault { variable: self.name, message })).ok()
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn err<T>(message: &str) -> Parsed<T> {
    Err(message.to_owned())
}

pub(super) fn store_hash(text: &str) -> Parsed<StoreHash> {
    StoreHash::parse(text)
        .ok_or_else(|| "must be the store's hash alone, letters and digits (`abcde` of `stores/abcde`)".into())
}

/// A secret that travels as a header's value.
pub(super) fn header_secret(text: &str) -> Parsed<SecretString> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.into())
    } else {
        err("must be printable ASCII without spaces")
    }
}

pub(super) fn secrets(text: &str) -> Parsed<Vec<SecretString>> {
    let secrets: Vec<SecretString> = list(text).map(Into::into).collect();
    if secrets.is_empty() { err("must hold at least one secret") } else { Ok(secrets) }
}

pub(super) fn scopes(text: &str) -> Parsed<Vec<String>> {
    let mut scopes = Vec::new();
    for scope in list(text) {
        let path = |b: u8| b.is_ascii_alphanumeric() || b"/*_-".contains(&b);
        if scope.strip_prefix("store/").is_none_or(str::is_empty) || !scope.bytes().all(path) {
            return Err(format!("`{scope}` is not a scope such as `store/order/*`"));
        }
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    if scopes.is_empty() { err("must name at least one scope, such as `store/order/*`") } else { Ok(scopes) }
}

pub(super) fn hooks_api(text: &str) -> Parsed<HooksApi> {
    match text {
        "v2" => Ok(HooksApi::V2),
        "v3" => Ok(HooksApi::V3),
        _ => err("must be `v2` or `v3`"),
    }
}

pub(super) fn share(text: &str) -> Parsed<f64> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => err("must be a number above 0 and at most 1, such as `0.8`"),
    }
}

/// `https`, or plain `http` to this machine itself; a host, no credentials, no fragment.
fn secure_url(text: &str, plain_is_fine: impl FnOnce(&Url) -> bool) -> Parsed<Url> {
    let Ok(url) = Url::parse(text) else { return err("must be a URL such as `https://example.com/…`") };
    match url.scheme() {
        "https" => {}
        "http" if plain_is_fine(&url) => {}
        "http" => return err("must begin with `https://`; plain http is taken for loopback addresses only"),
        _ => return err("must begin with `https://`"),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return err("must name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return err("must not hold a user name or password");
    }
    if url.fragment().is_some() {
        return err("must not hold a `#` part");
    }
    Ok(url)
}

/// A base URL that paths are appended to.
fn base_url(mut url: Url) -> Parsed<Url> {
    if url.query().is_some() {
        return err("must not hold a `?` part");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

pub(super) fn service_url(text: &str) -> Parsed<Url> {
    let url = secure_url(text, is_loopback).and_then(base_url)?;
    if url.path().contains("/stores/") {
        return err("must not hold the path of a store: BIGCOMMERCE_STORE_HASH says which it is");
    }
    Ok(url)
}

pub(super) fn public_url(text: &str, api_is_local: bool) -> Parsed<Url> {
    let url = secure_url(text, |url| api_is_local || is_loopback(url)).and_then(base_url)?;
    let local = api_is_local || is_loopback(&url);
    if !local && url.port().is_some() {
        return err("must be on port 443: BigCommerce calls no other");
    }
    if url.path().ends_with("/webhooks/bigcommerce") {
        return err("must end before `/webhooks/bigcommerce`, which the relay adds");
    }
    Ok(url)
}

pub(super) fn destination(text: &str) -> Parsed<SecretString> {
    secure_url(text, is_loopback).map(|url| SecretString::from(String::from(url)))
}

pub(super) fn alert_url(text: &str) -> Parsed<SecretString> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.host_str().is_some() => Ok(String::from(url).into()),
        _ => err("must be a URL that begins with `https://` or `http://`"),
    }
}

pub(super) fn statuses(text: &str) -> Parsed<Vec<i64>> {
    list(text)
        .map(|item| match item.parse::<i64>() {
            Ok(status) if status >= 0 => Ok(status),
            _ => Err(format!("`{item}` is not a status id; they are whole numbers, such as `0` (Incomplete)")),
        })
        .collect()
}

pub(super) fn database(text: &str) -> Parsed<Database> {
    if let Some(path) = text.strip_prefix("sqlite://") {
        return match path {
            "" => err("must name a file after `sqlite://`"),
            _ if path.contains(":memory:") => err("must be a file: what is only in memory is not kept"),
            _ if path.contains('?') => err("takes no parameters after a SQLite path"),
            _ => Ok(Database::Sqlite(PathBuf::from(path))),
        };
    }
    if postgres::is_meant(text) {
        return postgres::options(text).map(|_| Database::Postgres(text.into()));
    }
    err("must be `sqlite://PATH` or `postgres://…`")
}

pub(super) fn ip(text: &str) -> Parsed<IpAddr> {
    if text == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.parse().or_else(|_| err("must be an IP address, such as `0.0.0.0` or `127.0.0.1`"))
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().or_else(|_| err("must be a port number, up to 65535"))
}

/// Shorter ones could be guessed.
const MIN_ADMIN_TOKEN: usize = 16;

pub(super) fn admin_token(text: &str) -> Parsed<SecretString> {
    if text.chars().count() < MIN_ADMIN_TOKEN {
        return Err(format!("must be at least {MIN_ADMIN_TOKEN} characters long"));
    }
    header_secret(text)
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => err("must be `pretty` or `json`"),
    }
}

/// A bare word is a level, or one of these modules (and those within): any other is most likely a misspelt level, which
/// as the name of a module would leave nothing of the log.
const LOGGED: [&str; 9] =
    ["onetribe_relay", "actix_http", "actix_server", "actix_web", "hyper", "hyper_util", "reqwest", "rustls", "sqlx"];

pub(super) fn log_filter(text: &str) -> Parsed<String> {
    let is_known = |word: &str| {
        let is_module = word.contains("::") || LOGGED.contains(&word);
        word.contains(['=', '[']) || is_module || word.parse::<LevelFilter>().is_ok()
    };
    if let Some(word) = text.split(',').map(str::trim).find(|word| !word.is_empty() && !is_known(word)) {
        return Err(format!(
            "`{word}` is no level (error, warn, info, debug, trace or off); a module's is set as in `info,onetribe_relay=debug`"
        ));
    }
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .or_else(|_| err("must be a log filter, such as `info` or `info,onetribe_relay=debug`"))
}

pub(super) fn concurrency(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(n @ 1..=256) => Ok(n),
        _ => err("must be a whole number from 1 to 256"),
    }
}

/// Longest span that is taken: sums of spans and unix times must never overflow.
const MAX_SPAN: u64 = 3650 * 24 * 3600;

fn seconds(text: &str) -> Parsed<Duration> {
    const SHAPE: &str = "must be a duration such as `90s`, `15m`, `72h` or `14d`";
    let Some((at, unit)) = text.char_indices().next_back() else { return err(SHAPE) };
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return err(SHAPE),
    };
    let digits = &text[..at];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return err(SHAPE);
    }
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)) {
        Some(seconds) if seconds <= MAX_SPAN => Ok(Duration::from_secs(seconds)),
        _ => err("must be at most ten years"),
    }
}

/// A duration above zero.
pub(super) fn span(text: &str) -> Parsed<Duration> {
    match interval(text)? {
        Some(span) => Ok(span),
        None => err("must be longer than nothing"),
    }
}

/// Longest time that a call is waited for: so long an order may be under way, and is left alone, after a crash.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long one call may take.
pub(super) fn timeout(text: &str) -> Parsed<Duration> {
    match span(text)? {
        timeout if timeout <= MAX_TIMEOUT => Ok(timeout),
        _ => err("must be at most one hour"),
    }
}

/// A duration, or `None` for `0`.
pub(super) fn interval(text: &str) -> Parsed<Option<Duration>> {
    if text == "0" {
        return Ok(None);
    }
    seconds(text).map(|span| Some(span).filter(|span| !span.is_zero()))
}
