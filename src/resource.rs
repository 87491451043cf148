//! One polled resource: where its rows come from, which field is the id, which are the dates; and a GET for its rows.
//! Pure.
//!
//! Source: Cloud Elements, "Polling configuration" (`event.poller.configuration`).

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::object::{ObjectId, ResourceName};

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

/// Which of a store's interfaces is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreApi {
    /// BigCommerce `/v2`.
    BigCommerceV2,
    /// BigCommerce `/v3`: rows come within `{"data":…,"meta":…}`.
    BigCommerceV3,
    /// WooCommerce `/wc/v3`.
    WooCommerceV3,
}

impl StoreApi {
    /// Most rows that a page may have (BigCommerce: 250; WooCommerce: 100).
    pub fn max_page_size(self) -> u32 {
        match self {
            Self::BigCommerceV2 | Self::BigCommerceV3 => 250,
            Self::WooCommerceV3 => 100,
        }
    }

    /// Whether rows come within an envelope.
    pub fn is_enveloped(self) -> bool {
        self == Self::BigCommerceV3
    }
}

/// A GET to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRequest {
    /// Which interface.
    pub api: StoreApi,
    /// The path below the interface's root, without a leading slash: `orders/12/products`. Letters, digits and `_.~-`
    /// only, or what has been escaped.
    pub path: String,
    /// The query, not yet escaped.
    pub query: Vec<(String, String)>,
}

impl StoreRequest {
    /// A GET of one object of a list, as far as it is one that the store knows by this id: BigCommerce's v3 customers
    /// have no route of their own.
    pub fn of_one(&self, id: &ObjectId) -> Self {
        let id = id.to_string();
        if self.api == StoreApi::BigCommerceV3 && self.path == "customers" {
            return Self { query: vec![("id:in".to_owned(), id)], ..self.clone() };
        }
        let escaped: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        Self { path: format!("{}/{}", self.path, escaped.replace('+', "%20")), api: self.api, query: Vec::new() }
    }

    /// The path with its escaped query, without the interface's root.
    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }
}
