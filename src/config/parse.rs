//! Parses the text of single variables. Messages say what would be right; `input` decides whether the text is shown
//! as well. `spec::fields` has the rules for the values of a connection.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ipnet::IpNet;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{
    LogFormat,
    input::{Parsed, Rejection},
};
use crate::{
    inbox::{Database, postgres::url},
    secret::Secret,
    source::bigcommerce::HooksApi,
    spec::{
        fields,
        keyring::SealingKey,
        payload_url::{HostsError, OneTribeHosts},
    },
};

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Parses the items of a list that is not secret, and drops duplicates.
fn each<T: PartialEq>(text: &str, read: impl Fn(&str) -> Result<T, &'static str>) -> Parsed<Vec<T>> {
    let mut found = Vec::new();
    for item in list(text) {
        let value = read(item).map_err(|message| Rejection::of_item(item, message))?;
        if !found.contains(&value) {
            found.push(value);
        }
    }
    Ok(found)
}

pub(super) fn store_hash(text: &str) -> Parsed<String> {
    Ok(fields::store_hash(text)?)
}

pub(super) fn header_secret(text: &str) -> Parsed<Secret> {
    Ok(fields::header_secret(text)?)
}

pub(super) fn client_secret(text: &str) -> Parsed<Secret> {
    Ok(fields::client_secret(text)?)
}

pub(super) fn client_secrets(text: &str) -> Parsed<Vec<Secret>> {
    Ok(fields::client_secrets(text)?)
}

pub(super) fn scopes(text: &str) -> Parsed<Vec<String>> {
    let scopes = each(text, fields::scope)?;
    if scopes.iter().any(|scope| fields::is_order_scope(scope)) {
        Ok(scopes)
    } else {
        Err("must name at least one scope of orders, such as `store/order/*`".into())
    }
}

pub(super) fn statuses(text: &str) -> Parsed<Vec<String>> {
    each(text, fields::bigcommerce_status)
}

pub(super) fn hooks_api(text: &str) -> Parsed<HooksApi> {
    match text {
        "v2" => Ok(HooksApi::V2),
        "v3" => Ok(HooksApi::V3),
        _ => Err("must be `v2` or `v3`".into()),
    }
}

pub(super) fn share(text: &str) -> Parsed<f64> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("must be a number above 0 and at most 1, such as `0.8`".into()),
    }
}

/// The client id of the app, which is compared with tokens and posted in a form.
pub(super) fn client_id(text: &str) -> Parsed<String> {
    if text.len() <= 256 && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be printable ASCII without spaces".into())
    }
}

pub(super) fn hosts(text: &str) -> Parsed<OneTribeHosts> {
    text.parse().map_err(|error| match error {
        HostsError::Empty => "must name at least one host".into(),
        HostsError::NotAHost(entry) => Rejection::of_item(
            &entry,
            "is not a host: give names, names that begin with `*.`, or addresses, without scheme, port and path",
        ),
    })
}

/// A secret of the Cloud Elements API, which is sent in a header between commas.
pub(super) fn elements_secret(text: &str) -> Parsed<Secret> {
    if text.contains(',') {
        return Err("must not contain a comma".into());
    }
    header_secret(text)
}

/// Decodes base64 in any of its usual variants.
fn base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
    GeneralPurpose::new(&alphabet, config).decode(text).ok()
}

pub(super) fn keys(text: &str) -> Parsed<Vec<SealingKey>> {
    const SHAPE: &str = "must be the base64 of 32 random bytes, as `openssl rand -base64 32` prints it";
    let mut keys = Vec::new();
    for item in list(text) {
        let bytes: [u8; 32] = base64(item).and_then(|bytes| bytes.try_into().ok()).ok_or(SHAPE)?;
        keys.push(SealingKey::new(bytes));
    }
    if keys.is_empty() { Err(SHAPE.into()) } else { Ok(keys) }
}

