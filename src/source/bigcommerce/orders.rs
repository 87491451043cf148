//! Orders: one by its id, or a list from which each order is cut out byte for byte.
//!
//! Orders have no type here, since theirs vary (money as strings, `zip` as a string or a number): only `id`,
//! `status_id`, `is_deleted` and the two dates are read. Source: BigCommerce, "Orders V2" OpenAPI file.

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{Operation, Permit, Store};
use crate::{
    clock::Timestamp,
    http::{self, CallError, Failure, read_body},
    object::{ObjectId, Snapshot},
    source::{Sort, cut::cut_list},
};

/// The largest order that is accepted: 8 MiB.
pub const MAX_ORDER: usize = 8 * 1024 * 1024;
/// The largest list that is accepted: 32 MiB.
pub const MAX_LIST: usize = 32 * 1024 * 1024;

/// The page size that is asked for; the store's own maximum is not documented.
pub const PAGE: u32 = 250;
/// The documented default page size: no store's pages are smaller.
pub const SMALLEST_PAGE: u32 = 50;

#[derive(Deserialize)]
struct Head {
    id: Value,
    #[serde(default)]
    status_id: Value,
    #[serde(default)]
    is_deleted: Value,
    #[serde(default)]
    date_created: Value,
    #[serde(default)]
    date_modified: Value,
}

/// Reads id, status and dates of an order; the whole must be valid JSON.
///
/// # Errors
/// [`Failure::NotJson`] when it is not an object with an id, [`Failure::Html`] when it is a web page.
pub fn read_order(body: Bytes) -> Result<Snapshot, Failure> {
    let json = http::json_start(&body);
    // An array that begins with a number would also be read as an object.
    if json.first() != Some(&b'{') {
        return Err(http::not_json(200, &body));
    }
    let head: Head = serde_json::from_slice(json).map_err(|_| Failure::NotJson)?;
    let id = ObjectId::from_json(&head.id).filter(|id| id.number().is_some()).ok_or(Failure::NotJson)?;
    let date = |value: &Value| value.as_str().and_then(parse_date);
    let status = match &head.status_id {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.trim().to_owned()),
        _ => None,
    };
    Ok(Snapshot {
        id,
        status,
        created: date(&head.date_created),
        modified: date(&head.date_modified),
        is_deleted: head.is_deleted == Value::Bool(true),
        body,
    })
}

/// Parses RFC 2822 (`Tue, 05 Mar 2019 21:40:11 +0000`), as in V2's answers, or RFC 3339.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let rfc2822 = || jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp());
    let at = rfc2822().or_else(|| text.parse().ok())?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Splits a list into snapshots that share its memory. A row that is not an order is left out, as long as there are
/// others: V2 also puts errors into a list, and some stores send one with a success status.
///
/// # Errors
/// [`Failure`] if it is not a list, or not one of orders.
pub fn read_orders(list: &Bytes) -> Result<Vec<Snapshot>, Failure> {
    let rows = cut_list(list)?;
    let is_empty = rows.is_empty();
    let orders: Vec<Snapshot> = rows.into_iter().filter_map(|row| read_order(row).ok()).collect();
    if orders.is_empty() && !is_empty { Err(Failure::NotJson) } else { Ok(orders) }
}

/// Which orders a list is asked for.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All with ids from `min` to `max`, by id.
    Ids {
        /// The lowest id.
        min: i64,
        /// The highest id.
        max: i64,
    },
    /// All that changed from `since` on.
    Modified {
        /// Changes from this time on.
        since: Timestamp,
        /// The order of the rows.
        sort: Sort,
    },
}

impl Selection {
    fn query(&self) -> String {
        match self {
            Self::Ids { min, max } => format!("min_id={min}&max_id={max}&sort=id:asc"),
            Self::Modified { since, sort } => {
                let direction = match sort {
                    Sort::OldestFirst => "asc",
                    Sort::NewestFirst => "desc",
                };
                format!("min_date_modified={}&sort=date_modified:{direction}", filter_date(*since))
            }
        }
    }
}

/// ISO 8601 in whole seconds with `Z`, without a `+` that could be lost in a query.
fn filter_date(at: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(at.millis().div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    seconds.to_string()
}

impl Store {
    /// Fetches one order. Returns the order asked for, or an error.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not that order.
    pub async fn order(&self, mut permit: Permit, id: &ObjectId) -> Result<Snapshot, CallError> {
        let path = format!("v2/orders/{}", path_segment(id));
        let response = self.call(&mut permit, Operation::Order, Method::GET, &path, None).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Err(Failure::Status(204).into());
        }
        let snapshot = read_order(read_body(response, MAX_ORDER).await?)?;
        if snapshot.id == *id { Ok(snapshot) } else { Err(Failure::AnotherObject.into()) }
    }

    /// Fetches one page of orders, at most `limit` (perhaps fewer: the store's own maximum is not documented).
    /// Archived and deleted orders are left out.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list of orders.
    pub async fn orders(
        &self,
        mut permit: Permit,
        selection: &Selection,
        page: u32,
        limit: u32,
    ) -> Result<Vec<Snapshot>, CallError> {
        let path = format!("v2/orders?{}&page={page}&limit={limit}", selection.query());
        let response = self.call(&mut permit, Operation::Orders, Method::GET, &path, None).await?;
        list_of(response).await
    }

    /// Asks for one order, any: a success proves that the credentials are right and may read orders.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn can_read(&self) -> Result<(), CallError> {
        let mut permit = self.take_urgent().await?;
        let response = self.call(&mut permit, Operation::Orders, Method::GET, "v2/orders?limit=1", None).await?;
        list_of(response).await.map(drop)
    }
}

/// The rows of an answer. An empty list is a 204 without a body, or an empty array; an empty 200 is an error.
async fn list_of(response: reqwest::Response) -> Result<Vec<Snapshot>, CallError> {
    let is_empty = response.status() == StatusCode::NO_CONTENT;
    let body = read_body(response, MAX_LIST).await?;
    if is_empty {
        return Ok(Vec::new());
    }
    if body.is_empty() {
        return Err(Failure::NotJson.into());
    }
    Ok(read_orders(&body)?)
}

/// An id, escaped for use in a path.
pub fn path_segment(id: &ObjectId) -> String {
    let text = id.to_string();
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_of_ids_asks_for_the_window_by_id() {
        let selection = Selection::Ids { min: 3, max: 252 };
        assert_eq!(selection.query(), "min_id=3&max_id=252&sort=id:asc");
    }

    #[test]
    fn a_selection_of_changes_asks_in_whole_seconds_rounded_down() {
        let since = Timestamp::from_millis(1_552_317_445_999);
        for (sort, direction) in [(Sort::OldestFirst, "asc"), (Sort::NewestFirst, "desc")] {
            let expected = format!("min_date_modified=2019-03-11T15:17:25Z&sort=date_modified:{direction}");
            assert_eq!(Selection::Modified { since, sort }.query(), expected);
        }
    }

    #[test]
    fn no_date_needs_encoding_in_a_query() {
        for millis in [i64::MIN, -1, 0, 1, 999, 1_552_317_445_123, 253_402_300_799_999, i64::MAX] {
            let date = filter_date(Timestamp::from_millis(millis));
            let plain = |byte: u8| byte.is_ascii_digit() || b"-:TZ".contains(&byte);
            assert!(date.bytes().all(plain) && date.ends_with('Z'), "{millis}: {date}");
        }
        assert_eq!(filter_date(Timestamp::from_millis(-1)), "1969-12-31T23:59:59Z");
    }
}
