//! Headers, hooks and orders in undocumented forms.

use onetribe_relay::signature;
use sandbox::{Event, HookForm, HookRules, Scope, signed_request};

use super::bench::{Bench, Goal, Trial};

const GOAL: Goal = Goal::seconds(5, 5);

pub async fn signature_lists() -> Vec<Trial> {
    let mut bench = Bench::start(&[("RECONCILE_INTERVAL", "0")]).await;
    let mut refused = 0;
    for number in 0..60 {
        let order = bench.missed();
        let (headers, body) = signed_request(&bench.store.config().client_secret, &Event::new(Scope::Created, order));
        let mut request = bench.client.post(bench.url("/webhooks/bigcommerce")).body(body);
        for (name, value) in headers {
            for line in if name == "webhook-signature" { as_proxies_do(number, &value) } else { vec![value] } {
                request = request.header(&name, line);
            }
        }
        refused += usize::from(request.send().await.unwrap().status() != 200);
    }
    let mut trial = bench.measure("two entries joined and split in six ways", GOAL).await;
    trial.lost = trial.lost.max(refused);
    vec![trial]
}

/// The header lines that a proxy makes of two signatures, of which one is genuine.
fn as_proxies_do(number: usize, good: &str) -> Vec<String> {
    let stale = signature::sign("an older secret", "id", 1, b"another body");
    let raw = good.strip_prefix("v1,").unwrap();
    match number % 6 {
        0 => vec![stale, good.to_owned()],
        1 => vec![format!("{stale}, {good}")],
        2 => vec![format!("{good},{stale}")],
        3 => vec!["v1".to_owned(), raw.to_owned()],
        4 => vec![format!("v1, {raw}")],
        _ => vec![format!("{stale} {good}")],
    }
}

pub async fn hook_lists() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (what, shown) in [
        ("60 others in pages of 50", HookForm::Plain),
        ("the same, headers null", HookForm::NullHeaders),
        ("the same, headers masked", HookForm::MaskedHeaders),
        ("the same, is_active a text", HookForm::TextActive),
    ] {
        let mut bench = Bench::new(&[("BIGCOMMERCE_HOOKS_API", "v2"), ("RECONCILE_INTERVAL", "0")]);
        let rules = HookRules { v2_page: Some(50), per_scope: 1000, shown, ..HookRules::default() };
        bench.store.set_hook_rules(rules);
        for number in 0..60 {
            bench.store.add_hook("store/order/*", &format!("https://stranger{number}.example/hook")).unwrap();
        }
        for _ in 0..3 {
            bench.start_relay().await;
            bench.store.wait_for(|store| store.hooks().len() > 60, std::time::Duration::from_secs(30)).await.unwrap();
            bench.stop_relay().await;
        }
        bench.start_relay().await;
        for _ in 0..10 {
            bench.good().await;
        }
        let doubled = bench.store.hooks().len().abs_diff(61);
        let mut trial = bench.measure(what, GOAL).await;
        trial.lost += doubled;
        trials.push(trial);
    }
    trials
}

/// Found by polling, once a second.
pub async fn odd_orders() -> Vec<Trial> {
    let mut bench = Bench::start(&[("RECONCILE_INTERVAL", "1s"), ("SKIP_ORDER_STATUSES", "0")]).await;
    for number in 0..60 {
        let order = bench.missed();
        let date = |order: i64| {
            let modified = bench.store.order(order).unwrap().modified;
            format!("\"date_modified\": \"{}\"", sandbox::order::rfc2822(modified))
        };
        match number % 5 {
            0 => bench.store.alter_order(order, "\"status_id\": 11", "\"status_id\": \"11\""),
            1 => bench.store.alter_order(order, "\"is_deleted\": false", "\"is_deleted\": true"),
            2 => bench.store.alter_order(order, &date(order), "\"date_modified\": \"\""),
            3 => bench.store.alter_order(order, &date(order), "\"x\": 1"),
            _ => {}
        }
    }
    vec![bench.measure("60 missed, four in five of them odd", Goal::seconds(10, 10)).await]
}
