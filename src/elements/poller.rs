//! `event.poller.configuration`: which resources an instance polls, how often, and which fields of a row are its id
//! and dates. Pure. `change` then decides what a row means.
//!
//! Source: Cloud Elements, "Polling configuration", and the BigCommerce and WooCommerce element guides.

mod read;

use std::time::Duration;

use serde_json::{Map, Value};

use super::{error::ApiError, values};
use crate::{
    object::ResourceName,
    resource::{DateField, PolledResource},
    spec::{ConnectionSpec, SourceKind},
};

/// The configuration key for the resources.
pub const CONFIGURATION: &str = "event.poller.configuration";
/// The older key for them: lines of `resource|url|…`, or names joined by `|`.
pub const URLS: &str = "event.poller.urls";
/// A third key, used by other elements: names joined by commas.
pub const OBJECTS: &str = "event.objects";
/// The configuration key for the interval.
pub const INTERVAL: &str = "event.poller.refresh_interval";

/// Time between polls if none is given.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Longest interval: a year.
const MAX_INTERVAL_MINUTES: f64 = 366.0 * 24.0 * 60.0;
/// Most resources of one instance.
const MAX_RESOURCES: usize = 50;
/// Seconds between creation and update within which a row counts as new; the vendor's default.
const DEFAULT_TOLERANCE: u32 = 10;

/// The format of dates in BigCommerce v2: RFC 2822.
const V2_FORMAT: &str = "EEE, dd MMM yyyy HH:mm:ss Z";
/// The format of dates in BigCommerce v3: ISO 8601.
const V3_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ssXXX";
/// The format of dates in WooCommerce; without a zone.
const WOO_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss";

/// Time between polls: minutes as a number or a string, fractions allowed, at least 0.02; 15 if nothing is given.
///
/// # Errors
/// 400 naming the key.
pub fn interval(value: Option<&Value>) -> Result<Duration, ApiError> {
    let Some(value) = value.filter(|value| !values::is_blank(value)) else {
        return Ok(DEFAULT_INTERVAL);
    };
    let minutes = values::number(value).filter(|minutes| (0.02..=MAX_INTERVAL_MINUTES).contains(minutes));
    let minutes = minutes.ok_or_else(|| ApiError::invalid(INTERVAL, "minutes are needed, 0.02 at least"))?;
    Ok(Duration::from_secs_f64(minutes * 60.0))
}

/// The resources that a configuration names, sorted by name if it is a JSON object, or the element's defaults if it
/// names none. `get` looks up a configuration key.
///
/// # Errors
/// 400 naming the key.
pub fn resources<'a>(
    kind: SourceKind,
    get: impl Fn(&str) -> Option<&'a Value>,
) -> Result<Vec<PolledResource>, ApiError> {
    let given = |key: &str| get(key).filter(|value| !values::is_blank(value));
    if let Some(value) = given(CONFIGURATION) {
        let configuration = values::object(value)
            .ok_or_else(|| ApiError::invalid(CONFIGURATION, "an object is needed, or the same as JSON in a text"))?;
        if !configuration.is_empty() {
            return of_object(kind, &configuration);
        }
    }
    if let Some(value) = given(URLS) {
        return of_lines(kind, values::text(value).ok_or_else(|| ApiError::invalid(URLS, "a text is needed"))?);
    }
    if let Some(value) = given(OBJECTS) {
        let names = values::text(value).ok_or_else(|| ApiError::invalid(OBJECTS, "a text is needed"))?;
        return of_names(kind, OBJECTS, names.split(','));
    }
    Ok(defaults(kind))
}

/// The resources whose changes a connection reports: its own, or orders if it names none. An instance without events
/// has none.
pub fn watched(spec: &ConnectionSpec) -> Vec<PolledResource> {
    let has_events = spec.instance.as_ref().is_none_or(|instance| instance.has_events);
    match spec.resources.as_slice() {
        _ if !has_events => Vec::new(),
        [] => vec![default_of(spec.source.kind(), ResourceName::orders())],
        resources => resources.to_vec(),
    }
}

/// The resources that an element polls by default.
pub fn defaults(kind: SourceKind) -> Vec<PolledResource> {
    let names: &[&str] = match kind {
        SourceKind::BigCommerce => &["orders", "products", "customers"],
        SourceKind::WooCommerce => &["customers", "discounts", "orders", "products"],
    };
    names.iter().filter_map(|name| ResourceName::new(name)).map(|name| default_of(kind, name)).collect()
}

/// The default configuration of a resource of which only the name is given.
fn default_of(kind: SourceKind, name: ResourceName) -> PolledResource {
    let url = match kind {
        SourceKind::BigCommerce => {
            format!("/hubs/ecommerce/{name}?where=min_date_modified='${{date:{V2_FORMAT}}}'")
        }
        SourceKind::WooCommerce => format!("/hubs/ecommerce/{name}"),
    };
    let (updated, created) = default_dates(kind, false);
    PolledResource {
        name,
        url,
        id_field: "id".to_owned(),
        updated: Some(updated),
        created: Some(created),
        filters_by_updated: true,
        filters_by_current: false,
        created_tolerance: DEFAULT_TOLERANCE,
        page_size: None,
        delay: 0,
    }
}

/// The default date fields of the store's rows: updated, created.
fn default_dates(kind: SourceKind, is_v3: bool) -> (DateField, DateField) {
    let (suffix, format) = match kind {
        SourceKind::BigCommerce if is_v3 => ("", V3_FORMAT),
        SourceKind::BigCommerce => ("", V2_FORMAT),
        SourceKind::WooCommerce => ("_gmt", WOO_FORMAT),
    };
    let field = |name: &str| DateField {
        path: format!("{name}{suffix}"),
        utc_path: None,
        format: format.to_owned(),
        zone: "GMT".to_owned(),
    };
    (field("date_modified"), field("date_created"))
}

fn of_object(kind: SourceKind, configuration: &Map<String, Value>) -> Result<Vec<PolledResource>, ApiError> {
    if configuration.len() > MAX_RESOURCES {
        return Err(ApiError::invalid(CONFIGURATION, format!("at most {MAX_RESOURCES} resources can be polled")));
    }
    configuration.iter().map(|(name, value)| read::resource(kind, name, value)).collect()
}

/// Reads the older key: one line for each resource, or the resources' names joined by `|`.
fn of_lines(kind: SourceKind, text: &str) -> Result<Vec<PolledResource>, ApiError> {
    let is_lines = text.split('|').nth(1).is_some_and(|second| second.contains('/'));
    if !is_lines {
        return of_names(kind, URLS, text.split(['|', '\n', ',']));
    }
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).take(MAX_RESOURCES + 1).collect();
    if lines.len() > MAX_RESOURCES {
        return Err(ApiError::invalid(URLS, format!("at most {MAX_RESOURCES} resources can be polled")));
    }
    lines.into_iter().map(|line| read::line(kind, line)).collect()
}

fn of_names<'a>(
    kind: SourceKind,
    key: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<PolledResource>, ApiError> {
    let mut resources: Vec<PolledResource> = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        let name = read::name(key, name)?;
        if resources.iter().all(|resource| resource.name != name) {
            let resource = default_of(kind, name);
            read::check(kind, key, &resource)?;
            resources.push(resource);
        }
        if resources.len() > MAX_RESOURCES {
            return Err(ApiError::invalid(key, format!("at most {MAX_RESOURCES} resources can be polled")));
        }
    }
    if resources.is_empty() { Ok(defaults(kind)) } else { Ok(resources) }
}

#[cfg(test)]
mod tests;
