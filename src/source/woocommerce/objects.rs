//! Orders and other objects: one by its id, many by their ids, or any path of the API as it is.
//!
//! An object is never modelled: only `id`, `status` and the two dates in UTC are read. Source: WooCommerce, "REST API
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

/// The largest object that is taken: 8 MiB.
pub const MAX_OBJECT: usize = 8 * 1024 * 1024;
/// Rows of a list, at most; more are refused with 400.
pub const PAGE: u32 = 100;

/// The status of a cart that nobody has paid for, as the block checkout keeps it while the shopper types. It is never
/// passed on, and is no order yet.
pub const DRAFT: &str = "checkout-draft";
/// The status of what was put into the trash.
pub const TRASH: &str = "trash";

/// The order resource.
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

/// Reads the head of an object; the whole of it must be JSON.
///
/// # Errors
/// [`Failure::NotJson`] when it is not an object with an id, [`Failure::Html`] when it is a web page.
pub fn read_object(body: Bytes) -> Result<Snapshot, Failure> {
    let json = json_start(&body);
    // An array that begins with a number would be read as an object too.
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

/// A `…_gmt` date: `2017-03-22T16:28:02`, UTC without saying so. One with an offset is taken for what it says.
pub fn parse_gmt(text: &str) -> Option<Timestamp> {
    let bare = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    let at = text.parse::<jiff::Timestamp>().ok().or_else(bare)?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// The same in whole seconds, rounded down.
pub fn format_gmt(at: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(at.millis().div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    seconds.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// A list as snapshots that share its memory. A row that is no object is left out, as long as there are others.
///
/// # Errors
/// [`Failure`] when it is not a list, or not of objects.
pub fn read_objects(list: &Bytes) -> Result<Vec<Snapshot>, Failure> {
    let rows = cut_list(list)?;
    let is_empty = rows.is_empty();
    let objects: Vec<Snapshot> = rows.into_iter().filter_map(|row| read_object(row).ok()).collect();
    if objects.is_empty() && !is_empty { Err(Failure::NotJson) } else { Ok(objects) }
}

/// Whether an order is a cart that nobody has paid for.
pub fn is_draft(order: &Snapshot) -> bool {
    order.status.as_deref() == Some(DRAFT)
}

/// An answer that is passed on as it is.
#[derive(Clone)]
pub struct RestAnswer {
    /// Its status, a success.
    pub status: u16,
    /// The body, which begins like JSON. Personal data.
    pub body: Bytes,
    /// `X-WP-Total`: how many rows there are in all, for lists.
    pub total: Option<u64>,
    /// `X-WP-TotalPages`: how many pages of the size that was asked for.
    pub pages: Option<u64>,
}

/// What a shop calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShopInfo {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its front page as WordPress knows it, which webhooks name as their source.
    #[serde(default)]
    pub home: String,
}

impl ShopInfo {
    /// Where the merchant looks after orders, relative to the shop's own address.
    pub fn control_panel(site: &url::Url) -> String {
        format!("{}/wp-admin/admin.php?page=wc-admin", site.as_str().trim_end_matches('/'))
    }
}

impl Shop {
    /// Fetches one order. What comes back is the order asked for, or an error. It may be in the trash, or a draft.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not this order.
    pub async fn order(&self, permit: Permit, id: &ObjectId) -> Result<Snapshot, CallError> {
        self.object(permit, ORDERS, id).await
    }

    /// Fetches one object of a resource such as `products`.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not this object. An id that is no number is missing.
    pub async fn object(&self, permit: Permit, resource: &str, id: &ObjectId) -> Result<Snapshot, CallError> {
        let number = id.number().ok_or(Failure::Status(404))?;
        let operation = if resource == ORDERS { Operation::Order } else { Operation::Resource };
        let route = format!("{resource}/{number}");
        let reply = self.call(&permit, &Ask::get(operation, &route, Query::new(), MAX_OBJECT)).await?;
        let object = read_object(reply.body)?;
        if object.id == *id { Ok(object) } else { Err(Failure::AnotherObject.into()) }
    }

    /// Fetches up to [`PAGE`] orders with one call. Some may be lacking: those in the trash, those of a status that
    /// lists leave out, and those that are gone are only to be had, or told apart, one by one.
    ///
    /// # Errors
    /// The call's failure, or why the answer is no list.
    pub async fn orders(&self, permit: Permit, ids: &[ObjectId]) -> Result<Vec<Snapshot>, CallError> {
        self.objects(permit, ORDERS, ids).await
    }

    /// The same for another resource.
    ///
    /// # Errors
    /// The call's failure, or why the answer is no list.
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
        // A plugin that knows nothing of `include` answers with others.
        rows.retain(|row| ids.contains(&row.id));
        Ok(rows)
    }

    /// One page of a whole resource by id, for those that cannot be asked for what changed, such as `customers`.
    ///
    /// # Errors
    /// The call's failure, or why the answer is no list.
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
            // By itself the list leaves out buyers who have another role.
            query.extend(pairs([("role", "all")]));
        }
        let reply = self.call(&permit, &Ask::get(Operation::Resource, resource, query, MAX_LIST)).await?;
        Ok(read_objects(&reply.body)?)
    }

    /// Reads any path below `wc/v3/`, such as `orders/218/refunds`, as it is.
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

    /// Asks for one order, any: proves that the keys are right and may read orders. Where the keys go in the query, it
    /// is tried whether the header arrives meanwhile.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
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

    /// What the shop calls itself. The keys are not needed, and not sent.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
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

/// Parameters of a query.
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
