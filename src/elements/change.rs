//! What a polled row means: which object, what happened to it, and whether it is notified. Pure.
//!
//! Source: Cloud Elements, "Polling: advanced filtering". Overlap, and what is told twice, as the relay's contract
//! says.

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

/// Every poll asks from this much earlier than its macros say: rows of equal seconds, and rows that a store shows late,
/// are not lost. What has been notified already is recognised by its digest.
pub const OVERLAP: Duration = Duration::from_secs(120);

/// A resource ready to be polled.
#[derive(Debug, Clone)]
pub struct Poller {
    kind: SourceKind,
    resource: PolledResource,
    template: UrlTemplate,
    id: FieldPath,
    updated: Option<DateReader>,
    created: Option<DateReader>,
}

/// Which field of a resource is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ResourceError {
    /// As the configuration names it: `url`, `idField`, `datesConfiguration.updatedDateFormat`.
    pub field: String,
    /// What is wrong.
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

/// What was read of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFacts {
    /// Which object.
    pub id: ObjectId,
    /// Its status in the store's own terms (`11`, `processing`), if it has one.
    pub status: Option<String>,
    /// When it was last changed, as far as the row says so.
    pub updated: Option<Timestamp>,
    /// When it was made, as far as the row says so.
    pub created: Option<Timestamp>,
    /// What the row by itself says of the change. A first-time object is for the inbox to tell.
    pub change: ChangeKind,
    /// Whether a date was there that the configured format does not read: the configuration should be looked at.
    pub has_unreadable_date: bool,
}

impl RowFacts {
    /// The moment that counts as the change: the updated date, or the created one where there is no other.
    pub fn changed_at(&self) -> Option<Timestamp> {
        self.updated.or(self.created)
    }
}

/// Why a row says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Not a JSON object.
    #[error("a row is no JSON object")]
    NotAnObject,
    /// Nothing usable at the id's path.
    #[error("a row has no usable id at the configured idField")]
    NoId,
}

/// One poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollWindow {
    /// From when on changes count: when the instance was made.
    pub begins_at: Timestamp,
    /// When the last complete poll began; none before the first.
    pub last_poll: Option<Timestamp>,
    /// When this poll began.
    pub began: Timestamp,
}

/// What happens with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Tell of it, unless the same state of it was told of last: polls overlap, and may be repeated after a crash.
    Tell,
    /// The first poll, and the row has no date: remember its state without telling of it.
    Remember,
    /// It changed too long ago.
    TooOld,
    /// It changed after this poll began: the next one tells of it.
    Later,
}

impl Poller {
    /// Compiles a resource.
    ///
    /// # Errors
    /// Names the field that is wrong.
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

    /// The resource.
    pub fn resource(&self) -> &PolledResource {
        &self.resource
    }

    /// From when on a poll asks: the last one's beginning (or the instance's), less the configured delay and the
    /// overlap.
    pub fn asks_since(&self, window: &PollWindow) -> Timestamp {
        let delay = Duration::from_secs(self.resource.delay.into());
        window.last_poll.unwrap_or(window.begins_at).before(delay + OVERLAP)
    }

    /// What the store is asked for everything since `since`, pages apart (see `paging`). Where the url itself does not
    /// filter by date and the store can, that filter is added: a poll that finds nothing costs one call.
    ///
    /// # Errors
    /// 400 naming what the store cannot be asked.
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
            // A time with `Z` and without `dates_are_gmt` is right in every zone (seen from WooCommerce 8.0 to 11.0).
            StoreApi::WooCommerceV3 => "modified_after",
        };
        Some((name, format.format(since, &TimeZone::UTC)))
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`RowError`]
    pub fn read(&self, row: &[u8]) -> Result<RowFacts, RowError> {
        let row: Value = serde_json::from_slice(row).map_err(|_| RowError::NotAnObject)?;
        self.read_value(&row)
    }

    /// The same, of a row that has been parsed.
    ///
    /// # Errors
    /// [`RowError`]
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

    /// New if both dates lie within the tolerance of each other. A row that was never updated is new.
    fn change(&self, updated: Option<Timestamp>, created: Option<Timestamp>) -> ChangeKind {
        let tolerance = Duration::from_secs(self.resource.created_tolerance.into());
        match (updated, created) {
            (Some(updated), Some(created)) if updated.since(created) > tolerance => ChangeKind::Updated,
            (_, Some(_)) => ChangeKind::Created,
            (_, None) => ChangeKind::Updated,
        }
    }

    /// What happens with a row in this poll. Nothing that changed before the instance was made is told of; a row of the
    /// very second counts as later.
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

    /// The way through the pages of a poll's request.
    pub fn cursor(&self, request: &StoreRequest) -> Cursor {
        Cursor::new(request, self.resource.page_size, self.resource.id_field == "id")
    }
}

#[cfg(test)]
mod tests;
