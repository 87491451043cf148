mod trouble;

use maud::Markup;

use super::*;
use crate::{
    clock::Timestamp,
    health::{
        Facts, Severity,
        facts::{OrderFacts, StoreLabel},
        fixtures::{NOW, ago, down, fine, row, with},
        judge,
    },
    http::Failure,
    inbox::{ConnectionState, Feed, HookState, Hour, ObjectRow, ObjectState, PauseReason, Side, Summary, hour_of},
    object::{ConnectionId, ObjectId},
    spec::{DestinationKind, Origin, SourceKind},
};

const OPERATOR: Audience<'_> = Audience::Operator(Operator { root: "./", is_one_of_many: false });
const ONE_OF_MANY: Audience<'_> = Audience::Operator(Operator { root: "../../", is_one_of_many: true });

fn merchant(backfill: Option<Backfill<'static>>) -> Audience<'static> {
    Audience::Merchant(Merchant {
        root: "../",
        token: "form-token",
        backfill,
        destination_error: None,
        can_resend: true,
    })
}

fn page(facts: &Facts, hours: &[Hour], audience: Audience<'_>, search: Option<&Search>) -> Markup {
    let judgment = judge(facts);
    let deliveries: Vec<Timestamp> =
        facts.orders.iter().flat_map(|orders| &orders.recent).filter_map(|row| row.delivered_at).collect();
    let activity = Activity { hours, deliveries: Some(&deliveries) };
    StatusPage { facts, judgment: &judgment, activity, notice: None, search, audience, texts: &ENGLISH }.render()
}

fn hours() -> Vec<Hour> {
    let last = hour_of(NOW);
    (0..48)
        .map(|back| {
            let forwarded = [0, 2, 7, 12, 31, 18, 5, 1][back as usize % 8];
            Hour { number: last - back, forwarded, waiting: (back != 9).then_some(forwarded / 3) }
        })
        .collect()
}

/// A store with a history and without faults.
fn shop() -> Facts {
    with(|facts| {
        facts.connection.name = "Riverside Candles".into();
        facts.connection.created_at = ago(40 * 86_400);
        facts.connection.label = Some(StoreLabel {
            name: "Riverside Candles & Soaps".into(),
            address: "https://www.riverside-candles.example".into(),
            control_panel_url: Some("https://store-abcde.mybigcommerce.com".into()),
        });
        let delivered = |id: i64| {
            let mut row = row(id, ObjectState::Delivered, None);
            let seconds = u64::try_from(1_020 - id).unwrap_or(0) * 1_130 + 40;
            (row.last_event_at, row.delivered_at) = (ago(seconds + 2), Some(ago(seconds)));
            row
        };
        let mut recent: Vec<ObjectRow> = (1_000..=1_020).rev().map(delivered).collect();
        recent[7].state = ObjectState::Skipped;
        let summary = Summary {
            last_event_at: Some(ago(42)),
            last_delivered_at: Some(ago(40)),
            created_at: Some(ago(40 * 86_400)),
            ..Summary::default()
        };
        facts.orders = Some(OrderFacts { summary, recent, ..OrderFacts::default() });
        facts.destination.answered_at = Some(ago(40));
        facts.feeds = vec![Feed { watermark: Some(ago(300)), ..Feed::new("orders") }];
    })
}

fn troubled() -> Facts {
    let mut facts = shop();
    let refused = Some((Side::Destination, Failure::Status(422)));
    let orders = facts.orders.as_mut().expect("there are orders");
    orders.failed = vec![row(993, ObjectState::Failed, refused), row(871, ObjectState::Gone, None)];
    orders.troubled = vec![
        row(1_021, ObjectState::Pending, refused),
        row(1_022, ObjectState::Pending, Some((Side::Store, Failure::NotJson))),
    ];
    orders.recent.insert(0, row(1_023, ObjectState::Pending, None));
    orders.summary =
        Summary { waiting: 3, refused: 2, failed: 1, gone: 1, oldest_waiting: Some(ago(600)), ..orders.summary };
    facts
}

fn outages() -> Facts {
    let mut facts = troubled();
    facts.store.outage = down(1_500, Failure::Status(401));
    facts.destination.outage = down(1_300, Failure::Status(503));
    facts.hooks.rows[0].state = HookState::Inactive;
    facts.store.clock_ahead_ms = Some(90_000);
    facts.connection.id = ConnectionId(12);
    facts.connection.origin = Origin::Api;
    facts
}

fn fresh() -> Facts {
    let mut facts = shop();
    facts.connection.created_at = ago(25 * 60);
    let orders = facts.orders.as_mut().expect("there are orders");
    orders.recent.truncate(6);
    for (at, row) in (1..).zip(&mut orders.recent) {
        row.state = ObjectState::Delivered;
        row.delivered_at = Some(ago(at * at * 31));
        row.last_event_at = ago(at * at * 31 + 3);
    }
    facts
}

fn app(state: ConnectionState, mut facts: Facts) -> Facts {
    facts.connection.origin = Origin::App;
    facts.connection.state = state;
    if state == ConnectionState::Incomplete {
        facts.connection.destination = None;
        facts.connection.destination_host = None;
        facts.orders =
            Some(OrderFacts { summary: Summary { waiting: 2, ..Summary::default() }, ..OrderFacts::default() });
    }
    facts
}

fn list(count: i64) -> Markup {
    let names = [
        "Riverside Candles",
        "Ölmühle Nord",
        "Pixel & Partner",
        "Café Zwölf",
        "A very long name of a shop that goes on and on, Incorporated",
    ];
    let rows = (1..=count).map(|id| ListRow {
        id: ConnectionId(id),
        name: format!("{} {id}", names[id as usize % names.len()]),
        store: if id % 3 == 0 { format!("shop{id}.example/subdirectory") } else { format!("hash{id}") },
        source: if id % 3 == 0 { SourceKind::WooCommerce } else { SourceKind::BigCommerce },
        destination: (id % 11 != 0).then(|| (DestinationKind::OneTribe, "api.onetribeglobal.com".to_owned())),
        state: match id {
            id if id % 11 == 0 => ConnectionState::Incomplete,
            id if id % 13 == 0 => ConnectionState::Paused,
            id if id % 17 == 0 => ConnectionState::Disconnected,
            _ => ConnectionState::Active,
        },
        waiting: if id % 7 == 0 { 1_234 } else { 0 },
        failed: if id % 19 == 0 { 3 } else { 0 },
        last_delivered_at: (id % 5 != 0).then(|| ago(u64::try_from(id).unwrap_or(1) * 61)),
        trouble: match id {
            7 => Some((Severity::Error, "One Tribe does not accept the payload URL".to_owned())),
            14 => Some((Severity::Warning, "Orders are late".to_owned())),
            _ => None,
        },
    });
    let query = ListQuery::default();
    let list = arrange(rows.collect(), &query);
    let page = ListPage {
        list: &list,
        query: &query,
        now: NOW,
        root: "./",
        notice: None,
        cannot_add: None,
        has_one_click: true,
    };
    page.render()
}

/// All pages that the tests below check, by name.
fn samples() -> Vec<(&'static str, Markup)> {
    let hours = hours();
    let found = Search {
        typed: "1009".into(),
        result: SearchResult::Found(Box::new(row(1_009, ObjectState::Delivered, None))),
    };
    let unknown = Search { typed: "4711".into(), result: SearchResult::Unknown };
    let counted = Some(Backfill::Counted { since: "2023-10-01", count: 1_204 });
    let ask = Some(Backfill::Ask { earliest: "2020-01-01", latest: "2023-11-14", error: None });
    let paused = with(|facts| {
        facts.connection.state = ConnectionState::Paused;
        facts.connection.pause_reason = Some(PauseReason::CallbackGone);
        facts.connection.destination = Some(DestinationKind::CloudElements);
        facts.connection.origin = Origin::Instance;
        facts.connection.id = ConnectionId(7);
    });
    vec![
        ("connected", page(&shop(), &hours, OPERATOR, None)),
        ("fresh", page(&fresh(), &[], OPERATOR, None)),
        ("empty", page(&fine(), &[], OPERATOR, None)),
        ("troubled", page(&troubled(), &hours, OPERATOR, Some(&found))),
        ("outages", page(&outages(), &hours, ONE_OF_MANY, Some(&unknown))),
        ("callback", page(&paused, &hours, ONE_OF_MANY, None)),
        ("database", page(&with(|facts| facts.orders = None), &[], OPERATOR, None)),
        ("app-new", page(&app(ConnectionState::Incomplete, fresh()), &[], merchant(None), None)),
        ("app", page(&app(ConnectionState::Active, fresh()), &[], merchant(ask), None)),
        ("app-counted", page(&app(ConnectionState::Paused, shop()), &hours, merchant(counted), None)),
        ("list", list(120)),
        ("list-empty", list(0)),
        ("password", password_needed()),
        ("not-found", message(ENGLISH.no_page, &[ENGLISH.no_page_why], Some(("./integration", ENGLISH.to_status)))),
    ]
}

#[test]
fn every_page_is_whole_and_keeps_to_its_policy() {
    let to = std::env::var_os("STATUS_PAGES").map(std::path::PathBuf::from);
    for (name, page) in samples() {
        let html = &page.0;
        assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"), "{name}");
        for forbidden in [" style=", " onclick=", "javascript:", "http-equiv", "src=", "undefined", "None", "Some("] {
            let body = html.split("</style>").nth(1).and_then(|rest| rest.split("<script>").next()).unwrap_or_default();
            assert!(!body.contains(forbidden), "{name}: {forbidden}");
        }
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert_eq!(html.matches("<main").count(), 1, "{name}");
        let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "{name}: an id stands twice");
        if let Some(directory) = &to {
            std::fs::write(directory.join(format!("{name}.html")), html).expect("the directory can be written");
        }
    }
}

