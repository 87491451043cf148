use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::elements::poller;

fn pollers(kind: SourceKind, configuration: Value) -> Vec<Poller> {
    let resources = poller::resources(kind, |key| (key == poller::CONFIGURATION).then_some(&configuration));
    resources.expect("resources").iter().map(|resource| Poller::new(kind, resource).expect("a poller")).collect()
}

fn orders(extra: Value) -> Poller {
    let mut resource = json!({
        "url": "/hubs/ecommerce/orders?where=min_date_modified='${date:EEE, dd MMM yyyy HH:mm:ss Z}'",
        "idField": "id",
        "datesConfiguration": {
            "updatedDateField": "date_modified", "updatedDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z",
            "createdDateField": "date_created", "createdDateFormat": "EEE, dd MMM yyyy HH:mm:ss Z"
        }
    });
    for (key, value) in extra.as_object().expect("an object") {
        resource[key] = value.clone();
    }
    pollers(SourceKind::BigCommerce, json!({ "orders": resource })).remove(0)
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().expect("a date").as_millisecond())
}

fn row(created: &str, updated: &str) -> Value {
    json!({ "id": 218, "status_id": 11, "date_created": created, "date_modified": updated, "is_deleted": false })
}

#[test]
fn rows_are_read_by_their_configuration() {
    let facts = orders(json!({})).read(
        br#"{"id":218,"status_id":7,"date_created":"Tue, 05 Mar 2019 21:40:11 +0000",
        "date_modified":"Mon, 11 Mar 2019 15:17:25 +0000","is_deleted":false}"#,
    );
    let expected = RowFacts {
        id: ObjectId::Number(218),
        status: Some("7".to_owned()),
        updated: Some(at("2019-03-11T15:17:25Z")),
        created: Some(at("2019-03-05T21:40:11Z")),
        change: ChangeKind::Updated,
        has_unreadable_date: false,
    };
    assert_eq!(facts, Ok(expected));
}

#[test]
fn kinds_of_change_follow_from_the_dates_and_the_row() {
    let created = "Tue, 05 Mar 2019 21:40:11 +0000";
    for (extra, row, change) in [
        (json!({}), row(created, created), ChangeKind::Created),
        (json!({}), row(created, "Tue, 05 Mar 2019 21:40:21 +0000"), ChangeKind::Created),
        (json!({}), row(created, "Tue, 05 Mar 2019 21:40:22 +0000"), ChangeKind::Updated),
        (json!({ "createdCheckTolerance": "0" }), row(created, "Tue, 05 Mar 2019 21:40:12 +0000"), ChangeKind::Updated),
        (json!({ "createdCheckTolerance": 60 }), row(created, "Tue, 05 Mar 2019 21:41:11 +0000"), ChangeKind::Created),
        (json!({}), row("Tue, 05 Mar 2019 21:40:12 +0000", created), ChangeKind::Created),
        (json!({}), json!({ "id": 1, "date_modified": created }), ChangeKind::Updated),
        (json!({}), json!({ "id": 1, "date_created": created, "date_modified": "" }), ChangeKind::Created),
        (json!({}), json!({ "id": 1, "is_deleted": true, "date_created": created }), ChangeKind::Deleted),
        (json!({}), json!({ "id": 1, "status": "trash" }), ChangeKind::Updated),
    ] {
        assert_eq!(orders(extra).read_value(&row).expect("facts").change, change, "{row}");
    }
    let shop = pollers(SourceKind::WooCommerce, json!({ "orders": { "url": "/orders", "idField": "id" } })).remove(0);
    assert_eq!(shop.read_value(&json!({ "id": 1, "status": "trash" })).expect("facts").change, ChangeKind::Deleted);
}

