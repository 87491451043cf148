//! Each condition once: none without a cure, and none without its line in the merchants' table.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::super::{
        condition::{Code, Severity},
        facts::{AddressFault, Facts, Health, HookFault, OrderFacts, Probe, Refusal, ShopProblem},
        fixtures::{NOW, ago, counted, down, fine, row, with},
        verdict::verdict,
    },
    disk, judge,
};
use crate::{
    http::Failure,
    inbox::{ConnectionState, ObjectRow, ObjectState, PauseReason, Side, Summary},
    spec::{DestinationKind, Origin, SourceKind},
};

/// Each condition that there is, at least once.
fn troubles() -> Vec<Facts> {
    let refused = |id, side, failure| row(id, ObjectState::Pending, Some((side, failure)));
    let anew = |id| ObjectRow { attempts: 0, ..refused(id, Side::Destination, Failure::Status(422)) };
    let listed = |troubled: Vec<_>| {
        let summary = Summary { waiting: 3, refused: 3, ..Summary::default() };
        with(|facts| facts.orders = Some(OrderFacts { summary, troubled, ..OrderFacts::default() }))
    };
    let address = |fault, last_event_at| {
        let mut facts = counted(Summary { last_event_at, ..Summary::default() });
        facts.public_address = Some(Probe { at: ago(60), took: Duration::ZERO, outcome: Err(fault) });
        facts
    };
    let mut all = vec![
        with(|facts| facts.connection.public_url = None),
        with(|facts| (facts.connection.public_url, facts.connection.poll_interval) = (None, None)),
        with(|facts| facts.connection.poll_interval = None),
        with(|facts| facts.relay.has_admin_token = false),
        with(|facts| facts.relay.database = Health::Trouble(NOW)),
        with(|facts| facts.relay.disk = disk(1, 1_000)),
        with(|facts| facts.store.clock_ahead_ms = Some(-400_000)),
        with(|facts| facts.store.quota_closed_for = Some(Duration::from_secs(60))),
        with(|facts| facts.hooks.blocked_for = Some(Duration::from_secs(60))),
        with(|facts| facts.hooks.upkeep = Health::Trouble((ago(400), HookFault::Storage))),
        with(|facts| facts.webhooks.missed = 3),
        with(|facts| facts.webhooks.refused = 1),
        with(|facts| facts.webhooks.unsigned_at = Some(ago(5))),
        with(|facts| facts.webhooks.wrong_signature = Some(Refusal::new(Failure::Status(401), ago(5)))),
        with(|facts| facts.hooks.rows.clear()),
        with(|facts| facts.relay.log_lines_dropped = 4),
        with(|facts| facts.connection.state = ConnectionState::Disconnected),
        with(|facts| facts.connection.state = ConnectionState::Incomplete),
        with(|facts| facts.connection.state = ConnectionState::Paused),
        with(|facts| (facts.store.probe, facts.store.credentials) = (None, Health::Unknown)),
        counted(Summary { failed: 3, ..Summary::default() }),
        counted(Summary { waiting: 3, oldest_waiting: Some(ago(900)), ..Summary::default() }),
        listed([1, 2, 3].map(|id| refused(id, Side::Destination, Failure::Status(422))).into()),
        listed([1, 2, 3].map(|id| refused(id, Side::Store, Failure::NotJson)).into()),
        listed([1, 2, 3].map(anew).into()),
        address(AddressFault::AnotherServer(200), None),
        address(AddressFault::Certificate("it has expired"), None),
        address(AddressFault::Unproven, None),
        address(AddressFault::Unreachable(Failure::Connect), Some(ago(90))),
        with(|facts| {
            let mut feed = crate::inbox::Feed::new("orders");
            feed.trouble = Some((ago(3600), Failure::NotJson));
            facts.feeds.push(feed);
        }),
        with(|facts| {
            let outcome = Err(Failure::Connect);
            facts.destination.probe = Some(Probe { at: NOW, took: Duration::ZERO, outcome });
        }),
        with(|facts| {
            facts.connection.destination = Some(DestinationKind::CloudElements);
            facts.callback.is_plain_http = true;
            facts.callback.outstanding = 2;
        }),
    ];
    for reason in [PauseReason::CallbackGone, PauseReason::RetriesExhausted] {
        all.push(with(|facts| {
            facts.connection.destination = Some(DestinationKind::CloudElements);
            facts.connection.state = ConnectionState::Paused;
            facts.connection.pause_reason = Some(reason);
        }));
    }
    for failure in [401, 403, 404, 503].map(Failure::Status) {
        for source in [SourceKind::BigCommerce, SourceKind::WooCommerce] {
            all.push(with(|facts| (facts.connection.source, facts.store.outage) = (source, down(400, failure))));
        }
        all.push(with(|facts| facts.destination.outage = down(400, failure)));
        all.push(with(|facts| facts.destination.outage = down(1, failure)));
    }
    for problem in [
        ShopProblem::NotHttps,
        ShopProblem::RestOff,
        ShopProblem::Challenge(403),
        ShopProblem::ReadOnly,
        ShopProblem::WebhooksDisabled,
        ShopProblem::CronLate(Duration::from_secs(600)),
        ShopProblem::HeaderStripped,
    ] {
        all.push(with(|facts| {
            (facts.connection.source, facts.connection.origin) = (SourceKind::WooCommerce, Origin::Api);
            facts.shop = vec![problem];
        }));
    }
    all
}

#[test]
fn every_warning_and_error_has_a_cure_and_no_text_is_left_open() {
    for facts in troubles() {
        let judgment = judge(&facts);
        assert!(!judgment.conditions.is_empty(), "{facts:?}");
        for condition in &judgment.conditions {
            let texts = [&condition.title, &condition.cause, &condition.cure];
            assert!(texts.iter().all(|text| !text.is_empty()), "{condition:?}");
            let line = condition.line();
            assert!(!line.contains("  ") && !line.contains(" 0 seconds"), "{condition:?}");
        }
    }
}

/// A headline that a merchant cannot look up leaves them alone with it.
#[test]
fn the_merchants_table_has_every_headline() {
    let page = include_str!("../../../../docs/merchants.md");
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let known: Vec<&str> = cells.flat_map(|cell| cell.split("; ")).collect();
    let mut seen = BTreeSet::new();
    for facts in troubles() {
        let judgment = judge(&facts);
        seen.extend(judgment.conditions.iter().map(|condition| condition.code));
        // Callbacks are no merchant's, and nobody sees a page that is closed.
        let is_merchants = facts.connection.destination != Some(DestinationKind::CloudElements);
        for condition in judgment.conditions.iter().filter(|condition| condition.severity > Severity::Info) {
            let is_known = known.contains(&&*condition.title);
            assert!(is_known || !is_merchants || condition.code == Code::AdminTokenMissing, "{}", condition.title);
        }
        let headline = verdict(&facts, &judgment).title;
        assert!(known.contains(&&*headline) || !is_merchants, "{headline}");
    }
    assert_eq!(seen, Code::ALL.iter().copied().collect(), "a condition of which there is no sample");
    assert!(known.contains(&&*verdict(&fine(), &judge(&fine())).title));
}