/// A network in CIDR notation, or a single address.
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    each(text, |item| {
        let network = item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| network.trunc()).map_err(|_| "is not a network such as `10.0.0.0/8` or `fd00::/8`")
    })
}

pub(super) fn database(text: &str) -> Parsed<Database> {
    if let Some(path) = text.strip_prefix("sqlite://") {
        return match path {
            "" => Err("must name a file after `sqlite://`".into()),
            _ if path.contains(":memory:") => Err("must be a file: what is only in memory is not kept".into()),
            _ if path.contains('?') => Err("takes no parameters after a SQLite path".into()),
            _ => Ok(Database::Sqlite(PathBuf::from(path))),
        };
    }
    if url::is_meant(text) {
        url::options(text)?;
        return Ok(Database::Postgres(text.into()));
    }
    Err("must be `sqlite://PATH` or `postgres://…`".into())
}

pub(super) fn ip(text: &str) -> Parsed<IpAddr> {
    if text == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.parse().map_err(|_| "must be an IP address, such as `0.0.0.0` or `127.0.0.1`".into())
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| "must be a port number, up to 65535".into())
}

/// Shorter tokens could be guessed.
const MIN_ADMIN_TOKEN: usize = 16;

pub(super) fn admin_token(text: &str) -> Parsed<Secret> {
    if text.chars().count() < MIN_ADMIN_TOKEN {
        return Err("must be at least 16 characters long".into());
    }
    header_secret(text)
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be `pretty` or `json`".into()),
    }
}

/// A single word is a level, or one of these modules (or those within). Any other word is probably a misspelt level;
/// taken as a module's name, it would silence the log.
const LOGGED: [&str; 9] =
    ["onetribe_relay", "actix_http", "actix_server", "actix_web", "hyper", "hyper_util", "reqwest", "rustls", "sqlx"];

pub(super) fn log_filter(text: &str) -> Parsed<String> {
    let is_known = |word: &str| {
        let is_module = word.contains("::") || LOGGED.contains(&word);
        word.contains(['=', '[']) || is_module || word.parse::<LevelFilter>().is_ok()
    };
    if let Some(word) = text.split(',').map(str::trim).find(|word| !word.is_empty() && !is_known(word)) {
        return Err(Rejection::of_item(
            word,
            "is no level (error, warn, info, debug, trace or off); a module's is set as in `info,onetribe_relay=debug`",
        ));
    }
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|_| "must be a log filter, such as `info` or `info,onetribe_relay=debug`".into())
}

/// A count of calls or objects, from 1 to `most`.
pub(super) fn concurrency(text: &str, most: usize) -> Parsed<usize> {
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(format!("must be a whole number from 1 to {most}").into()),
    }
}

/// The longest duration that is accepted: sums of durations and Unix times must never overflow.
const MAX_SPAN: Duration = Duration::from_secs(3650 * 24 * 3600);

/// One number with one unit; `humantime` would accept more.
fn seconds(text: &str) -> Parsed<Duration> {
    let digits = text.strip_suffix(['s', 'm', 'h', 'd']).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("must be a duration such as `90s`, `15m`, `72h` or `14d`".into());
    }
    match humantime::parse_duration(text) {
        Ok(span) if span <= MAX_SPAN => Ok(span),
        _ => Err("must be at most ten years".into()),
    }
}

/// A duration above zero.
pub(super) fn span(text: &str) -> Parsed<Duration> {
    interval(text)?.ok_or_else(|| "must be longer than nothing".into())
}

/// The longest timeout: after a crash, an object may stay claimed for this long.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// The timeout of one call.
pub(super) fn timeout(text: &str) -> Parsed<Duration> {
    match span(text)? {
        timeout if timeout <= MAX_TIMEOUT => Ok(timeout),
        _ => Err("must be at most one hour".into()),
    }
}

/// A duration, or `None` for `0`.
pub(super) fn interval(text: &str) -> Parsed<Option<Duration>> {
    if text == "0" {
        return Ok(None);
    }
    seconds(text).map(|span| Some(span).filter(|span| !span.is_zero()))
}
