//! One polled resource: where its rows come from, which field is the id, which are the dates. Pure.
//!
//! Source: Cloud Elements, "Polling configuration" (`event.poller.configuration`).

use serde::{Deserialize, Serialize};

use crate::object::ResourceName;

/// One resource of an instance's `event.poller.configuration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolledResource {
    /// The name under which it is told of.
    pub name: ResourceName,
    /// The url template as it was given, macros and all.
    pub url: String,
    /// The path of the id within a row, such as `id` or `user.id`.
    pub id_field: String,
    /// The field that says when a row changed, if there is one.
    #[serde(default)]
    pub updated: Option<DateField>,
    /// The field that says when a row was made.
    #[serde(default)]
    pub created: Option<DateField>,
    /// Whether rows that are not newer than the last poll are dropped.
    pub filters_by_updated: bool,
    /// Whether rows that changed after the poll began are left for the next one.
    pub filters_by_current: bool,
    /// How far apart both dates may lie for a row to count as new, in seconds.
    pub created_tolerance: u32,
    /// Rows a page, where it is given.
    #[serde(default)]
    pub page_size: Option<u32>,
    /// Taken off the last poll's time, in seconds.
    pub delay: u32,
}

/// A date within a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateField {
    /// Its path, such as `date_modified`.
    pub path: String,
    /// A field that says the same in UTC and is read instead where a row has it: WooCommerce's dates are the shop's
    /// local time, and `date_modified_gmt` stands beside `date_modified`. None where a zone was given.
    #[serde(default)]
    pub utc_path: Option<String>,
    /// Java's date letters, or `milliseconds`.
    pub format: String,
    /// The zone of dates that carry none.
    pub zone: String,
}
