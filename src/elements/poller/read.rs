//! Reads and validates one resource of a poller configuration.

use serde_json::{Map, Value};

use super::{CONFIGURATION, DEFAULT_TOLERANCE, URLS, default_dates};
use crate::{
    clock::Timestamp,
    elements::{change::Poller, error::ApiError, hub, template::UrlTemplate, values},
    object::ResourceName,
    resource::{DateField, PolledResource, StoreApi},
    spec::SourceKind,
};

/// Keys of a notification's `raw` object, which a resource cannot use as its name.
const TAKEN: [&str; 2] = ["objectType", "instance_id"];
/// Longest tolerance and delay: a year, in seconds.
const MAX_SECONDS: u32 = 366 * 86_400;

/// Validates the name of a resource.
pub fn name(key: &str, name: &str) -> Result<ResourceName, ApiError> {
    let found = ResourceName::new(name).filter(|_| !TAKEN.contains(&name));
    found.ok_or_else(|| ApiError::invalid(key, format!("a resource cannot be called `{}`", printable(name))))
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// The fields of one resource. They may be beside `datesConfiguration` or within it; the vendor's documentation has
/// both.
struct Fields<'a> {
    key: String,
    top: &'a Map<String, Value>,
    dates: Map<String, Value>,
}

impl Fields<'_> {
    fn get(&self, names: &[&str]) -> Option<(String, &Value)> {
        names.iter().find_map(|name| {
            let within = self.dates.get(*name).map(|value| (format!("{}.datesConfiguration.{name}", self.key), value));
            let found = within.or_else(|| Some((format!("{}.{name}", self.key), self.top.get(*name)?)))?;
            (!values::is_blank(found.1)).then_some(found)
        })
    }

    fn text(&self, names: &[&str]) -> Result<Option<String>, ApiError> {
        let read = |(key, value): (String, &Value)| {
            values::text(value).map(str::to_owned).ok_or_else(|| ApiError::invalid(&key, "a text is needed"))
        };
        self.get(names).map(read).transpose()
    }

    fn flag(&self, names: &[&str], default: bool) -> Result<bool, ApiError> {
        self.get(names).map_or(Ok(default), |(key, value)| {
            values::boolean(value).ok_or_else(|| ApiError::invalid(&key, "true or false is needed"))
        })
    }

    fn whole(&self, names: &[&str], least: u32) -> Result<Option<u32>, ApiError> {
        let read = |(key, value): (String, &Value)| {
            let number = values::whole(value).filter(|number| (least..=MAX_SECONDS).contains(number));
            number.ok_or_else(|| ApiError::invalid(&key, format!("a whole number from {least} on is needed")))
        };
        self.get(names).map(read).transpose()
    }

    /// One date: its field, its format (or `format` if none is given), its zone.
    fn date(&self, kind: SourceKind, which: &str, format: &str) -> Result<Option<DateField>, ApiError> {
        let Some(path) = self.text(&[&format!("{which}DateField")])? else {
            return Ok(None);
        };
        let format = self.text(&[&format!("{which}DateFormat")])?.unwrap_or_else(|| format.to_owned());
        let zone = self.text(&[&format!("{which}DateTimezone"), &format!("{which}DateTimeZone")])?;
        let has_twin = kind == SourceKind::WooCommerce && zone.is_none() && !path.ends_with("_gmt");
        let utc_path = has_twin.then(|| format!("{path}_gmt"));
        Ok(Some(DateField { path, utc_path, format, zone: zone.unwrap_or_else(|| "GMT".to_owned()) }))
    }
}

