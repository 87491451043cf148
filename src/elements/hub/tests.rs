use bytes::Bytes;
use proptest::prelude::*;

use super::{super::rows::take_apart, *};

fn asked(kind: SourceKind, path: &str, query: &str) -> Result<String, ApiError> {
    let request = HubRead::parse(path, query)?.store_request(kind)?;
    let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(format!("{:?} {}?{}", request.api, request.path, query.join("&")))
}

#[test]
fn bigcommerce_is_asked_in_its_own_parameters() {
    for (path, query, request) in [
        ("/hubs/ecommerce/orders", "", "BigCommerceV2 orders?page=1&limit=100"),
        ("/orders/218", "", "BigCommerceV2 orders/218?"),
        (
            "/hubs/crap/orders",
            "where=min_date_modified%3D'Tue,%2005%20Mar%202019%2021:40:11%20%2B0000'&page=2&pageSize=50",
            "BigCommerceV2 orders?min_date_modified=Tue, 05 Mar 2019 21:40:11 +0000&page=2&limit=50",
        ),
        // The plus was not escaped.
        (
            "/hubs/ecommerce/orders",
            "where=min_date_modified='Tue, 05 Mar 2019 21:40:11 +0000'",
            "BigCommerceV2 orders?min_date_modified=Tue, 05 Mar 2019 21:40:11 +0000&page=1&limit=100",
        ),
        (
            "/hubs/ecommerce/orders",
            "where=date_modified>='2019-03-05T21:40:11+00:00' AND status_id=11&orderBy=date_modified desc",
            "BigCommerceV2 orders?min_date_modified=2019-03-05T21:40:11+00:00&status_id=11&page=1&limit=100\
                &sort=date_modified:desc",
        ),
        ("/orders", "where=id>5 and id<9", "BigCommerceV2 orders?min_id=6&max_id=8&page=1&limit=100"),
        ("/orders/12/addresses", "", "BigCommerceV2 orders/12/shipping_addresses?page=1&limit=100"),
        ("/orders/statuses", "", "BigCommerceV2 order_statuses?page=1&limit=100"),
        ("/customers/groups", "", "BigCommerceV2 customer_groups?page=1&limit=100"),
        ("/hubs/crm/contacts", "email=a@b.example", "BigCommerceV2 customers?email=a@b.example&page=1&limit=100"),
        (
            "/hubs/x/v3/catalog/products",
            "where=date_modified>='2019' AND id IN (1,2) AND name LIKE '%25x%25'&orderBy=id",
            "BigCommerceV3 catalog/products?date_modified:min=2019&id:in=1,2&name:like=x\
                &page=1&limit=100&sort=id&direction=asc",
        ),
    ] {
        assert_eq!(asked(SourceKind::BigCommerce, path, query).expect(path), request);
    }
}

#[test]
fn woocommerce_is_asked_in_its_own_parameters() {
    for (path, query, request) in [
        ("/hubs/ecommerce/discounts", "", "WooCommerceV3 coupons?page=1&per_page=100"),
        ("/orders/7/comments", "", "WooCommerceV3 orders/7/notes?page=1&per_page=100"),
        (
            "/orders",
            "where=after='2016-04-28T21:58:25'&orderBy=date_modified",
            "WooCommerceV3 orders?after=2016-04-28T21:58:25&page=1&per_page=100&orderby=modified&order=asc",
        ),
        (
            "/orders",
            "where=date_modified_gmt>='2016-04-28T21:58:25Z'",
            "WooCommerceV3 orders?modified_after=2016-04-28T21:58:24&dates_are_gmt=true&page=1&per_page=100",
        ),
        (
            "/orders",
            "where=date_created<='2016-04-28T21:58:25Z' AND id in (1,2)",
            "WooCommerceV3 orders?before=2016-04-28T21:58:26Z&include=1,2&page=1&per_page=100",
        ),
    ] {
        assert_eq!(asked(SourceKind::WooCommerce, path, query).expect(path), request);
    }
}

