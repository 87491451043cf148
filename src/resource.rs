//! A polled resource: where its rows come from, and which fields are the id and the dates; and a GET for its rows.
//! Pure.
//!
//! Source: Cloud Elements, "Polling configuration" (`event.poller.configuration`).

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::object::{ObjectId, ResourceName};

/// One resource of an instance's `event.poller.configuration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolledResource {
    /// The name that notifications give it.
    pub name: ResourceName,
    /// The url template as it was given, macros included.
    pub url: String,
    /// The path of the id within a row, such as `id` or `user.id`.
    pub id_field: String,
    /// The field with the time of the last change, if there is one.
    #[serde(default)]
    pub updated: Option<DateField>,
    /// The field with the time of creation, if there is one.
    #[serde(default)]
    pub created: Option<DateField>,
    /// Whether rows not newer than the last poll are dropped.
    pub filters_by_updated: bool,
    /// Whether rows that changed after the poll began are left for the next one.
    pub filters_by_current: bool,
    /// How far apart both dates may be for a row to count as new, in seconds.
    pub created_tolerance: u32,
    /// Rows per page, if a number was given.
    #[serde(default)]
    pub page_size: Option<u32>,
    /// Seconds to subtract from the time of the last poll.
    pub delay: u32,
}

/// A date field of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateField {
    /// The path of the field, such as `date_modified`.
    pub path: String,
    /// A field with the same date in UTC, which is read instead where a row has it: WooCommerce's dates are in the
    /// shop's local time, with `date_modified_gmt` beside `date_modified`. `None` where a zone was given.
    #[serde(default)]
    pub utc_path: Option<String>,
    /// The format: a pattern of Java's date letters, or `milliseconds`.
    pub format: String,
    /// The zone of dates without one.
    pub zone: String,
}

/// The API of a store that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreApi {
    /// BigCommerce `/v2`.
    BigCommerceV2,
    /// BigCommerce `/v3`: rows are wrapped in `{"data":…,"meta":…}`.
    BigCommerceV3,
    /// WooCommerce `/wc/v3`.
    WooCommerceV3,
}

impl StoreApi {
    /// Most rows per page (BigCommerce: 250; WooCommerce: 100).
    pub fn max_page_size(self) -> u32 {
        match self {
            Self::BigCommerceV2 | Self::BigCommerceV3 => 250,
            Self::WooCommerceV3 => 100,
        }
    }

    /// Whether rows are wrapped in an envelope.
    pub fn is_enveloped(self) -> bool {
        self == Self::BigCommerceV3
    }
}

/// A GET to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRequest {
    /// The API that is called.
    pub api: StoreApi,
    /// The path below the API's root, without a leading slash: `orders/12/products`. Only letters, digits and `_.~-`,
    /// or escaped.
    pub path: String,
    /// The query parameters, not yet escaped.
    pub query: Vec<(String, String)>,
}

impl StoreRequest {
    /// A GET of one object of the list, if the store has a route for it: BigCommerce's v3 customers have none.
    pub fn of_one(&self, id: &ObjectId) -> Self {
        let id = id.to_string();
        if self.api == StoreApi::BigCommerceV3 && self.path == "customers" {
            return Self { query: vec![("id:in".to_owned(), id)], ..self.clone() };
        }
        let escaped: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        Self { path: format!("{}/{}", self.path, escaped.replace('+', "%20")), api: self.api, query: Vec::new() }
    }

    /// The GET for the rows in the trash, if this list leaves them out: WooCommerce's orders have a list for each
    /// status, and `any` does not include the trash.
    pub fn of_trash(&self) -> Option<Self> {
        let names_status = || self.query.iter().any(|(name, _)| name == "status" || name == "status[]");
        if self.api != StoreApi::WooCommerceV3 || self.path != "orders" || names_status() {
            return None;
        }
        let mut trash = self.clone();
        trash.query.push(("status".to_owned(), "trash".to_owned()));
        Some(trash)
    }

    /// The path with its escaped query, relative to the API's root.
    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }
}
