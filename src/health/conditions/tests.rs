mod headlines;

use std::time::Duration;

use super::super::{
    condition::{Action, Code, Severity},
    facts::{AddressFault, DiskSpace, Facts, Health, HookFault, OrderFacts, Probe, Refusal, ShopProblem},
    fixtures::{NOW, ago, counted, down, fine, row, with},
};
use super::judge;
use crate::{
    http::Failure,
    inbox::{ConnectionState, HookState, ObjectRow, ObjectState, PauseReason, Side, Summary},
    source::reach::Silence,
    spec::{DestinationKind, Origin, SourceKind},
};

fn codes(facts: &Facts) -> Vec<Code> {
    judge(facts).conditions.iter().map(|condition| condition.code).collect()
}

fn alerting(facts: &Facts) -> Vec<Code> {
    judge(facts).conditions.iter().filter(|condition| condition.alerts).map(|condition| condition.code).collect()
}

fn refusal(status: u16, first: u64, last: u64, count: u64) -> Health<Refusal> {
    Health::Trouble(Refusal { failure: Failure::Status(status), first_at: ago(first), last_at: ago(last), count })
}

#[test]
fn what_is_well_has_no_conditions_and_what_is_unknown_is_not_well() {
    assert_eq!(judge(&fine()), super::Judgment::default());
    let nothing = Facts { orders: Some(OrderFacts::default()), ..Facts::new(NOW, fine().connection) };
    let judgment = judge(&nothing);
    for code in
        [Code::CredentialsRefused, Code::StoreDown, Code::DestinationDown, Code::HooksNotMendable, Code::StorageFailing]
    {
        assert!(judgment.unknown.contains(&code), "{code}");
    }
    let unasked = with(|facts| (facts.store.probe, facts.store.credentials) = (None, Health::Unknown));
    assert_eq!(codes(&unasked), [Code::NotChecked]);
}

#[test]
fn each_alert_begins_where_it_should() {
    let failing = |seconds| Health::Trouble((ago(seconds), HookFault::Call(Failure::Status(422))));
    for (facts, expected) in [
        (fine(), vec![]),
        (with(|facts| facts.store.credentials = refusal(401, 9, 0, 2)), vec![]),
        (with(|facts| facts.store.credentials = refusal(401, 600, 600, 1)), vec![]),
        (with(|facts| facts.store.credentials = refusal(401, 10, 0, 2)), vec![Code::CredentialsRefused]),
        (
            with(|facts| {
                facts.store.credentials = refusal(401, 60, 0, 9);
                facts.hooks.upkeep = failing(900);
            }),
            vec![Code::CredentialsRefused],
        ),
        (with(|facts| facts.hooks.upkeep = failing(299)), vec![]),
        (with(|facts| facts.hooks.upkeep = failing(300)), vec![Code::HooksNotMendable]),
        (with(|facts| facts.destination.outage = down(299, Failure::Status(503))), vec![]),
        (with(|facts| facts.destination.outage = down(300, Failure::Status(503))), vec![Code::DestinationDown]),
        (with(|facts| facts.destination.outage = down(60, Failure::Status(404))), vec![Code::DestinationRefuses]),
        (with(|facts| facts.store.outage = down(299, Failure::Timeout)), vec![]),
        (with(|facts| facts.store.outage = down(300, Failure::Timeout)), vec![Code::StoreDown]),
        (with(|facts| facts.webhooks.wrong_signature = Some(Refusal::new(Failure::Status(401), ago(59)))), vec![]),
        (
            with(|facts| facts.webhooks.wrong_signature = Some(Refusal::new(Failure::Status(401), ago(60)))),
            vec![Code::ClientSecretWrong],
        ),
        (counted(Summary { failed: 1, ..Summary::default() }), vec![Code::OrderFailed]),
        (counted(Summary { waiting: 1, oldest_waiting: Some(ago(899)), ..Summary::default() }), vec![]),
        (
            counted(Summary { waiting: 1, oldest_waiting: Some(ago(900)), ..Summary::default() }),
            vec![Code::WaitingLong],
        ),
        (with(|facts| facts.relay.database = Health::Trouble(NOW)), vec![Code::StorageFailing]),
        (with(|facts| facts.orders = None), vec![Code::StorageFailing]),
        (with(|facts| facts.relay.disk = disk(90_000_000, 500_000_000)), vec![Code::DiskLow]),
        (with(|facts| facts.relay.disk = disk(900_000_000, 10_000_000_000)), vec![Code::DiskLow]),
        (with(|facts| facts.relay.disk = disk(1_100_000_000, 10_000_000_000)), vec![]),
        (with(|facts| facts.relay.disk = disk(24_900_000_000, 250_000_000_000)), vec![Code::DiskLow]),
        (with(|facts| facts.relay.disk = disk(25_100_000_000, 250_000_000_000)), vec![]),
    ] {
        assert_eq!(alerting(&facts), expected, "{facts:?}");
    }
}

