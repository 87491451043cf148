//! Facts that tests start from.

use std::time::Duration;

use super::facts::{ConnectionFacts, Facts, Health, OrderFacts, Probe, Trouble};
use crate::{
    clock::Timestamp,
    http::Failure,
    inbox::{ConnectionState, Failed, HookRow, HookState, ObjectRow, ObjectState, Side, Summary},
    object::{ChangeKind, ConnectionId, ObjectId, ResourceName},
    spec::{DestinationKind, Origin, SourceKind},
};

/// When the facts were read.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// This many seconds before [`NOW`].
pub(crate) fn ago(seconds: u64) -> Timestamp {
    NOW.before(Duration::from_secs(seconds))
}

/// The environment's own connection to a store without faults.
pub(crate) fn fine() -> Facts {
    let connection = ConnectionFacts {
        id: ConnectionId(1),
        name: "abcde".into(),
        origin: Origin::Environment,
        state: ConnectionState::Active,
        pause_reason: None,
        source: SourceKind::BigCommerce,
        store: "abcde".into(),
        label: None,
        destination: Some(DestinationKind::OneTribe),
        destination_host: Some("api.onetribeglobal.com".into()),
        has_webhooks: true,
        poll_interval: Some(Duration::from_secs(900)),
        public_url: Some("https://relay.example".into()),
        created_at: ago(90_000),
    };
    let mut facts = Facts::new(NOW, connection);
    let took = Duration::from_millis(42);
    facts.relay.has_admin_token = true;
    facts.relay.database = Health::Well;
    facts.orders = Some(OrderFacts::default());
    facts.store.outage = Health::Well;
    facts.store.credentials = Health::Well;
    facts.store.probe = Some(Probe { at: ago(60), took, outcome: Ok(()) });
    facts.destination.outage = Health::Well;
    facts.destination.probe = Some(Probe { at: ago(60), took, outcome: Ok(405) });
    facts.hooks.rows = vec![HookRow { topic: "store/order/*".into(), hook_id: Some(1), state: HookState::Healthy }];
    facts.hooks.expected = 1;
    facts.hooks.looked_at = Some(ago(60));
    facts.hooks.upkeep = Health::Well;
    facts.public_address = Some(Probe { at: ago(60), took, outcome: Ok(()) });
    facts
}

/// The same with one change.
pub(crate) fn with(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = fine();
    change(&mut facts);
    facts
}

/// The same with these counts.
pub(crate) fn counted(summary: Summary) -> Facts {
    with(|facts| facts.orders = Some(OrderFacts { summary, ..OrderFacts::default() }))
}

/// A side that has been down for this many seconds.
pub(crate) fn down(seconds: u64, failure: Failure) -> Health<Trouble> {
    Health::Trouble(Trouble { since: ago(seconds), failure })
}

/// One order's row.
pub(crate) fn row(id: i64, state: ObjectState, failed: Option<(Side, Failure)>) -> ObjectRow {
    ObjectRow {
        resource: ResourceName::orders(),
        id: ObjectId::Number(id),
        state,
        change: ChangeKind::Updated,
        attempts: 3,
        last_failure: failed.map(|(side, failure)| Failed { side, failure }),
        first_event_at: ago(700),
        last_event_at: ago(600),
        waiting_since: (state == ObjectState::Pending).then_some(ago(600)),
        next_attempt_at: (state == ObjectState::Pending).then_some(NOW.after(Duration::from_secs(120))),
        delivered_at: (state == ObjectState::Delivered).then_some(ago(590)),
        is_claimed: false,
    }
}
