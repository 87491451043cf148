//! What the page says while something is wrong: each fact once, and nothing that is not known.

use super::{
    super::{ENGLISH, parts::prose},
    ONE_OF_MANY, OPERATOR, outages, page, shop, troubled,
};
use crate::{
    health::{
        Facts,
        facts::OrderFacts,
        fixtures::{ago, down, fine, row, with},
        judge,
    },
    http::Failure,
    inbox::{ObjectState, Side},
};

#[test]
fn what_is_wrong_is_told_once() {
    let facts = outages();
    let html = page(&facts, &[], ONE_OF_MANY, None).0;
    for condition in judge(&facts).conditions {
        for text in [condition.cause, condition.cure] {
            let text = prose(&text).into_string();
            assert_eq!(html.matches(&text).count(), 1, "{text}");
        }
    }
    assert!(html.matches(ENGLISH.see_top).count() >= 3 && html.contains("<dd>error, since <time"));
}

/// The rows are read a moment after the numbers.
#[test]
fn the_number_of_waiting_orders_is_that_of_the_rows_beside_it() {
    let mut orders = OrderFacts::default();
    let rows = || vec![row(1, ObjectState::Pending, None), row(2, ObjectState::Delivered, None)];
    orders.take_recent(rows(), 200);
    assert_eq!((orders.summary.waiting, orders.summary.oldest_waiting), (1, Some(ago(600))));
    orders.take_recent(vec![row(1, ObjectState::Delivered, None)], 200);
    assert_eq!((orders.summary.waiting, orders.summary.oldest_waiting), (0, None));
    // There may be more than what was read.
    orders.summary.waiting = 900;
    orders.take_recent(rows(), 2);
    assert_eq!(orders.summary.waiting, 900);
}

#[test]
fn a_page_without_orders_promises_none_while_something_is_in_the_way() {
    let says = |facts: &Facts| page(facts, &[], OPERATOR, None).0.contains(ENGLISH.no_orders_hint);
    assert!(says(&fine()));
    assert!(!says(&with(|facts| facts.store.outage = down(300, Failure::Status(503)))));
}

#[test]
fn what_an_outage_holds_up_waits_and_stands_below_what_is_refused() {
    let mut facts = troubled();
    facts.store.outage = down(300, Failure::Status(503));
    facts.destination.outage = down(300, Failure::Status(503));
    let orders = facts.orders.as_mut().expect("there are orders");
    let mut tried = row(1_019, ObjectState::Pending, Some((Side::Destination, Failure::Status(503))));
    tried.last_event_at = ago(700);
    let mut early = row(1_024, ObjectState::Pending, Some((Side::Store, Failure::Status(404))));
    early.next_attempt_at = Some(ago(1));
    orders.recent = vec![early, row(1_023, ObjectState::Pending, None), tried];
    let html = page(&facts, &[], OPERATOR, None).0;
    let order = |id: &str| {
        let rest = html.split(&format!(">Order {id}<")).nth(1).unwrap_or_else(|| panic!("no {id}"));
        rest.split("</li>").next().unwrap_or_default().to_owned()
    };
    let at = |id: &str| html.find(&format!(">Order {id}<"));
    assert!(at("1021") < at("1024") && at("1024") < at("1023") && at("1023") < at("1019"));
    assert!(order("1021").contains("Being tried again") && order("1021").contains("next try in 2 minutes"));
    let held_up = order("1019");
    assert!(held_up.contains("Waiting") && !held_up.contains("HTTP 503") && !held_up.contains("try"), "{held_up}");
    let early = order("1024");
    assert!(early.contains("Waiting") && early.contains("next try now") && early.contains("looked for again"));
    assert!(html.contains("<dd>last known: healthy"), "nobody can look at the webhooks now");
    assert!(page(&shop(), &[], OPERATOR, None).0.contains("<dd>healthy"));
}
