//! What a polled row means: which object it is, what happened to it, and whether to notify the callback. Pure.
//!
//! Source: Cloud Elements, "Polling: advanced filtering". The overlap and the rule against reporting a state twice
//! are the relay's own contract.

use std::{fmt, time::Duration};

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{
    date_format::DateFormat, error::ApiError, hub, paging::Cursor, rows::FieldPath, template::UrlTemplate, zone,
};
use crate::{
    clock::Timestamp,
    object::{ChangeKind, ObjectId},
    resource::{DateField, PolledResource},
    resource::{StoreApi, StoreRequest},
    spec::SourceKind,
};

/// Every poll asks from this much earlier than its macros say, so that rows of the same second, and rows that a store
/// shows late, are not missed. What has been reported already is recognised by its digest.
pub const OVERLAP: Duration = Duration::from_secs(120);

/// A resource compiled for polling.
#[derive(Debug, Clone)]
pub struct Poller {
    kind: SourceKind,
    resource: PolledResource,
    template: UrlTemplate,
    id: FieldPath,
    updated: Option<DateReader>,
    created: Option<DateReader>,
}

/// Which field of a resource's configuration is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ResourceError {
    /// The field's key: `url`, `idField`, `datesConfiguration.updatedDateFormat`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ResourceError {
    fn new(field: &str, problem: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), problem: problem.to_string() }
    }
}

#[derive(Debug, Clone)]
struct DateReader {
    path: FieldPath,
    utc_path: Option<FieldPath>,
    format: DateFormat,
    zone: TimeZone,
}

impl DateReader {
    fn new(which: &str, field: &DateField) -> Result<Self, ResourceError> {
        let name = |what: &str| format!("datesConfiguration.{which}Date{what}");
        let path = |path: &str| {
            FieldPath::parse(path).ok_or_else(|| ResourceError::new(&name("Field"), "the path of a field is needed"))
        };
        Ok(Self {
            path: path(&field.path)?,
            utc_path: field.utc_path.as_deref().map(path).transpose()?,
            format: DateFormat::parse(&field.format).map_err(|error| ResourceError::new(&name("Format"), error))?,
            zone: zone::parse(&field.zone).map_err(|error| ResourceError::new(&name("Timezone"), error))?,
        })
    }

    fn read(&self, row: &Value) -> ReadDate {
        let given = |path: &FieldPath| path.find(row).filter(|value| !super::values::is_blank(value)).cloned();
        let (value, zone) = match self.utc_path.as_ref().and_then(given) {
            Some(value) => (Some(value), &TimeZone::UTC),
            None => (given(&self.path), &self.zone),
        };
        match value {
            None => ReadDate::Absent,
            Some(value) => self.format.read_json(&value, zone).map_or(ReadDate::Unreadable, ReadDate::At),
        }
    }
}

enum ReadDate {
    Absent,
    Unreadable,
    At(Timestamp),
}

impl ReadDate {
    fn at(&self) -> Option<Timestamp> {
        if let Self::At(at) = self { Some(*at) } else { None }
    }
}

/// The facts read from a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFacts {
    /// The object's id.
    pub id: ObjectId,
    /// Its status in the store's own terms (`11`, `processing`), if it has one.
    pub status: Option<String>,
    /// When the object last changed, if the row says so.
    pub updated: Option<Timestamp>,
    /// When the object was created, if the row says so.
    pub created: Option<Timestamp>,
    /// The kind of change by the row's own dates. Whether the object is new to the relay, only the inbox knows.
    pub change: ChangeKind,
    /// Whether the configured format does not fit a date that is there: the configuration needs a look.
    pub has_unreadable_date: bool,
}

impl RowFacts {
    /// When the change happened: the updated date, or the created one where there is no other.
    pub fn changed_at(&self) -> Option<Timestamp> {
        self.updated.or(self.created)
    }
}

/// Why a row cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The row is not a JSON object.
    #[error("a row is no JSON object")]
    NotAnObject,
    /// There is no usable id at the configured path.
    #[error("a row has no usable id at the configured idField")]
    NoId,
}

/// The times that one poll goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollWindow {
    /// Changes before this time do not count: when the instance was made.
    pub begins_at: Timestamp,
    /// When the last complete poll began; `None` before the first.
    pub last_poll: Option<Timestamp>,
    /// When this poll began.
    pub began: Timestamp,
}

/// What to do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Report it, unless the same state was the last one reported: polls overlap, and may be repeated after a crash.
    Tell,
    /// Remember its state without reporting it: this is the first poll, and the row has no date.
    Remember,
    /// It changed too long ago.
    TooOld,
    /// Leave it to the next poll: it changed after this one began.
    Later,
}

impl Poller {
    /// Compiles a resource's url, paths, formats and zones.
    ///
    /// # Errors
    /// [`ResourceError`] names the field that is wrong.
    pub fn new(kind: SourceKind, resource: &PolledResource) -> Result<Self, ResourceError> {
        let template = UrlTemplate::parse(&resource.url).map_err(|error| ResourceError::new("url", error))?;
        let id = FieldPath::parse(&resource.id_field)
            .ok_or_else(|| ResourceError::new("idField", "the path of a field is needed"))?;
        let date =
            |which, field: &Option<DateField>| field.as_ref().map(|field| DateReader::new(which, field)).transpose();
        Ok(Self {
            kind,
            template,
            id,
            updated: date("updated", &resource.updated)?,
            created: date("created", &resource.created)?,
            resource: resource.clone(),
        })
    }