#[test]
fn two_troubles_are_both_told_and_the_cause_comes_first() {
    let facts = with(|facts| {
        facts.destination.outage = down(400, Failure::Status(503));
        facts.store.credentials = refusal(401, 60, 0, 5);
        let summary = Summary { waiting: 3, oldest_waiting: Some(ago(2000)), failed: 2, ..Summary::default() };
        facts.orders = Some(OrderFacts { summary, ..OrderFacts::default() });
    });
    let expected = [Code::CredentialsRefused, Code::DestinationDown, Code::OrderFailed, Code::WaitingLong];
    assert_eq!(codes(&facts), expected);
    // Conditions that a cause explains do not alert a second time.
    assert_eq!(alerting(&facts), expected[..3]);
    let said = "One Tribe has not been taking orders for 6 minutes (HTTP 503). 3 orders are waiting; none is lost.";
    assert_eq!(judge(&facts).conditions[1].detail(), said);
}

#[test]
fn after_an_outage_the_backlog_is_late_and_no_alarm() {
    let late = |recovered| {
        let mut facts = counted(Summary { waiting: 9, oldest_waiting: Some(ago(5000)), ..Summary::default() });
        facts.destination.recovered_at = recovered;
        facts
    };
    assert_eq!((codes(&late(Some(ago(60)))), alerting(&late(Some(ago(60))))), (vec![Code::WaitingLong], vec![]));
    assert_eq!(alerting(&late(Some(ago(1000)))), [Code::WaitingLong]);
}

#[test]
fn late_orders_are_named_the_longest_waiting_first() {
    let summary = Summary { waiting: 7, oldest_waiting: Some(ago(900)), ..Summary::default() };
    let waiting = [9, 4, 8, 1, 7, 3].map(|id| row(id, ObjectState::Pending, None)).into();
    let facts = with(|facts| facts.orders = Some(OrderFacts { summary, waiting, ..OrderFacts::default() }));
    let condition = judge(&facts).conditions.remove(0);
    let numbers: Vec<String> = condition.orders.iter().map(ToString::to_string).collect();
    assert_eq!(numbers, ["9", "4", "8", "1", "7"]);
    assert_eq!(condition.cause, "7 orders are waiting, the oldest for 15 minutes: 9, 4, 8, 1, 7 and 2 more.");
}

