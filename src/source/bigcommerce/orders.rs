//! Orders: one by its id, or a list of which each order's bytes are cut out exactly as they stand there.
//!
//! An order is never modelled: its types wobble (money as texts, `zip` a text or a number), so only `id`, `status_id` and
//! `date_modified` are read. Source: BigCommerce, "Orders V2" OpenAPI file.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Api, Operation, Token};
use crate::{
    clock::Timestamp,
    event::OrderId,
    http::{CallError, Unusable, read_body},
};

/// The largest order that is taken: 8 MiB.
pub const MAX_ORDER: usize = 8 * 1024 * 1024;
/// The largest list that is taken.
pub const MAX_LIST: usize = 32 * 1024 * 1024;

/// How many rows of a list clients ask for; the store's own maximum is not documented.
pub const PAGE: u32 = 250;
/// The documented default: no store's page holds fewer.
pub const SMALLEST_PAGE: u32 = 50;

/// One order as the store sent it.
#[derive(Clone)]
pub struct Snapshot {
    /// Its id, read from the bytes.
    pub id: OrderId,
    /// Its status, if it has one.
    pub status: Option<i64>,
    /// When the store last changed it, if it says so.
    pub modified: Option<Timestamp>,
    /// The bytes as they came. Somebody's home address: never logged, never stored.
    pub body: Bytes,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("id", &self.id).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Head {
    id: serde_json::Number,
    #[serde(default)]
    status_id: serde_json::Value,
    #[serde(default)]
    date_modified: serde_json::Value,
}

impl Snapshot {
    /// Reads the head of an order; the whole of it must be JSON.
    ///
    /// # Errors
    /// [`Unusable::NotJson`] when it is not an object with an id.
    pub fn read(body: Bytes) -> Result<Self, Unusable> {
        // An array that begins with a number would be read as an object too.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Unusable::NotJson);
        }
        let head: Head = serde_json::from_slice(&body).map_err(|_| Unusable::NotJson)?;
        let id = head.id.as_i64().and_then(OrderId::new).ok_or(Unusable::NotJson)?;
        let modified = head.date_modified.as_str().and_then(parse_date);
        Ok(Self { id, status: head.status_id.as_i64(), modified, body })
    }
}

/// RFC 2822 (`Tue, 05 Mar 2019 21:40:11 +0000`), as V2 answers, or RFC 3339.
fn parse_date(text: &str) -> Option<Timestamp> {
    let rfc2822 = || jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp());
    let at = rfc2822().or_else(|| text.parse().ok())?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Cuts a list of orders into snapshots that share its memory. A row that is no order is left out; one whose texts are not
/// UTF-8 is an order like any other.
///
/// # Errors
/// [`Unusable::NotJson`] when it is not an array.
pub fn cut_list(list: &Bytes) -> Result<Vec<Snapshot>, Unusable> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let readable = readable(list);
    let rows: Vec<&RawValue> = serde_json::from_str(&readable).map_err(|_| Unusable::NotJson)?;
    let snapshot = |row: &RawValue| {
        let begin = row.get().as_ptr() as usize - readable.as_ptr() as usize;
        Snapshot::read(list.slice(begin..begin + row.get().len())).ok()
    };
    Ok(rows.into_iter().filter_map(snapshot).collect())
}

/// The same text byte by byte, but for what is not UTF-8: no such byte can end a value.
fn readable(list: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(list) {
        return text.into();
    }
    let mut text = String::with_capacity(list.len());
    for chunk in list.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text.into()
}

/// Which orders a list asks for.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All with ids from `min` to `max`, by id.
    Ids {
        /// The lowest id.
        min: OrderId,
        /// The highest id.
        max: OrderId,
    },
    /// All that changed from `since` on.
    Modified {
        /// The earliest change.
        since: Timestamp,
        /// In which order.
        sort: Sort,
    },
}

/// The order of a list of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The longest unchanged first.
    OldestFirst,
    /// The latest change first.
    NewestFirst,
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

/// ISO 8601 in whole seconds with `Z`: no `+` that could be lost in a query.
fn filter_date(at: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(at.millis().div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    seconds.to_string()
}

impl Api {
    /// Fetches one order. What comes back is the order asked for, or an error.
    ///
    /// # Errors
    /// The call's failure, or [`Unusable`] for an answer that is not this order.
    pub async fn order(&self, token: Token, id: OrderId) -> Result<Snapshot, CallError> {
        let response = self.call(token, Operation::Order, Method::GET, &format!("v2/orders/{id}"), None).await?;
        let snapshot = Snapshot::read(read_body(response, MAX_ORDER).await?)?;
        if snapshot.id == id { Ok(snapshot) } else { Err(Unusable::AnotherOrder.into()) }
    }

    /// Fetches one page of orders, at most `limit` (and perhaps fewer: the store's own maximum is not documented). Orders
    /// that are archived or deleted are not among them.
    ///
    /// # Errors
    /// The call's failure, or [`Unusable`] for an answer that is no list of orders.
    pub async fn orders(
        &self,
        token: Token,
        selection: &Selection,
        page: u32,
        limit: u32,
    ) -> Result<Vec<Snapshot>, CallError> {
        let path = format!("v2/orders?{}&page={page}&limit={limit}", selection.query());
        let response = self.call(token, Operation::Orders, Method::GET, &path, None).await?;
        Ok(cut_list(&read_body(response, MAX_LIST).await?)?)
    }

    /// Asks for one order, any: proves that the credentials are right and may read orders.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn can_read_orders(self: &Arc<Self>) -> Result<(), CallError> {
        let token = self.take_soon().await?;
        let response = self.call(token, Operation::Orders, Method::GET, "v2/orders?limit=1", None).await?;
        cut_list(&read_body(response, MAX_LIST).await?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: i64) -> OrderId {
        OrderId::new(id).expect("positive")
    }

    #[test]
    fn a_selection_of_ids_asks_for_the_window_by_id() {
        let selection = Selection::Ids { min: order(3), max: order(252) };
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