#[test]
fn the_operators_forms_lead_to_the_contracts_routes() {
    let html = page(&troubled(), &[], OPERATOR, None).0;
    for form in [
        r#"method="get" action="./integration/check""#,
        r#"method="post" action="./integration/update""#,
        r#"method="post" action="./orders/resend?state=failed""#,
        r#"method="post" action="./orders/993/resend""#,
        r#"method="get" action="./integration""#,
    ] {
        assert!(html.contains(form), "{form}");
    }
    assert!(html.contains("https://store-abcde.mybigcommerce.com/manage/orders/1020"));
    assert!(!html.contains(r#"name="token""#));
    let html = page(&outages(), &[], ONE_OF_MANY, None).0;
    for form in [
        r#"action="../../connections/12/integration/check""#,
        r#"action="../../connections/12/orders/993/resend""#,
        r#"action="../../connections/12" data-json="PATCH""#,
        r#"name="source.access_token""#,
        r#"href="../../connections""#,
    ] {
        assert!(html.contains(form), "{form}");
    }
    // The environment's own connection cannot be changed from a page.
    assert!(!page(&shop(), &[], OPERATOR, None).0.contains(r#"data-json="PATCH""#));
}

#[test]
fn a_merchants_forms_carry_the_token_and_none_leads_elsewhere() {
    for facts in [app(ConnectionState::Incomplete, fresh()), app(ConnectionState::Active, troubled())] {
        let html = page(&facts, &[], merchant(Some(Backfill::Ask { earliest: "", latest: "", error: None })), None).0;
        let forms: Vec<&str> = html.split("<form").skip(1).filter_map(|rest| rest.split("</form>").next()).collect();
        assert!(forms.len() >= 3);
        for form in forms {
            assert!(form.contains(r#"action="../bigcommerce/app/"#) && form.contains(r#"method="post""#), "{form}");
            assert!(form.contains(r#"name="token" value="form-token""#), "{form}");
        }
    }
    let html = page(&app(ConnectionState::Incomplete, fresh()), &[], merchant(None), None).0;
    assert!(html.contains("app/destination") && html.contains("One Tribe payload URL"));
    assert!(html.find("app/destination") < html.find("Recent orders"), "what is needed stands first");
    let html = page(&app(ConnectionState::Active, fresh()), &[], merchant(None), None).0;
    assert!(html.contains("app/pause") && html.contains("app/destination") && !html.contains("app/backfill"));
    assert!(page(&app(ConnectionState::Paused, shop()), &[], merchant(None), None).0.contains("app/resume"));
}

#[test]
fn a_payload_url_that_must_be_corrected_is_not_hidden_in_a_fold() {
    let is_open = |facts: &Facts, audience| page(facts, &[], audience, None).0.contains(r#"class="card" open"#);
    let mut facts = app(ConnectionState::Active, shop());
    assert!(!is_open(&facts, merchant(None)));
    facts.destination.outage = down(1_500, Failure::Status(404));
    assert!(is_open(&facts, merchant(None)));
    // The environment's own is not corrected here.
    facts.connection.origin = Origin::Environment;
    assert!(!is_open(&facts, OPERATOR));
}

#[test]
fn what_comes_from_outside_is_text() {
    let hostile = "<img src=x onerror=alert(1)>\u{202e}\u{7}\"'&";
    let facts = with(|facts| {
        facts.connection.name = hostile.into();
        facts.connection.store = hostile.into();
        facts.connection.destination_host = Some(hostile.into());
        facts.connection.label = Some(StoreLabel {
            name: hostile.into(),
            address: hostile.into(),
            control_panel_url: Some("javascript:alert(1)//".into()),
        });
        facts.hooks.rows[0].topic = hostile.into();
        facts.hooks.rows[0].state = HookState::Missing;
        let mut row = row(1, ObjectState::Failed, None);
        row.id = ObjectId::Text(hostile.into());
        let mut other = row.clone();
        (other.id, other.state) = (ObjectId::Number(5), ObjectState::Delivered);
        let summary = Summary { failed: 1, ..Summary::default() };
        facts.orders = Some(OrderFacts { summary, failed: vec![row], recent: vec![other], ..OrderFacts::default() });
    });
    let search = Search { typed: hostile.into(), result: SearchResult::Unknown };
    let html = page(&facts, &[], OPERATOR, Some(&search)).0;
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;\\u{202e}\\u{7}"), "{html}");
    assert!(!html.contains("<img") && !html.contains('\u{202e}') && !html.contains("javascript:"), "{html}");
    assert!(html.contains("orders/%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E"), "{html}");
}

#[test]
fn failed_and_refused_orders_stand_first_and_each_once() {
    let mut facts = troubled();
    let orders = facts.orders.as_mut().expect("there are orders");
    let doubled = orders.failed[0].clone();
    orders.recent.insert(3, doubled);
    let html = page(&facts, &[], OPERATOR, None).0;
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(at(">Order 993<") < at(">Order 1021<") && at(">Order 1021<") < at(">Order 1023<"));
    assert!(at(">Order 1023<") < at(">Order 1020<"));
    assert_eq!(html.matches(">Order 993<").count(), 1);
    assert!(html.contains("<p>One Tribe refused it (HTTP 422).</p>"));
    assert!(html.contains("next try in 2 minutes"));
}

#[test]
fn the_button_that_helps_is_the_main_one() {
    let first = |facts: &Facts| {
        let html = page(facts, &[], OPERATOR, None).0;
        let button = html.split("class=\"first\">").nth(1).and_then(|rest| rest.split('<').next());
        button.map(str::to_owned)
    };
    assert_eq!(first(&shop()).as_deref(), Some("Check Integration"));
    assert_eq!(
        first(&with(|facts| facts.hooks.rows[0].state = HookState::Missing)).as_deref(),
        Some("Update Integration")
    );
    let failed = with(|facts| {
        let summary = Summary { failed: 2, ..Summary::default() };
        facts.orders = Some(OrderFacts { summary, ..OrderFacts::default() });
    });
    assert_eq!(first(&failed).as_deref(), Some("Resend all failed"));
}

#[actix_web::test]
async fn headers_keep_other_sites_out() {
    use actix_web::http::{StatusCode, header};
    let header = |frame, name: header::HeaderName| {
        let answer = respond(StatusCode::OK, &password_needed(), frame);
        answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let policy = header(Frame::None, header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let ancestors = ["https://*.mybigcommerce.com".to_owned()];
    let policy = header(Frame::App(&ancestors), header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("frame-ancestors https://*.mybigcommerce.com"), "{policy}");
    assert_eq!(header(Frame::App(&ancestors), header::REFERRER_POLICY), "no-referrer");
    assert_eq!(header(Frame::None, header::REFERRER_POLICY), "same-origin");
    assert_eq!(header(Frame::None, header::X_FRAME_OPTIONS), "");
    assert_eq!(header(Frame::None, header::CACHE_CONTROL), "no-store");
    if let Some(to) = std::env::var_os("STATUS_PAGES") {
        let text = header(Frame::None, header::CONTENT_SECURITY_POLICY);
        std::fs::write(std::path::Path::new(&to).join("policy.txt"), text).expect("the directory can be written");
    }
}
