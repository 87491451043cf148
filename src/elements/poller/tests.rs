use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(kind: SourceKind, configuration: Value) -> Result<Vec<PolledResource>, ApiError> {
    resources(kind, |key| configuration.get(key))
}

fn names(resources: &[PolledResource]) -> Vec<&str> {
    resources.iter().map(|resource| resource.name.as_str()).collect()
}

/// The example of the vendor's WooCommerce guide, including its unbalanced quote.
fn woo_example() -> Value {
    json!({
        "contacts": {
            "url": "/hubs/ecommerce/customers", "idField": "id",
            "datesConfiguration": {
                "updatedDateField": "date_modified", "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss'",
                "createdDateField": "date_created", "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss'"
            }
        },
        "discounts": { "url": "/hubs/ecommerce/discounts", "idField": "id", "datesConfiguration": {} },
        "orders": { "url": "/hubs/ecommerce/orders", "idField": "id", "datesConfiguration": {} },
        "products": { "url": "/hubs/ecommerce/products", "idField": "id", "datesConfiguration": {} }
    })
}

#[test]
fn the_vendor_s_examples_are_read() {
    let found = read(SourceKind::WooCommerce, json!({ CONFIGURATION: woo_example() })).expect("resources");
    assert_eq!(names(&found), ["contacts", "discounts", "orders", "products"]);
    let contacts = &found[0];
    let updated = contacts.updated.as_ref().expect("a date");
    assert_eq!(updated.format, "yyyy-MM-dd'T'HH:mm:ss'", "kept as it was given");
    assert_eq!(updated.utc_path.as_deref(), Some("date_modified_gmt"));
    assert!(contacts.filters_by_updated && !contacts.filters_by_current);
    assert_eq!((contacts.created_tolerance, contacts.page_size, contacts.delay), (10, None, 0));
    assert_eq!(found[2].updated.as_ref().map(|date| date.path.as_str()), Some("date_modified_gmt"));
    // The same configuration as JSON in a string.
    let text = json!({ CONFIGURATION: woo_example().to_string() });
    assert_eq!(read(SourceKind::WooCommerce, text).expect("resources"), found);
}

#[test]
fn nothing_said_means_the_element_s_own_resources() {
    for configuration in [json!({}), json!({ CONFIGURATION: {} }), json!({ CONFIGURATION: "", URLS: " " })] {
        let found = read(SourceKind::BigCommerce, configuration.clone()).expect("resources");
        assert_eq!(names(&found), ["orders", "products", "customers"]);
        let found = read(SourceKind::WooCommerce, configuration).expect("resources");
        assert_eq!(names(&found), ["customers", "discounts", "orders", "products"]);
    }
}

#[test]
fn the_older_keys_are_read() {
    let chosen = read(SourceKind::BigCommerce, json!({ URLS: "orders|customers|orders" })).expect("resources");
    assert_eq!(names(&chosen), ["orders", "customers"]);
    let chosen = read(SourceKind::WooCommerce, json!({ OBJECTS: "orders, products" })).expect("resources");
    assert_eq!(names(&chosen), ["orders", "products"]);
    let lines = "orders|/hubs/ecommerce/orders?where=min_date_modified='${date:yyyy}'||\
        date_modified|yyyy-MM-dd|MST|date_created|yyyy|GMT\n\
        products|/hubs/ecommerce/products";
    let found = read(SourceKind::BigCommerce, json!({ URLS: lines })).expect("resources");
    assert_eq!(names(&found), ["orders", "products"]);
    let updated = found[0].updated.as_ref().expect("a date");
    assert_eq!(
        (updated.path.as_str(), updated.format.as_str(), updated.zone.as_str()),
        ("date_modified", "yyyy-MM-dd", "MST")
    );
}