#[test]
fn what_cannot_be_asked_is_named() {
    use SourceKind::{BigCommerce, WooCommerce};
    for (kind, path, query, status, named) in [
        (BigCommerce, "/orders", "where=a='1' OR b='2'", 400, "where"),
        (BigCommerce, "/orders", "where=a IS NULL", 400, "a IS NULL"),
        (BigCommerce, "/orders", "where=lastUpdated>'x'", 400, "lastUpdated >"),
        (BigCommerce, "/orders", "where=a", 400, "where"),
        (BigCommerce, "/orders", "where=page='7'", 400, "page"),
        (BigCommerce, "/orders", "page=0", 400, "page"),
        (BigCommerce, "/orders", "pageSize=251", 400, "pageSize"),
        (WooCommerce, "/orders", "pageSize=101", 400, "pageSize"),
        (BigCommerce, "/orders", "nextPage=!", 400, "nextPage"),
        (BigCommerce, "/orders", "orderBy=id sideways", 400, "orderBy"),
        (BigCommerce, "/products", "orderBy=id", 400, "orderBy"),
        (BigCommerce, "/orders", "fields=a..b", 400, "fields"),
        (BigCommerce, "/hooks", "", 404, "resource"),
        (BigCommerce, "/v3/hooks", "", 404, "resource"),
        (BigCommerce, "/v3", "", 404, "resource"),
        (BigCommerce, "/../x", "", 404, "resource"),
        (WooCommerce, "/webhooks", "", 404, "resource"),
        // WordPress would take these as a deletion, another route, or other credentials.
        (WooCommerce, "/orders/7", "where=_method='DELETE'", 400, "_method"),
        (WooCommerce, "/orders/7", "_method=DELETE", 400, "_method"),
        (WooCommerce, "/orders/7", "where=rest_route='/wc/v3/webhooks'", 400, "rest_route"),
        (WooCommerce, "/orders/7", "rest.route=/wc/v3/webhooks", 400, "rest.route"),
        (WooCommerce, "/orders/7", "rest[route=/wc/v3/webhooks", 400, "rest[route"),
        (WooCommerce, "/orders/7", ".method=DELETE", 400, ".method"),
        (WooCommerce, "/orders/7", "Consumer_Key=ck", 400, "Consumer_Key"),
    ] {
        let error = asked(kind, path, query).expect_err(query);
        assert!(error.status == status && error.message.contains(named), "{query}: {error:?}");
    }
}

#[test]
fn pages_follow_each_other() {
    let page = |body: &'static str| take_apart(&Bytes::from_static(body.as_bytes()), false).expect("rows");
    let read = HubRead::parse("/orders", "pageSize=2").expect("a read");
    let token = read.next_page(StoreApi::BigCommerceV2, &page("[{},{}]"), None).expect("a next page");
    let next = HubRead::parse("/orders", &format!("nextPage={token}")).expect("a read");
    assert_eq!((next.page, next.page_size), (2, Some(2)));
    assert_eq!(next.next_page(StoreApi::BigCommerceV2, &page("[]"), None), None);
    assert_eq!(read.next_page(StoreApi::WooCommerceV3, &page("[{},{}]"), Some(2)), None);
    assert!(read.next_page(StoreApi::WooCommerceV3, &page("[{},{}]"), Some(3)).is_some());
    assert_eq!(read.next_page(StoreApi::BigCommerceV2, &page("{}"), None), None);
}

#[test]
fn answers_are_bare_rows() {
    let body = Bytes::from_static(br#"[{"id":1,"b":null,"c":1.10},{"id":2}]"#);
    let page = take_apart(&body, false).expect("rows");
    let text = |query: &str, drops_nulls| {
        let read = HubRead::parse("/orders", query).expect("a read");
        String::from_utf8(read.answer(&page, drops_nulls)).expect("UTF-8")
    };
    assert_eq!(text("", false), r#"[{"id":1,"b":null,"c":1.10},{"id":2}]"#);
    assert_eq!(text("", true), r#"[{"id":1,"c":1.10},{"id":2}]"#);
    assert_eq!(text("fields=id,b", true), r#"[{"id":1},{"id":2}]"#);
    let one = take_apart(&Bytes::from_static(b"{\"id\":1}"), false).expect("a row");
    assert_eq!(HubRead::parse("/orders/1", "").expect("a read").answer(&one, true), b"{\"id\":1}");
    let none = take_apart(&Bytes::new(), false).expect("no rows");
    assert_eq!(HubRead::parse("/orders", "").expect("a read").answer(&none, true), b"[]");
}

proptest! {
    #[test]
    fn no_read_panics_or_gets_past_the_reserved_parameters(
        path in "\\PC{0,30}|[a-z0-9/.]{0,20}",
        query in "\\PC{0,60}|(where=|&|_method|='x'|page=|nextPage=|a|>|IN|\\(|\\)| ){0,16}"
    ) {
        for kind in [SourceKind::BigCommerce, SourceKind::WooCommerce] {
            if let Ok(request) = HubRead::parse(&path, &query).and_then(|read| read.store_request(kind)) {
                prop_assert!(request.query.iter().all(|(name, _)| !name.starts_with('_')));
                prop_assert!(!request.path.contains("..") || request.path.split('/').all(|segment| segment != ".."));
            }
        }
    }
}
