//! Any path and any query at the hubs: never a panic, and the store is only ever asked to read below its API, without
//! the parameters that the relay sets itself. The input is a path, a line feed, a `where` clause, a line feed, and
//! further parameters in the form of a URL's query.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onetribe_relay::{
    elements::{ceql::Expression, hub::HubRead},
    spec::SourceKind,
};
use url::form_urlencoded;

fuzz_target!(|input: &str| {
    let mut lines = input.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path, clause, more) = (line(), line(), line());
    if let Ok(expression) = Expression::parse(clause) {
        for term in expression.conjunction().unwrap_or_default() {
            let values = clause.get(term.values_at.clone()).expect("a piece of the clause");
            assert!(clause.contains(&term.field) && values.len() + term.field.len() < clause.len());
        }
    }
    let clause: String = form_urlencoded::byte_serialize(clause.as_bytes()).collect();
    let Ok(read) = HubRead::parse(path, &format!("where={clause}&{more}")) else { return };
    for kind in [SourceKind::BigCommerce, SourceKind::WooCommerce] {
        let Ok(request) = read.store_request(kind) else { continue };
        let mut segments = request.path.split('/');
        assert!(segments.clone().all(|segment| !matches!(segment, "" | "." | "..")), "{}", request.path);
        assert!(request.path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.~-/".contains(&byte)));
        assert!(
            !segments
                .next()
                .is_some_and(|first| first.eq_ignore_ascii_case("hooks") || first.eq_ignore_ascii_case("webhooks"))
        );
        for (name, _) in &request.query {
            let name = name.to_ascii_lowercase();
            assert!(!name.starts_with('_') && !name.starts_with("oauth") && !name.starts_with("consumer_"), "{name}");
        }
        let sizes = request.query.iter().filter(|(name, _)| matches!(name.as_str(), "limit" | "per_page"));
        for (_, size) in sizes {
            assert!(size.parse::<u32>().is_ok_and(|size| (1..=request.api.max_page_size()).contains(&size)));
        }
        let asked = request.path_and_query();
        assert!(asked.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{asked}");
    }
});
