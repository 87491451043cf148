//! `event.poller.configuration`: which resources an instance polls, how often, and what of a row is id and date. Pure.
//! What a row then means is `change`'s business.
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

/// The key of the resources.
pub const CONFIGURATION: &str = "event.poller.configuration";
/// The older key of the same: lines of `resource|url|…`, or names joined by `|`.
pub const URLS: &str = "event.poller.urls";
/// Names of resources, joined by commas (other elements use it).
pub const OBJECTS: &str = "event.objects";
/// The key of the interval.
pub const INTERVAL: &str = "event.poller.refresh_interval";

/// Minutes between polls where nothing is said.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// No client polls less often than once a year.
const MAX_INTERVAL_MINUTES: f64 = 366.0 * 24.0 * 60.0;
/// Resources of one instance.
const MAX_RESOURCES: usize = 50;
/// What the vendor's platform takes where nothing is said.
const DEFAULT_TOLERANCE: u32 = 10;

/// RFC 2822, as BigCommerce v2 writes dates.
const V2_FORMAT: &str = "EEE, dd MMM yyyy HH:mm:ss Z";
/// ISO 8601, as BigCommerce v3 writes dates.
const V3_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ssXXX";
/// As WooCommerce writes dates; without a zone.
const WOO_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss";

/// How often an instance polls: minutes as a number or a text, fractions allowed, at least 0.02; 15 where nothing is
/// said.
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

/// The resources that a configuration names, in its own order as far as JSON objects have one (by name), or the
/// element's own where it names none. `get` looks a configuration key up.
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

/// The resources whose changes a connection notifies: its own, or orders where it names none. An instance without
/// events has none.
pub fn watched(spec: &ConnectionSpec) -> Vec<PolledResource> {
    let has_events = spec.instance.as_ref().is_none_or(|instance| instance.has_events);
    match spec.resources.as_slice() {
        _ if !has_events => Vec::new(),
        [] => vec![default_of(spec.source.kind(), ResourceName::orders())],
        resources => resources.to_vec(),
    }
}

/// The element's own resources.
pub fn defaults(kind: SourceKind) -> Vec<PolledResource> {
    let names: &[&str] = match kind {
        SourceKind::BigCommerce => &["orders", "products", "customers"],
        SourceKind::WooCommerce => &["customers", "discounts", "orders", "products"],
    };
    names.iter().filter_map(|name| ResourceName::new(name)).map(|name| default_of(kind, name)).collect()
}

/// A resource of which nothing but its name is known.
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

/// The dates that the store's rows have by themselves: updated, created.
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

/// The older spelling: one line for each resource, or its resources' names joined by `|`.
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
