use proptest::prelude::*;

use super::*;

/// Tuesday, 5 March 2019, 21:40:11.123 UTC.
const AT: Timestamp = Timestamp::from_millis(1_551_822_011_123);

fn expanded(url: &str) -> HubQuery {
    UrlTemplate::parse(url).expect(url).expand(AT)
}

#[test]
fn the_documented_macros_are_filled_in() {
    for (clause, filled) in [
        (
            "min_date_modified='${date:EEE, dd MMM yyyy HH:mm:ss Z}'",
            "min_date_modified='Tue, 05 Mar 2019 21:40:11 +0000'",
        ),
        ("lastUpdated>'${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}'", "lastUpdated>'2019-03-05T21:40:11Z'"),
        ("a='${dateTimeZone:{MST}:yyyy-MM-dd HH:mm}'", "a='2019-03-05 14:40'"),
        ("a='${dateTimeZone:{-6:00}:yyyy-MM-dd HH:mm}'", "a='2019-03-05 15:40'"),
        ("a='${dateTimeZone:-6:00:HH:mm}'", "a='15:40'"),
        ("a='${dateTimeZone:America/Chicago:HH:mm}'", "a='15:40'"),
        ("a='${date}'", "a='2019-03-05T21:40:11Z'"),
        ("a=${epoch}", "a=1551822011123"),
        ("a=${epoch:s} AND b=${epoch:us}", "a=1551822011 AND b=1551822011123000"),
        ("a%3D%27%C3%A4%27%20AND%20b='$5'", "a='ä' AND b='$5'"),
        ("a LIKE '%x%'", "a LIKE '%x%'"),
    ] {
        let filter = expanded(&format!("/hubs/ecommerce/orders?where={clause}")).filter.expect("a filter");
        assert_eq!(filter.text, filled);
    }
    let filter = expanded("/orders?where=a='${epoch:s}'").filter.expect("a filter");
    assert_eq!(&filter.text[filter.macros[0].clone()], "1551822011");
}

#[test]
fn the_hub_s_name_does_not_matter() {
    for url in ["/hubs/crap/orders", "/orders", "orders/", "hubs/crm/orders", "/elements/api-v2/hubs/ecommerce/orders?"]
    {
        assert_eq!(expanded(url).path.segments(), ["orders"], "{url}");
    }
    assert_eq!(expanded("/hubs/x/v3/catalog/products").path.segments(), ["v3", "catalog", "products"]);
}

#[test]
fn other_parameters_are_kept() {
    let query = expanded("/hubs/ecommerce/orders?status_id=11&where=a='1'&since=${epoch:s}&flag");
    let parameters = [("status_id", "11"), ("since", "1551822011"), ("flag", "")];
    assert_eq!(query.parameters, parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(expanded("/orders?where=%20").filter, None);
}

#[test]
fn urls_that_lead_elsewhere_or_nowhere_are_refused() {
    for (url, error) in [
        ("https://evil.example/hubs/ecommerce/orders", TemplateError::LeavesHost),
        ("//evil.example/orders", TemplateError::LeavesHost),
        ("/hubs/ecommerce/../../v2/store", TemplateError::LeavesHost),
        ("/hubs/ecommerce/%2e%2e/store", TemplateError::LeavesHost),
        (r"/\evil.example/orders", TemplateError::LeavesHost),
        ("user@evil.example", TemplateError::LeavesHost),
        ("/orders#x", TemplateError::LeavesHost),
        ("", TemplateError::NoResource),
        ("/hubs/ecommerce", TemplateError::NoResource),
        ("/hubs/ecommerce/", TemplateError::NoResource),
        ("/hubs/ecommerce//orders", TemplateError::NoResource),
        ("/or ders", TemplateError::NoResource),
        ("/a/b/c/d/e/f/g/h/i", TemplateError::NoResource),
        ("/${date}/orders", TemplateError::MisplacedMacro),
        ("/orders?${date}=x", TemplateError::MisplacedMacro),
        ("/orders?where=a='${date:yyyy'", TemplateError::OpenMacro),
        ("/orders?where=a='${dateTimeZone:{MST:yyyy'", TemplateError::OpenMacro),
        ("/orders?where=a='${now}'", TemplateError::UnknownMacro("now".to_owned())),
        ("/orders?where=a='${epoch:min}'", TemplateError::UnknownMacro("epoch:min".to_owned())),
        ("/orders?where=a='${date:bogus}'", TemplateError::Format(FormatError::UnknownLetter('b'))),
        ("/orders?where=a='${dateTimeZone:{Moon}:yyyy}'", TemplateError::Zone(UnknownZone)),
        ("/orders?where=a='1'&where=b='2'", TemplateError::SecondWhere),
        ("/orders\n", TemplateError::Malformed),
    ] {
        // Control characters are trimmed at the ends and refused elsewhere.
        let url = url.replace('\n', "\nx");
        assert_eq!(UrlTemplate::parse(&url).map(|_| ()), Err(error), "{url}");
    }
}

proptest! {
    #[test]
    fn no_url_panics_or_leaves(
        url in "\\PC{0,80}|[a-z/?&='%.${}:\\\\@# -]{0,60}|\
            (/|\\.\\.|%2e|hubs|x|\\?|where=|&|\\$\\{|date|:|\\}|epoch|'){0,24}",
        millis: i64
    ) {
        if let Ok(template) = UrlTemplate::parse(&url) {
            let query = template.expand(Timestamp::from_millis(millis));
            for segment in query.path.segments() {
                prop_assert!(segment != ".." && segment != "." && !segment.contains(['/', '\\', ':', '?', '#']));
            }
            if let Some(filter) = query.filter {
                for range in filter.macros {
                    prop_assert!(filter.text.get(range).is_some());
                }
            }
        }
    }
}
