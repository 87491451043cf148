//! Any poller configuration, date format and row: never a panic, and an accepted configuration can be polled with. The
//! input is three lines (a date format, a date, a URL template), then a resource's JSON, an empty line, and a row.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    clock::Timestamp,
    elements::{
        change::{PollWindow, Poller},
        date_format::DateFormat,
        poller::{self, CONFIGURATION, URLS},
        template::UrlTemplate,
        zone,
    },
    spec::SourceKind,
};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fuzz_target!(|input: &str| {
    let mut lines = input.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, date, template, rest) = (line(), line(), line(), line());
    let (resource, row) = rest.split_once("\n\n").unwrap_or((rest, ""));
    dates(pattern, date);
    if let Ok(template) = UrlTemplate::parse(template) {
        for at in [NOW, Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX)] {
            let query = template.expand(at);
            let Some(filter) = query.filter else { continue };
            for range in filter.macros {
                assert!(filter.text.get(range).is_some(), "a macro's place is no piece of the clause");
            }
        }
    }
    let resource: Value = serde_json::from_str(resource).unwrap_or_else(|_| resource.into());
    let configurations = [
        json!({ CONFIGURATION: { "orders": resource } }),
        json!({ CONFIGURATION: resource }),
        json!({ URLS: resource }),
    ];
    for kind in [SourceKind::BigCommerce, SourceKind::WooCommerce] {
        for configuration in &configurations {
            for resource in poller::resources(kind, |key| configuration.get(key)).unwrap_or_default() {
                let poller = Poller::new(kind, &resource).expect("a configuration that was accepted");
                poll(&poller, row);
            }
        }
    }
});

fn dates(pattern: &str, date: &str) {
    let Ok(format) = DateFormat::parse(pattern) else { return };
    let paris = zone::parse("Europe/Paris").expect("a zone");
    for zone in [paris, zone::parse(date).unwrap_or(jiff::tz::TimeZone::UTC)] {
        let _ = format.read_json(&Value::from(date), &zone);
        let at = format.read(date, &zone).unwrap_or(NOW);
        let text = format.format(at, &zone);
        // Text written in a Java date format is read or refused, and a date that is read can be written again.
        if let Some(again) = format.read(&text, &zone) {
            let _ = format.format(again, &zone);
        }
    }
}

fn poll(poller: &Poller, row: &str) {
    let window = PollWindow { begins_at: NOW, last_poll: Some(NOW), began: NOW };
    let request = poller.request(poller.asks_since(&window)).expect("a configuration that was accepted");
    assert!(!request.path.split('/').any(|segment| matches!(segment, "" | "." | "..")), "{}", request.path);
    let mut cursor = poller.cursor(&request);
    let page = cursor.page_of(&request);
    assert!(page.path_and_query().bytes().all(|byte| byte.is_ascii_graphic()));
    if let Ok(facts) = poller.read(row.as_bytes()) {
        let _ = poller.decide(&facts, &window);
        let _ = cursor.advance(&[facts.id], None);
    }
}