#[test]
fn fields_may_stand_in_both_places_and_spellings() {
    let resource = |extra: Value, dates: Value| {
        let mut resource = json!({ "url": "/orders", "idField": "id", "datesConfiguration": dates });
        for (key, value) in extra.as_object().expect("an object") {
            resource[key] = value.clone();
        }
        read(SourceKind::BigCommerce, json!({ CONFIGURATION: { "orders": resource } })).expect("resources").remove(0)
    };
    let top = resource(
        json!({ "filterByUpdateDate": "false", "createdCheckTolerance": "5", "pageSize": "20", "pollDelay": 60,
            "updatedDateTimezone": "MST" }),
        json!({ "updatedDateField": "a.b" }),
    );
    assert!(!top.filters_by_updated);
    assert_eq!((top.created_tolerance, top.page_size, top.delay), (5, Some(20), 60));
    assert_eq!(top.updated.as_ref().map(|date| date.zone.as_str()), Some("MST"));
    assert_eq!(top.created, None);
    let within = resource(
        json!({}),
        json!({ "createdCheckTolerance": 7, "filterByUpdatedDate": false, "filterByCurrentDate": true,
            "updatedDateField": "m", "updatedDateFormat": "milliseconds", "createdDateField": "c" }),
    );
    assert!(!within.filters_by_updated && within.filters_by_current);
    assert_eq!(within.created_tolerance, 7);
    assert_eq!(within.created.map(|date| date.format).as_deref(), Some("milliseconds"));
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    let dates = |dates: Value| json!({ "orders": { "url": "/orders", "idField": "id", "datesConfiguration": dates } });
    for (configuration, named) in [
        (json!("{"), "event.poller.configuration"),
        (json!([]), "event.poller.configuration"),
        (json!(5), "event.poller.configuration"),
        (json!({ "orders": 5 }), "event.poller.configuration.orders"),
        (json!({ "": {} }), "event.poller.configuration"),
        (json!({ "objectType": { "url": "/orders", "idField": "id" } }), "objectType"),
        (json!({ "orders": {} }), "orders.url"),
        (json!({ "orders": { "url": 5, "idField": "id" } }), "orders.url"),
        (json!({ "orders": { "url": "/orders" } }), "orders.idField"),
        (json!({ "orders": { "url": "/orders", "idField": "a..b" } }), "orders.idField"),
        (json!({ "orders": { "url": "https://evil.example/orders", "idField": "id" } }), "orders.url"),
        (json!({ "orders": { "url": "/hubs/x/hooks", "idField": "id" } }), "orders.url"),
        (json!({ "orders": { "url": "/orders?where=a", "idField": "id" } }), "orders.url"),
        (json!({ "orders": { "url": "/orders?where=a='1' OR b='2'", "idField": "id" } }), "orders.url"),
        (json!({ "orders": { "url": "/orders?where=total>'100'", "idField": "id" } }), "orders.url"),
        (json!({ "orders": { "url": "/orders?where=a='${date:bogus}'", "idField": "id" } }), "orders.url"),
        (dates(json!(5)), "orders.datesConfiguration"),
        (
            dates(json!({ "updatedDateField": "a", "updatedDateFormat": "bogus" })),
            "datesConfiguration.updatedDateFormat",
        ),
        (
            dates(json!({ "updatedDateField": "a", "updatedDateTimezone": "Moon" })),
            "datesConfiguration.updatedDateTimezone",
        ),
        (
            dates(json!({ "createdDateField": "..", "createdDateFormat": "yyyy" })),
            "datesConfiguration.createdDateField",
        ),
        (dates(json!({ "createdDateField": "a", "filterByCurrentDate": true })), "filterByCurrentDate"),
        (dates(json!({ "filterByUpdatedDate": "maybe" })), "filterByUpdatedDate"),
        (dates(json!({ "pageSize": 0 })), "pageSize"),
        (dates(json!({ "pollDelay": -1 })), "pollDelay"),
        (dates(json!({ "createdCheckTolerance": 1.5 })), "createdCheckTolerance"),
    ] {
        let error = read(SourceKind::BigCommerce, json!({ CONFIGURATION: configuration })).expect_err(named);
        assert!(error.status == 400 && error.message.contains(named), "{configuration}: {error:?}");
    }
    let many: Map<String, Value> =
        (0..51).map(|n| (n.to_string(), json!({ "url": "/orders", "idField": "id" }))).collect();
    assert!(read(SourceKind::BigCommerce, json!({ CONFIGURATION: many })).is_err());
    for (lines, named) in [("orders|/orders|//x", "XPath"), ("orders|/..", "event.poller.urls.orders.url")] {
        let error = read(SourceKind::BigCommerce, json!({ URLS: lines })).expect_err(named);
        assert!(error.message.contains(named), "{error:?}");
    }
    assert!(read(SourceKind::BigCommerce, json!({ URLS: 5 })).is_err());
    assert!(read(SourceKind::BigCommerce, json!({ OBJECTS: "or ders" })).is_err());
}

#[test]
fn intervals_are_minutes_however_they_come() {
    for (value, seconds) in [
        (Some(json!(1)), 60.0),
        (Some(json!("15")), 900.0),
        (Some(json!("0.5")), 30.0),
        (Some(json!(0.02)), 1.2),
        (Some(json!("")), 900.0),
        (None, 900.0),
    ] {
        assert_eq!(interval(value.as_ref()).expect("an interval"), Duration::from_secs_f64(seconds), "{value:?}");
    }
    for value in [json!("<minutes>"), json!(0), json!(0.01), json!(-5), json!("1e300"), json!(true), json!("inf")] {
        let error = interval(Some(&value)).expect_err("no interval");
        assert!(error.message.starts_with(INTERVAL), "{value}");
    }
}

proptest! {
    #[test]
    fn no_configuration_panics(
        name in "\\PC{0,10}", url in "\\PC{0,40}", field in "\\PC{0,10}", format in "\\PC{0,10}", lines in "\\PC{0,40}"
    ) {
        for kind in [SourceKind::BigCommerce, SourceKind::WooCommerce] {
            let dates = json!({ "updatedDateField": field, "updatedDateFormat": format, "pageSize": name });
            let resource = json!({ "url": url, "idField": field, "datesConfiguration": dates });
            let _ = read(kind, json!({ CONFIGURATION: { name.clone(): resource } }));
            let _ = read(kind, json!({ CONFIGURATION: lines }));
            let _ = read(kind, json!({ URLS: lines }));
            let _ = read(kind, json!({ OBJECTS: lines }));
        }
    }
}