    /// The resource as it was configured.
    pub fn resource(&self) -> &PolledResource {
        &self.resource
    }

    /// The time from which a poll asks: the beginning of the last one (or the instance's), less the configured delay
    /// and the overlap.
    pub fn asks_since(&self, window: &PollWindow) -> Timestamp {
        let delay = Duration::from_secs(self.resource.delay.into());
        window.last_poll.unwrap_or(window.begins_at).before(delay + OVERLAP)
    }

    /// The request for everything since `since`, without paging (see `paging`). If the url itself has no date filter
    /// and the store supports one, it is added: a poll that finds nothing then costs one call.
    ///
    /// # Errors
    /// 400 naming what cannot be asked of the store.
    pub fn request(&self, since: Timestamp) -> Result<StoreRequest, ApiError> {
        let mut request = hub::store_request(self.kind, &self.template.expand(since), true)?;
        if let Some((name, value)) = self.own_filter(&request, since) {
            request.query.push((name.to_owned(), value));
        }
        Ok(request)
    }

    fn own_filter(&self, request: &StoreRequest, since: Timestamp) -> Option<(&'static str, String)> {
        let names: &[&str] = match request.api {
            StoreApi::BigCommerceV2 => &["orders", "products", "customers"],
            StoreApi::BigCommerceV3 => &["catalog/products", "customers"],
            StoreApi::WooCommerceV3 => &["orders", "products", "coupons"],
        };
        let is_filtered = request.query.iter().any(|(name, _)| name.contains("modified"));
        let filters = self.resource.filters_by_updated && self.updated.is_some();
        if is_filtered || !filters || !names.contains(&request.path.as_str()) {
            return None;
        }
        let format = DateFormat::parse("yyyy-MM-dd'T'HH:mm:ss'Z'").ok()?;
        let name = match request.api {
            StoreApi::BigCommerceV2 => "min_date_modified",
            StoreApi::BigCommerceV3 => "date_modified:min",
            // With `Z` and without `dates_are_gmt`, a time is right in every zone (seen from WooCommerce 8.0 to 11.0).
            StoreApi::WooCommerceV3 => "modified_after",
        };
        Some((name, format.format(since, &TimeZone::UTC)))
    }

    /// Reads the facts from a row.
    ///
    /// # Errors
    /// [`RowError`] if it is not an object or has no usable id.
    pub fn read(&self, row: &[u8]) -> Result<RowFacts, RowError> {
        let row: Value = serde_json::from_slice(row).map_err(|_| RowError::NotAnObject)?;
        self.read_value(&row)
    }

    /// Like [`Self::read`] for a parsed row.
    ///
    /// # Errors
    /// [`RowError`] if it is not an object or has no usable id.
    pub fn read_value(&self, row: &Value) -> Result<RowFacts, RowError> {
        if !row.is_object() {
            return Err(RowError::NotAnObject);
        }
        let id = self.id.find(row).and_then(ObjectId::from_json).ok_or(RowError::NoId)?;
        let date = |reader: &Option<DateReader>| reader.as_ref().map_or(ReadDate::Absent, |reader| reader.read(row));
        let (updated, created) = (date(&self.updated), date(&self.created));
        let status = match self.kind {
            SourceKind::BigCommerce => row.get("status_id"),
            SourceKind::WooCommerce => row.get("status"),
        };
        let is_deleted = match self.kind {
            SourceKind::BigCommerce => row.get("is_deleted").and_then(super::values::boolean) == Some(true),
            SourceKind::WooCommerce => row.get("status").and_then(Value::as_str) == Some("trash"),
        };
        Ok(RowFacts {
            id,
            status: status.and_then(super::values::as_text),
            updated: updated.at(),
            created: created.at(),
            change: if is_deleted { ChangeKind::Deleted } else { self.change(updated.at(), created.at()) },
            has_unreadable_date: matches!(updated, ReadDate::Unreadable) || matches!(created, ReadDate::Unreadable),
        })
    }

    /// Created if both dates lie within the tolerance of each other, or if only a creation date is there; updated
    /// otherwise.
    fn change(&self, updated: Option<Timestamp>, created: Option<Timestamp>) -> ChangeKind {
        let tolerance = Duration::from_secs(self.resource.created_tolerance.into());
        match (updated, created) {
            (Some(updated), Some(created)) if updated.since(created) > tolerance => ChangeKind::Updated,
            (_, Some(_)) => ChangeKind::Created,
            (_, None) => ChangeKind::Updated,
        }
    }

    /// What to do with a row in this poll. Changes before the instance was made are not reported; one in the very
    /// second counts as after it.
    pub fn decide(&self, facts: &RowFacts, window: &PollWindow) -> Decision {
        let Some(at) = facts.changed_at() else {
            return if window.last_poll.is_none() { Decision::Remember } else { Decision::Tell };
        };
        let began_second = Timestamp::from_seconds(window.begins_at.millis().div_euclid(1000));
        if at < began_second || (self.resource.filters_by_updated && at < self.asks_since(window)) {
            return Decision::TooOld;
        }
        if self.resource.filters_by_current && at > window.began {
            return Decision::Later;
        }
        Decision::Tell
    }

    /// A cursor through the pages of a poll's request.
    pub fn cursor(&self, request: &StoreRequest) -> Cursor {
        Cursor::new(request, self.resource.page_size, self.resource.id_field == "id")
    }
}

#[cfg(test)]
mod tests;