#[test]
fn orders_that_were_resent_are_tried_again_and_nothing_is_green_meanwhile() {
    let judged = |troubled: Vec<ObjectRow>| {
        let summary = Summary { waiting: troubled.len() as u64, refused: troubled.len() as u64, ..Summary::default() };
        judge(&with(|facts| facts.orders = Some(OrderFacts { summary, troubled, ..OrderFacts::default() })))
    };
    let of =
        |id, attempts, side, failure| ObjectRow { attempts, ..row(id, ObjectState::Pending, Some((side, failure))) };
    let anew = |id| of(id, 0, Side::Destination, Failure::Status(422));
    let condition = judged(vec![anew(7), anew(8)]).conditions.remove(0);
    assert_eq!((condition.code, condition.severity, condition.alerts), (Code::OrdersRefused, Severity::Warning, false));
    assert_eq!(condition.title, "2 orders are being tried again");
    assert_eq!(condition.cause, "2 orders are on the way again: 7 and 8, after HTTP 422.");
    // A new order that the store was asked for too early is none of them; one that was gone and is resent is.
    for (age, is_told) in [(20, false), (5000, true)] {
        let looked_for = ObjectRow { first_event_at: ago(age), ..of(9, 0, Side::Store, Failure::Status(404)) };
        let titles: Vec<String> = judged(vec![looked_for]).conditions.into_iter().map(|one| one.title).collect();
        assert_eq!(titles == ["1 order is being tried again"], is_told, "{titles:?}");
    }
    // One that has been refused once more is what matters.
    let refused = of(8, 1, Side::Destination, Failure::Status(422));
    let condition = judged(vec![anew(7), refused]).conditions.remove(0);
    assert!(condition.title.contains("refused") && condition.cause.contains(": 8 ("), "{condition:?}");
}

#[test]
fn mistakes_in_settings_are_told_with_the_cure_of_their_origin() {
    let refused = |status: u16, origin, source| {
        let facts = with(|facts| {
            facts.connection.origin = origin;
            facts.connection.source = source;
            facts.connection.id = crate::object::ConnectionId(12);
            facts.store.outage = down(1, Failure::Status(status));
        });
        let condition = judge(&facts).conditions.remove(0);
        assert_eq!(condition.severity, Severity::Error);
        condition.line()
    };
    use {Origin::*, SourceKind::*};
    for (status, origin, source, said) in [
        (
            401,
            Environment,
            BigCommerce,
            "BigCommerce refuses the access token (HTTP 401). Orders cannot be fetched: they wait here and none is lost. Whoever runs the relay: set BIGCOMMERCE_ACCESS_TOKEN anew",
        ),
        (403, Environment, BigCommerce, "may not read orders"),
        (404, Environment, BigCommerce, "check BIGCOMMERCE_STORE_HASH"),
        (401, App, BigCommerce, "Open the app in BigCommerce"),
        (401, Api, BigCommerce, "PATCH /connections/12"),
        (401, Api, WooCommerce, "Read/Write"),
        (401, Instance, BigCommerce, "oauth.user.token"),
    ] {
        let line = refused(status, origin, source);
        assert!(line.contains(said), "{line}");
    }
    let destination = |origin| {
        let facts = with(|facts| {
            facts.connection.origin = origin;
            facts.destination.outage = down(1, Failure::Status(403));
        });
        judge(&facts).conditions.remove(0)
    };
    assert!(destination(Environment).cure.contains("ONE_TRIBE_DESTINATION"));
    assert_eq!(destination(App).action, Some(Action::SetDestination));
    assert!(destination(Instance).cure.contains("event.notification.callback.url"));
}