#[test]
fn rows_without_an_id_or_a_readable_date_say_so() {
    let poller = orders(json!({}));
    assert_eq!(poller.read(b"[]"), Err(RowError::NotAnObject));
    assert_eq!(poller.read(b"<html>"), Err(RowError::NotAnObject));
    assert_eq!(poller.read(br#"{"id":0}"#), Err(RowError::NoId));
    assert_eq!(poller.read(br#"{"id":null}"#), Err(RowError::NoId));
    let facts = poller.read(br#"{"id":"abc","date_modified":"2019-03-05"}"#).expect("facts");
    assert!(facts.has_unreadable_date && facts.updated.is_none());
    assert_eq!(facts.id.to_string(), "abc");
    let nested = orders(json!({ "idField": "user.id" }));
    assert_eq!(nested.read(br#"{"user":{"id":"7"}}"#).expect("facts").id, ObjectId::Number(7));
}

#[test]
fn a_shop_s_local_dates_are_read_in_utc_where_it_has_them() {
    let configuration = |zone: Option<&str>| {
        let mut dates = json!({
            "updatedDateField": "date_modified", "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss'",
            "createdDateField": "date_created", "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss'"
        });
        if let Some(zone) = zone {
            dates["updatedDateTimezone"] = zone.into();
        }
        json!({ "contacts": { "url": "/hubs/ecommerce/customers", "idField": "id", "datesConfiguration": dates } })
    };
    let row = json!({ "id": 1, "date_modified": "2019-03-05T15:40:11", "date_modified_gmt": "2019-03-05T21:40:11" });
    let updated = |zone: Option<&str>, row: &Value| {
        pollers(SourceKind::WooCommerce, configuration(zone))[0].read_value(row).expect("facts").updated
    };
    assert_eq!(updated(None, &row), Some(at("2019-03-05T21:40:11Z")));
    assert_eq!(updated(Some("-6:00"), &row), Some(at("2019-03-05T21:40:11Z")));
    assert_eq!(updated(Some("GMT"), &row), Some(at("2019-03-05T15:40:11Z")));
    let without = json!({ "id": 1, "date_modified": "2019-03-05T15:40:11" });
    assert_eq!(updated(None, &without), Some(at("2019-03-05T15:40:11Z")));
}

#[test]
fn polls_decide_by_dates() {
    let window = |last: Option<&str>| PollWindow {
        begins_at: at("2019-03-01T00:00:00.900Z"),
        last_poll: last.map(at),
        began: at("2019-03-05T12:15:00Z"),
    };
    let last = Some("2019-03-05T12:00:00Z");
    let all = json!({ "filterByUpdateDate": "false" });
    for (extra, last, changed, decision) in [
        (json!({}), last, "2019-03-05T12:10:00Z", Decision::Tell),
        (json!({}), last, "2019-03-05T12:00:00Z", Decision::Tell),
        (json!({}), last, "2019-03-05T11:58:00Z", Decision::Tell),
        (json!({}), last, "2019-03-05T11:57:59Z", Decision::TooOld),
        (json!({ "pollDelay": 60 }), last, "2019-03-05T11:57:00Z", Decision::Tell),
        (json!({ "pollDelay": 60 }), last, "2019-03-05T11:56:59Z", Decision::TooOld),
        (all.clone(), last, "2019-03-02T00:00:00Z", Decision::Tell),
        (all, last, "2019-02-28T23:59:59Z", Decision::TooOld),
        (json!({}), last, "2019-03-05T12:16:00Z", Decision::Tell),
        (json!({ "filterByCurrentDate": true }), last, "2019-03-05T12:16:00Z", Decision::Later),
        (json!({ "filterByCurrentDate": true }), last, "2019-03-05T12:15:00Z", Decision::Tell),
        (json!({}), None, "2019-03-01T00:00:00Z", Decision::Tell),
        (json!({}), None, "2019-02-28T23:59:59Z", Decision::TooOld),
    ] {
        let poller = orders(extra.clone());
        let date = changed.parse::<jiff::Timestamp>().expect("a date").strftime("%a, %d %b %Y %H:%M:%S +0000");
        let facts = poller.read_value(&row(&date.to_string(), &date.to_string())).expect("facts");
        assert_eq!(poller.decide(&facts, &window(last)), decision, "{extra} {changed}");
    }
    let undated = orders(json!({})).read_value(&json!({ "id": 1 })).expect("facts");
    assert_eq!(orders(json!({})).decide(&undated, &window(None)), Decision::Remember);
    assert_eq!(orders(json!({})).decide(&undated, &window(last)), Decision::Tell);
}

#[test]
fn requests_carry_the_configured_filter_or_the_relay_s_own() {
    let since = at("2019-03-05T21:40:11Z");
    let query = |poller: &Poller| poller.request(since).expect("a request").query;
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert_eq!(query(&orders(json!({}))), pair("min_date_modified", "Tue, 05 Mar 2019 21:40:11 +0000"));
    let plain = json!({ "url": "/hubs/ecommerce/orders" });
    assert_eq!(query(&orders(plain)), pair("min_date_modified", "2019-03-05T21:40:11Z"));
    let all = json!({ "url": "/orders", "filterByUpdatedDate": false });
    assert_eq!(query(&orders(all)), []);
    assert_eq!(query(&orders(json!({ "url": "/coupons" }))), []);
    let v3 = orders(json!({ "url": "/v3/catalog/products" }));
    assert_eq!(query(&v3), pair("date_modified:min", "2019-03-05T21:40:11Z"));
    // The documentation's example of a resource that BigCommerce does not have: its filter cannot be asked for.
    let contacts = json!({ "url": "/hubs/crm/contacts?where=lastUpdated>'${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}'" });
    let request = orders(contacts).request(since).expect("a request");
    assert_eq!(
        (request.path.as_str(), request.query),
        ("customers", pair("min_date_modified", "2019-03-05T21:40:11Z"))
    );
    let window = PollWindow { begins_at: at("2019-01-01T00:00:00Z"), last_poll: Some(since), began: since };
    assert_eq!(orders(json!({ "pollDelay": "60" })).asks_since(&window), at("2019-03-05T21:37:11Z"));
}

proptest! {
    #[test]
    fn no_row_panics(row in "\\PC{0,60}|[{}\\[\\]:,\"id0-9nul ]{0,40}", date in "\\PC{0,30}") {
        let poller = orders(json!({}));
        let _ = poller.read(row.as_bytes());
        let _ = poller.read_value(&json!({ "id": row, "date_modified": date }));
    }
}