/// Reads one resource and validates it as a whole.
///
/// # Errors
/// 400 naming the key.
pub fn resource(kind: SourceKind, resource: &str, value: &Value) -> Result<PolledResource, ApiError> {
    let name = name(CONFIGURATION, resource)?;
    let key = format!("{CONFIGURATION}.{name}");
    let top = value.as_object().ok_or_else(|| ApiError::invalid(&key, "an object is needed"))?;
    let dates = match top.get("datesConfiguration") {
        None | Some(Value::Null) => Map::new(),
        Some(dates) => values::object(dates)
            .ok_or_else(|| ApiError::invalid(&format!("{key}.datesConfiguration"), "an object is needed"))?,
    };
    let fields = Fields { key: key.clone(), top, dates };
    let url = fields.text(&["url"])?.ok_or_else(|| ApiError::missing(&format!("{key}.url")))?;
    let id_field = fields.text(&["idField"])?.ok_or_else(|| ApiError::missing(&format!("{key}.idField")))?;

    let (default_updated, default_created) = default_dates(kind, is_v3(kind, &key, &url)?);
    let mut updated = fields.date(kind, "updated", &default_updated.format)?;
    let created_format = updated.as_ref().map_or(&default_created.format, |updated| &updated.format);
    let mut created = fields.date(kind, "created", created_format)?;
    if updated.is_none() && created.is_none() {
        (updated, created) = (Some(default_updated), Some(default_created));
    }
    let filters_by_current = fields.flag(&["filterByCurrentDate"], false)?;
    if filters_by_current && updated.is_none() {
        let problem = "it needs datesConfiguration.updatedDateField";
        return Err(ApiError::invalid(&format!("{key}.filterByCurrentDate"), problem));
    }
    let resource = PolledResource {
        name,
        url,
        id_field,
        updated,
        created,
        filters_by_updated: fields.flag(&["filterByUpdatedDate", "filterByUpdateDate"], true)?,
        filters_by_current,
        created_tolerance: fields.whole(&["createdCheckTolerance"], 0)?.unwrap_or(DEFAULT_TOLERANCE),
        page_size: fields.whole(&["pageSize"], 1)?,
        delay: fields.whole(&["pollDelay"], 0)?.unwrap_or(0),
    };
    check(kind, &key, &resource)?;
    Ok(resource)
}

fn is_v3(kind: SourceKind, key: &str, url: &str) -> Result<bool, ApiError> {
    let template = UrlTemplate::parse(url).map_err(|error| ApiError::invalid(&format!("{key}.url"), error))?;
    let query = template.expand(Timestamp::from_millis(0));
    let request = hub::store_request(kind, &query, true).map_err(|error| under(&format!("{key}.url"), error))?;
    Ok(request.api == StoreApi::BigCommerceV3)
}

/// Reads one line of the older key: `resource|url|filter|updated field|format|zone|created field|format|zone`.
///
/// # Errors
/// 400 naming the key.
pub fn line(kind: SourceKind, line: &str) -> Result<PolledResource, ApiError> {
    const NAMES: [&str; 6] = [
        "updatedDateField",
        "updatedDateFormat",
        "updatedDateTimezone",
        "createdDateField",
        "createdDateFormat",
        "createdDateTimezone",
    ];
    let mut parts = line.split('|').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let url = parts.next().unwrap_or_default();
    if parts.next().is_some_and(|filter| !filter.is_empty()) {
        return Err(ApiError::invalid(URLS, "the third part (an XPath filter) is not supported"));
    }
    let mut fields = Map::from_iter([("url".to_owned(), Value::from(url)), ("idField".to_owned(), "id".into())]);
    fields.extend(NAMES.iter().zip(parts).map(|(name, value)| ((*name).to_owned(), value.into())));
    resource(kind, name, &Value::Object(fields)).map_err(|mut error| {
        error.message = error.message.replace(CONFIGURATION, URLS);
        error
    })
}

/// Checks that a resource can be polled: its url, paths, formats and zones.
///
/// # Errors
/// 400 naming the key.
pub fn check(kind: SourceKind, key: &str, resource: &PolledResource) -> Result<(), ApiError> {
    let poller = Poller::new(kind, resource)
        .map_err(|error| ApiError::invalid(&format!("{key}.{}", error.field), error.problem))?;
    poller.request(Timestamp::from_millis(0)).map(|_| ()).map_err(|error| under(&format!("{key}.url"), error))
}

fn under(key: &str, error: ApiError) -> ApiError {
    ApiError { status: 400, message: format!("{key}: {}", error.message), ..error }
}