#[test]
fn what_is_known_to_work_replaces_an_older_finding() {
    let probe = |seconds, failure| Some(Probe { at: ago(seconds), took: Duration::ZERO, outcome: Err(failure) });
    let mut facts = with(|facts| {
        facts.store.credentials = Health::Unknown;
        facts.store.probe = probe(60, Failure::Status(401));
    });
    assert_eq!(codes(&facts), [Code::CredentialsRefused]);
    facts.store.answered_at = Some(ago(59));
    assert_eq!(codes(&facts), [Code::CredentialsRefused], "that it answers proves no credentials");
    facts.store.delivered_at = Some(ago(59));
    assert_eq!(codes(&facts), []);
    facts.store.delivered_at = Some(ago(61));
    assert_eq!(codes(&facts), [Code::CredentialsRefused]);
    facts.store.credentials = Health::Well;
    assert_eq!(codes(&facts), [], "orders have been read since");
    facts = with(|facts| facts.store.credentials = refusal(401, 100, 50, 3));
    facts.store.delivered_at = Some(ago(49));
    assert_eq!(codes(&facts), []);
    facts = with(|facts| facts.store.probe = probe(60, Failure::Timeout));
    assert_eq!(codes(&facts), [Code::StoreDown]);
    facts.store.answered_at = Some(ago(59));
    assert_eq!(codes(&facts), [], "whatever it answers, it is there");
    let silence = |last_at| Some(Silence { since: ago(600), last_at, failure: Failure::Connect });
    facts.store.silence = silence(ago(595));
    assert_eq!(codes(&facts), [], "a single failure says nothing yet");
    facts.store.silence = silence(ago(300));
    assert_eq!(codes(&facts), [Code::StoreDown], "polls and hook looks tell as much as orders");
    assert!(judge(&facts).is_down(Side::Store) && !judge(&facts).is_down(Side::Destination));
    facts = with(|facts| {
        facts.destination.probe = Some(Probe { at: ago(60), took: Duration::ZERO, outcome: Err(Failure::Connect) });
    });
    assert_eq!((codes(&facts), alerting(&facts)), (vec![Code::DestinationDown], vec![]));
    facts.destination.probes_fail_since = Some(ago(300));
    assert_eq!(alerting(&facts), [Code::DestinationDown], "one look after the other for five minutes");
    facts.destination.answered_at = Some(ago(1));
    assert_eq!(codes(&facts), []);
    facts = with(|facts| {
        let outcome = Err(AddressFault::AnotherServer(200));
        facts.public_address = Some(Probe { at: ago(60), took: Duration::ZERO, outcome });
    });
    assert_eq!(codes(&facts), [Code::PublicUrlWrong]);
    facts.orders = Some(OrderFacts {
        summary: Summary { last_event_at: Some(ago(5)), ..Summary::default() },
        ..OrderFacts::default()
    });
    assert_eq!(codes(&facts), []);
}

#[test]
fn a_lost_call_is_amber_and_an_outage_red() {
    for (seconds, severity) in [(0, Severity::Warning), (9, Severity::Warning), (10, Severity::Error)] {
        let facts = with(|facts| facts.store.outage = down(seconds, Failure::Status(503)));
        assert_eq!(judge(&facts).conditions[0].severity, severity);
        let facts = with(|facts| facts.destination.outage = down(seconds, Failure::Timeout));
        assert_eq!(judge(&facts).conditions[0].severity, severity);
    }
}

#[test]
fn refused_orders_are_named_with_the_reason_from_the_first_refusal_on() {
    let rows: Vec<_> = [218, 219]
        .map(|id| row(id, ObjectState::Pending, Some((Side::Destination, Failure::Status(422)))))
        .into_iter()
        .chain([row(220, ObjectState::Pending, Some((Side::Store, Failure::Status(404))))])
        .collect();
    let facts = with(|facts| {
        let summary = Summary { waiting: 3, refused: 3, oldest_waiting: Some(ago(600)), ..Summary::default() };
        facts.orders = Some(OrderFacts { summary, troubled: rows, ..OrderFacts::default() });
    });
    let judgment = judge(&facts);
    let condition = judgment.find(Code::OrdersRefused).expect("told");
    assert_eq!(condition.cause, "One Tribe refuses 2 orders: 218 and 219 (HTTP 422).");
    assert_eq!(condition.consequence, "They are tried again. The next try is in 2 minutes.");
    assert_eq!((condition.orders.len(), condition.alerts), (2, true));
    let failed = vec![row(7, ObjectState::Failed, Some((Side::Destination, Failure::Status(422))))];
    let facts = with(|facts| {
        let summary = Summary { failed: 1_250, ..Summary::default() };
        facts.orders = Some(OrderFacts { summary, failed, ..OrderFacts::default() });
    });
    let judgment = judge(&facts);
    assert_eq!(judgment.conditions[0].cause, "1,250 orders could not be delivered: 7 and 1,249 more (HTTP 422).");
}

