use std::time::Duration;

use super::super::{
    fixtures::{NOW, ago, counted, down, fine, with},
    judge,
};
use super::*;
use crate::{health::facts::Health, http::Failure, inbox::Summary};

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn due(ledger: &mut Ledger, facts: &Facts) -> Vec<Message> {
    ledger.due(facts, &judge(facts), None)
}

fn at(seconds: u64, mut facts: Facts) -> Facts {
    facts.at = later(seconds);
    facts
}

fn failed(count: u64) -> Facts {
    counted(Summary { failed: count, ..Summary::default() })
}

#[test]
fn what_was_told_is_over_once_it_is_known_to_be_and_not_before() {
    let outage = |seconds, outage| at(seconds, with(|facts| facts.destination.outage = outage));
    let mut ledger = Ledger::default();
    let told = due(&mut ledger, &outage(0, down(400, Failure::Status(503))));
    assert_eq!(told.len(), 1);
    ledger.record(&told[0]);
    // Another process takes over: it knows nothing yet, then sees the same condition for a short while.
    for seconds in [0, 100] {
        assert_eq!(due(&mut ledger, &outage(seconds, Health::Unknown)), []);
    }
    for seconds in [105, 200, 404, 405, 900] {
        let since = later(105);
        let trouble = Health::Trouble(crate::health::facts::Trouble { since, failure: Failure::Status(503) });
        assert_eq!(due(&mut ledger, &outage(seconds, trouble)), []);
    }
    assert_eq!(due(&mut ledger, &outage(905, Health::Well)), []);
    let over = due(&mut ledger, &outage(965, Health::Well));
    assert_eq!((over.len(), over[0].is_over), (1, true));
    assert_eq!(
        over[0].text,
        "Over: onetribe-relay, store abcde: One Tribe takes orders again. What waited is being delivered."
    );
}

#[test]
fn one_message_when_it_begins_and_one_when_it_is_over() {
    let mut ledger = Ledger::default();
    let first = due(&mut ledger, &failed(1));
    assert_eq!((first.len(), first[0].is_over), (1, false));
    // The first message was not accepted; the newest text is sent instead.
    let second = due(&mut ledger, &at(5, failed(2)));
    assert!(
        second[0].text.starts_with("Alert: onetribe-relay, store abcde: 2 orders could not be delivered."),
        "{second:?}"
    );
    ledger.record(&second[0]);
    assert_eq!(due(&mut ledger, &at(10, failed(2))), []);
    assert_eq!(due(&mut ledger, &at(10, failed(50))), []);
    // Gone for a moment and back: still the same condition.
    assert_eq!(due(&mut ledger, &at(15, failed(0))), []);
    assert_eq!(due(&mut ledger, &at(60, failed(1))), []);
    assert_eq!(due(&mut ledger, &at(65, failed(0))), []);
    assert_eq!(due(&mut ledger, &at(124, failed(0))), []);
    // A restart in between resets only the quiet time.
    let kept: Vec<_> = ledger.told().map(|(connection, code)| (connection, code.name().to_owned())).collect();
    assert_eq!(kept, [(ConnectionId(1), "order_failed".to_owned())]);
    let mut ledger = Ledger::read(kept);
    assert_eq!(due(&mut ledger, &at(125, failed(0))), []);
    let over = due(&mut ledger, &at(185, failed(0)));
    assert_eq!(
        (over.len(), over[0].is_over, &*over[0].text),
        (1, true, "Over: onetribe-relay, store abcde: No failed orders are left.")
    );
    ledger.record(&over[0]);
    assert_eq!(due(&mut ledger, &at(999, failed(0))), []);
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn what_is_over_before_it_could_be_told_is_not_told() {
    let mut ledger = Ledger::default();
    assert_eq!(due(&mut ledger, &failed(1)).len(), 1);
    assert_eq!(due(&mut ledger, &at(120, fine())), []);
}

#[test]
fn a_trouble_of_the_process_is_told_once_and_not_for_each_connection() {
    let of = |id, seconds, database| {
        at(
            seconds,
            with(|facts| {
                facts.connection.id = ConnectionId(id);
                facts.relay.database = database;
            }),
        )
    };
    let mut ledger = Ledger::default();
    let told = due(&mut ledger, &of(1, 0, Health::Trouble(ago(1))));
    assert_eq!(told[0].connection, RELAY);
    assert!(told[0].text.starts_with("Alert: onetribe-relay: The relay's database cannot be written"), "{told:?}");
    ledger.record(&told[0]);
    assert_eq!(due(&mut ledger, &of(2, 0, Health::Trouble(ago(1)))), []);
    for (id, seconds, database) in [(1, 10, Health::Well), (2, 60, Health::Unknown), (2, 65, Health::Well)] {
        assert_eq!(due(&mut ledger, &of(id, seconds, database)), []);
    }
    assert!(due(&mut ledger, &of(2, 125, Health::Well))[0].is_over);
}

#[test]
fn alerts_lead_to_the_page_and_connections_do_not_mix() {
    let mut ledger = Ledger::default();
    let facts = failed(1);
    let told = ledger.due(&facts, &judge(&facts), Some("https://relay.example/integration"));
    assert!(
        told[0].text.ends_with(
            "Status page: https://relay.example/integration To resend: `onetribe-relay orders resend --state failed --connection 1`"
        ),
        "{told:?}"
    );
    let without = due(&mut ledger, &facts);
    assert!(without[0].text.contains("To see more: `onetribe-relay check --connection 1`"), "{without:?}");
    ledger.record(&told[0]);
    let other = at(600, with(|facts| facts.connection.id = ConnectionId(2)));
    assert_eq!(due(&mut ledger, &other), []);
    assert_eq!(due(&mut ledger, &at(700, other)), []);
    let mut told = Ledger::read([(ConnectionId(1), "something_of_a_newer_relay".to_owned())]);
    assert_eq!((due(&mut told, &fine()), told), (vec![], Ledger::default()));
}

#[test]
fn more_orders_that_fail_are_told_of_within_the_hour_and_a_restart_counts_anew() {
    let mut ledger = Ledger::default();
    let told = due(&mut ledger, &failed(2));
    ledger.record(&told[0]);
    assert_eq!(due(&mut ledger, &at(1, failed(2))), []);
    // One is resent and arrives, another fails: the count is the same, but there is a new failure.
    assert_eq!(due(&mut ledger, &at(1800, failed(1))), []);
    assert_eq!(due(&mut ledger, &at(2000, failed(2))), []);
    let again = due(&mut ledger, &at(3601, failed(2)));
    assert_eq!((again.len(), again[0].is_over), (1, false));
    ledger.record(&again[0]);
    assert_eq!(due(&mut ledger, &at(3606, failed(2))), []);
    assert_eq!(due(&mut ledger, &at(9000, failed(2))), [], "what is known is not repeated");
    let mut ledger = Ledger::read([(ConnectionId(1), "order_failed".to_owned())]);
    assert_eq!(due(&mut ledger, &at(9000, failed(2))), []);
    assert_eq!(due(&mut ledger, &at(12_600, failed(3))).len(), 1);
}

#[test]
fn a_store_is_called_what_it_calls_itself() {
    let mut facts = failed(1);
    facts.connection.label = Some(crate::health::facts::StoreLabel { name: "Green Shop".into(), ..Default::default() });
    let told = due(&mut Ledger::default(), &facts);
    assert!(told[0].text.starts_with("Alert: onetribe-relay, store Green Shop (abcde): "), "{told:?}");
}
