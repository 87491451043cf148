//! Orders and other objects: one by its id, many by their ids, or any path of the API unchanged.
//!
//! Objects have no type here: only `id`, `status` and the two dates in UTC are read. Source: WooCommerce, "REST API
//! v3".

use bytes::Bytes;
use jiff::{civil::DateTime, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::{
    AuthMode, Operation, Permit, Refusal, Shop,
    call::{Ask, MAX_LIST, smallest_read},
    root::Query,
};
use crate::{
    clock::Timestamp,
    http::{CallError, Failure, json_start, not_json},
    object::{ObjectId, Snapshot},
    source::cut::cut_list,
};

/// The largest object that is accepted: 8 MiB.
pub const MAX_OBJECT: usize = 8 * 1024 * 1024;
/// Most rows of a list; more are refused with 400.
pub const PAGE: u32 = 100;

/// The status of an unpaid cart, which the block checkout stores while the shopper types. It is not an order yet and
/// never forwarded.
pub const DRAFT: &str = "checkout-draft";
/// The status of an object in the trash.
pub const TRASH: &str = "trash";

/// The name of the resource for orders.
pub const ORDERS: &str = "orders";

#[derive(Deserialize)]
struct Head {
    id: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    date_created_gmt: Value,
    #[serde(default)]
    date_modified_gmt: Value,
}

/// Reads id, status and dates of an object; the whole must be valid JSON.
///
/// # Errors
/// [`Failure::NotJson`] if it is not an object with an id, [`Failure::Html`] if it is a web page.
pub fn read_object(body: Bytes) -> Result<Snapshot, Failure> {
    let json = json_start(&body);
    // An array that begins with a number would also be read as an object.
    if json.first() != Some(&b'{') {
        return Err(not_json(200, &body));
    }
    let head: Head = serde_json::from_slice(json).map_err(|_| Failure::NotJson)?;
    let id = ObjectId::from_json(&head.id).filter(|id| id.number().is_some()).ok_or(Failure::NotJson)?;
    let status = head.status.as_str().map(str::to_owned);
    Ok(Snapshot {
        id,
        is_deleted: status.as_deref() == Some(TRASH),
        status,
        created: head.date_created_gmt.as_str().and_then(parse_gmt),
        modified: head.date_modified_gmt.as_str().and_then(parse_gmt),
        body,
    })
}

/// Parses a `…_gmt` date: `2017-03-22T16:28:02`, in UTC although it does not say so. An offset, if there is one, is
/// honoured.
pub fn parse_gmt(text: &str) -> Option<Timestamp> {
    let bare = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    let at = text.parse::<jiff::Timestamp>().ok().or_else(bare)?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Formats a time in the same way, in whole seconds, rounded down.
pub fn format_gmt(at: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(at.millis().div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    seconds.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Splits a list into snapshots that share its memory. A row that is not an object is left out, as long as there are
/// others.
///
/// # Errors
/// [`Failure`] if it is not a list, or not one of objects.
pub fn read_objects(list: &Bytes) -> Result<Vec<Snapshot>, Failure> {
    let rows = cut_list(list)?;
    let is_empty = rows.is_empty();
    let objects: Vec<Snapshot> = rows.into_iter().filter_map(|row| read_object(row).ok()).collect();
    if objects.is_empty() && !is_empty { Err(Failure::NotJson) } else { Ok(objects) }
}

/// Whether an order is an unpaid cart.
pub fn is_draft(order: &Snapshot) -> bool {
    order.status.as_deref() == Some(DRAFT)
}

/// An answer to be passed on unchanged.
#[derive(Clone)]
pub struct RestAnswer {
    /// The status, which is a success.
    pub status: u16,
    /// The body, which begins like JSON; contains personal data.
    pub body: Bytes,
    /// The value of `X-WP-Total`: how many rows there are in all, for lists.
    pub total: Option<u64>,
    /// The value of `X-WP-TotalPages`: how many pages of the size asked for.
    pub pages: Option<u64>,
}

/// The name and address that a shop gives for itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShopInfo {
    /// The shop's name.
    #[serde(default)]
    pub name: String,
    /// The front page as WordPress knows it, which webhooks name as their source.
    #[serde(default)]
    pub home: String,
}

impl ShopInfo {
    /// The URL of the page where the merchant manages orders.
    pub fn control_panel(site: &url::Url) -> String {
        format!("{}/wp-admin/admin.php?page=wc-admin", site.as_str().trim_end_matches('/'))
    }
}

impl Shop {
    /// Fetches one order, which may be in the trash, or a draft. Returns the order asked for, or an error.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not that order.
    pub async fn order(&self, permit: Permit, id: &ObjectId) -> Result<Snapshot, CallError> {
        self.object(permit, ORDERS, id).await
    }

    /// Fetches one object of a resource such as `products`.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not that object. An id that is not a number counts as missing.
    pub async fn object(&self, permit: Permit, resource: &str, id: &ObjectId) -> Result<Snapshot, CallError> {
        let number = id.number().ok_or(Failure::Status(404))?;
        let operation = if resource == ORDERS { Operation::Order } else { Operation::Resource };
        let route = format!("{resource}/{number}");
        let reply = self.call(&permit, &Ask::get(operation, &route, Query::new(), MAX_OBJECT)).await?;
        let object = read_object(reply.body)?;
        if object.id == *id { Ok(object) } else { Err(Failure::AnotherObject.into()) }
    }

    /// Fetches up to [`PAGE`] orders with one call. Some may be missing: orders in the trash, and those with a status
    /// that lists leave out, can only be fetched one by one, and only then be told from those that are gone.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list.
    pub async fn orders(&self, permit: Permit, ids: &[ObjectId]) -> Result<Vec<Snapshot>, CallError> {
        self.objects(permit, ORDERS, ids).await
    }

    /// Like [`Shop::orders`] for another resource.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list.
    pub async fn objects(&self, permit: Permit, resource: &str, ids: &[ObjectId]) -> Result<Vec<Snapshot>, CallError> {
        let numbers: Vec<String> =
            ids.iter().filter_map(ObjectId::number).take(PAGE as usize).map(|number| number.to_string()).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let query = pairs([("include", numbers.join(",").as_str()), ("per_page", &PAGE.to_string())]);
        let operation = if resource == ORDERS { Operation::Orders } else { Operation::Resource };
        let reply = self.call(&permit, &Ask::get(operation, resource, query, MAX_LIST)).await?;
        let mut rows = read_objects(&reply.body)?;
        // A plugin that ignores `include` returns other objects.
        rows.retain(|row| ids.contains(&row.id));
        Ok(rows)
    }

    /// Fetches one page of a whole resource, by id, for resources without a list of changes, such as `customers`.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list.
    pub async fn walk(
        &self,
        permit: Permit,
        resource: &str,
        page: u32,
        limit: u32,
    ) -> Result<Vec<Snapshot>, CallError> {
        let (page, limit) = (page.max(1).to_string(), limit.clamp(1, PAGE).to_string());
        let mut query = pairs([("orderby", "id"), ("order", "asc"), ("page", &page), ("per_page", &limit)]);
        if resource == "customers" {
            // By default the list leaves out buyers with another role.
            query.extend(pairs([("role", "all")]));
        }
        let reply = self.call(&permit, &Ask::get(Operation::Resource, resource, query, MAX_LIST)).await?;
        Ok(read_objects(&reply.body)?)
    }

    /// Fetches any path below `wc/v3/`, such as `orders/218/refunds`, unchanged.
    ///
    /// # Errors
    /// The call's failure; [`Failure::NotJson`] or [`Failure::Html`] for a body that does not begin like JSON.
    pub async fn get(&self, permit: Permit, path: &str, query: &[(String, String)]) -> Result<RestAnswer, CallError> {
        let path = path.trim_matches('/');
        let reply = self.call(&permit, &Ask::get(Operation::Resource, path, query.to_vec(), MAX_LIST)).await?;
        if !matches!(json_start(&reply.body).first(), Some(b'{' | b'[')) {
            return Err(not_json(reply.status, &reply.body).into());
        }
        let (total, pages) = (reply.total(), reply.pages());
        Ok(RestAnswer { status: reply.status, body: reply.body, total, pages })
    }

    /// Asks for one order, any: a success proves that the keys are right and may read orders. If the keys go in the
    /// query, also tests whether the header arrives by now.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn can_read(&self) -> Result<(), CallError> {
        let permit = self.take_urgent().await?;
        Ok(self.try_read(&permit).await?)
    }

    pub(super) async fn try_read(&self, permit: &Permit) -> Result<(), Refusal> {
        let auth = self.state.lock().auth;
        if auth == AuthMode::QueryKeys {
            let root = self.root().await?;
            if self.send(&root, AuthMode::Basic, &self.keys, &smallest_read()).await.is_ok() {
                self.state.lock().auth = AuthMode::Basic;
            }
        }
        let reply = self.call(permit, &smallest_read()).await?;
        cut_list(&reply.body)?;
        Ok(())
    }

    /// The shop's name and front page. The keys are not needed and not sent.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn info(&self) -> Result<ShopInfo, CallError> {
        let _permit = self.take_urgent().await?;
        let root = self.root().await?;
        let url = root.url("", &pairs([("_fields", "name,home")]))?;
        let response = self.shops.http.guarded(reqwest::Method::GET, url, self.shops.timeout)?.send().await?;
        if !response.status().is_success() {
            return Err(CallError::of_status(&response));
        }
        let status = response.status().as_u16();
        let body = crate::http::read_body(response, MAX_OBJECT).await?;
        serde_json::from_slice(json_start(&body)).map_err(|_| not_json(status, &body).into())
    }
}

/// Query parameters as owned strings.
pub(super) fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Query {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,40}") {
            let list = [b"[", body.as_slice(), b"]"].concat();
            let _ = (read_object(Bytes::from(body)), read_objects(&Bytes::from(list)), parse_gmt(&text));
        }
    }

    #[test]
    fn a_head_is_read_from_the_utc_dates_alone() {
        let body = r#"{"id":727,"status":"trash","date_created":"2017-03-22T13:28:02","date_modified":"x",
            "date_created_gmt":"2017-03-22T16:28:02","date_modified_gmt":"2017-03-22T16:28:08","meta_data":[{"value":{"id":[1]}}]}"#;
        let order = read_object(Bytes::from(body)).expect("an order");
        assert_eq!((order.id, order.status.as_deref(), order.is_deleted), (ObjectId::Number(727), Some("trash"), true));
        assert_eq!(order.created, Some(Timestamp::from_seconds(1_490_200_082)));
        assert_eq!(order.modified, Some(Timestamp::from_seconds(1_490_200_088)));
        assert_eq!(order.body, body.as_bytes());
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        for (body, failure) in [
            ("", Failure::NotJson),
            ("[]", Failure::NotJson),
            ("[1]", Failure::NotJson),
            ("{}", Failure::NotJson),
            (r#"{"id":0}"#, Failure::NotJson),
            (r#"{"id":"abc"}"#, Failure::NotJson),
            (r#"{"id":1"#, Failure::NotJson),
            (r#"{"code":"rest_forbidden","message":"","data":{"status":401}}"#, Failure::NotJson),
            ("<!DOCTYPE html>", Failure::Html(200)),
            ("Notice: Undefined index in /var/www/x.php\n{\"id\":1}", Failure::NotJson),
            ("<br />\n<b>Notice</b>: x\n{\"id\":1}", Failure::Html(200)),
        ] {
            assert_eq!(read_object(Bytes::from(body)).err(), Some(failure), "{body}");
        }
        let marked = read_object(Bytes::from("\u{feff}\n{\"id\":\"7\"}")).expect("a mark before it is no harm");
        assert_eq!((marked.id, marked.modified), (ObjectId::Number(7), None));
    }

    #[test]
    fn dates_go_there_and_back() {
        for text in ["2026-11-26T10:00:00", "1970-01-01T00:00:00", "2024-02-29T23:59:59"] {
            assert_eq!(format_gmt(parse_gmt(text).expect("a date")), text);
        }
        assert_eq!(parse_gmt("2026-11-26T10:00:00+02:00"), parse_gmt("2026-11-26T08:00:00"));
        for nothing in ["", "soon", "2026-13-01T00:00:00", "0"] {
            assert_eq!(parse_gmt(nothing), None, "{nothing}");
        }
        assert_eq!(format_gmt(Timestamp::from_millis(-1)), "1969-12-31T23:59:59");
        assert_eq!(format_gmt(Timestamp::from_millis(i64::MAX)), "1970-01-01T00:00:00");
    }
}