#[test]
fn a_hook_that_is_being_mended_is_a_warning_with_its_consequence() {
    let mut facts = with(|facts| facts.hooks.rows[0].state = HookState::Inactive);
    let condition = judge(&facts).conditions.remove(0);
    assert_eq!((condition.code, condition.severity), (Code::HooksWrong, Severity::Warning));
    let said = "The store's notices of new orders (webhooks) are not as they should be: the one for store/order/* has been switched off by BigCommerce. Meanwhile the relay looks for new orders itself, up to 15 minutes late.";
    assert_eq!(condition.detail(), said);
    facts.connection.poll_interval = None;
    assert_eq!(judge(&facts).conditions[0].severity, Severity::Error);
}

#[test]
fn shops_have_one_cure_for_each_cause() {
    for (problem, code, says) in [
        (ShopProblem::NotHttps, Code::ShopNotHttps, "X-Forwarded-Proto"),
        (ShopProblem::RestOff, Code::ShopRestOff, "Permalinks"),
        (ShopProblem::Challenge(403), Code::ShopChallenge, "User-Agent"),
        (ShopProblem::WrongSecret, Code::CredentialsRefused, "consumer secret is wrong"),
        (ShopProblem::MayNotRead, Code::CredentialsRefused, "may not read orders"),
        (ShopProblem::ReadOnly, Code::ShopReadOnly, "Read/Write"),
        (ShopProblem::WebhooksDisabled, Code::ShopWebhooksDisabled, "seven failed"),
        (ShopProblem::CronLate(Duration::from_secs(600)), Code::ShopCronLate, "10 minutes late"),
        (ShopProblem::HeaderStripped, Code::ShopHeaderStripped, "access log"),
    ] {
        let facts = with(|facts| {
            facts.connection.source = SourceKind::WooCommerce;
            facts.connection.origin = Origin::Api;
            facts.shop = vec![problem];
            if matches!(problem, ShopProblem::WrongSecret | ShopProblem::MayNotRead | ShopProblem::NotHttps) {
                facts.store.outage = down(400, Failure::Status(401));
            }
        });
        let judgment = judge(&facts);
        assert_eq!(judgment.conditions.len(), 1, "{judgment:?}");
        assert_eq!(judgment.conditions[0].code, code);
        assert!(judgment.conditions[0].line().contains(says), "{judgment:?}");
    }
}

#[test]
fn states_of_a_connection_say_what_to_do() {
    for (state, reason, code, alerts) in [
        (ConnectionState::Incomplete, None, Code::Incomplete, false),
        (ConnectionState::Paused, Some(PauseReason::Asked), Code::Paused, false),
        (ConnectionState::Paused, Some(PauseReason::CallbackGone), Code::CallbackGone, true),
        (ConnectionState::Paused, Some(PauseReason::RetriesExhausted), Code::RetriesExhausted, true),
        (ConnectionState::Disconnected, None, Code::Disconnected, false),
    ] {
        let facts = with(|facts| {
            facts.connection.state = state;
            facts.connection.pause_reason = reason;
            facts.connection.destination = Some(DestinationKind::CloudElements);
        });
        let judgment = judge(&facts);
        assert_eq!((judgment.conditions[0].code, judgment.conditions[0].alerts), (code, alerts));
    }
}

#[test]
fn codes_are_read_back() {
    for code in Code::ALL {
        assert_eq!(Code::from_name(code.name()), Some(*code));
    }
    assert_eq!(Code::from_name("something_of_a_newer_relay"), None);
}

fn disk(free: u64, total: u64) -> Option<DiskSpace> {
    Some(DiskSpace { free, total })
}
