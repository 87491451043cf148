//! The database row of the environment's own connection: everything that is not secret, so that its objects have a
//! connection to belong to. Its credentials stay in the environment and are never stored.

use crate::{
    clock::Timestamp,
    inbox::{ConnectionRecord, ConnectionState, ConnectionUpdate, Inbox, InboxError, NewConnection},
    object::ConnectionId,
    spec::{ConnectionSpec, DestinationKind, Origin, keyring::destination_mark},
};

/// Brings the rows of the environment in line with what it describes now: the store's row exists and is active, and
/// that of a store no longer described is disconnected (its objects stay, and are used again when the store is back).
/// The serving process calls this before it loads the catalog.
///
/// # Errors
/// When the inbox cannot be read or written.
pub async fn record_environment(
    inbox: &dyn Inbox,
    spec: Option<&ConnectionSpec>,
    now: Timestamp,
) -> Result<(), InboxError> {
    let records = inbox.connections(0).await?;
    let mut plan = Plan::of(&records, spec);
    if let Some(new) = plan.create.take()
        && let Err(error) = inbox.create_connection(new, now).await
    {
        // Another replica that starts at the same time may have made the row, with the same hook key.
        let records = inbox.connections(0).await?;
        plan = Plan::of(&records, spec);
        if plan.create.is_some() {
            return Err(error);
        }
    }
    for (id, update) in plan.updates {
        let ends = matches!(update.state, Some((ConnectionState::Disconnected, _)));
        inbox.update_connection(id, update).await?;
        if let Some(ended) = records.iter().find(|record| ends && record.id == id) {
            let store = &ended.store;
            tracing::warn!(
                connection = %id, %store,
                "connection {id} ({store}) has ended: the variables do not describe this store any more; its orders go on \
                 when they do"
            );
        }
    }
    Ok(())
}

/// A connection made through the API that takes the same store's orders to the same destination: beside the
/// environment's own, every order would go there twice.
pub fn doubled(records: &[ConnectionRecord], spec: &ConnectionSpec) -> Option<ConnectionId> {
    let (kind, store) = (spec.source.kind(), spec.source.store());
    let destination = spec.destination.as_ref()?;
    let is_same = |record: &&ConnectionRecord| {
        record.origin == Origin::Api
            && record.state != ConnectionState::Disconnected
            && record.source_kind == kind
            && record.store == store
            && record.destination_mark.as_ref() == Some(&destination_mark(&record.hook_key, destination))
    };
    records.iter().find(is_same).map(|record| record.id)
}

/// The rows to create or change.
#[derive(Default)]
struct Plan {
    create: Option<NewConnection>,
    updates: Vec<(ConnectionId, ConnectionUpdate)>,
}

impl Plan {
    fn of(records: &[ConnectionRecord], spec: Option<&ConnectionSpec>) -> Self {
        let mut plan = Self { create: spec.map(new), updates: Vec::new() };
        for record in records.iter().filter(|record| record.origin == Origin::Environment) {
            let update = match spec.filter(|spec| hook_key(spec) == record.hook_key) {
                Some(spec) => {
                    plan.create = None;
                    difference(record, spec)
                }
                None if record.state == ConnectionState::Disconnected => None,
                None => Some(ConnectionUpdate {
                    state: Some((ConnectionState::Disconnected, None)),
                    ..ConnectionUpdate::default()
                }),
            };
            plan.updates.extend(update.map(|update| (record.id, update)));
        }
        plan
    }
}

/// The same for each store, so that two replicas cannot create two rows for it. No webhook uses it: those of the
/// environment's own connection come to `/webhooks/bigcommerce`.
fn hook_key(spec: &ConnectionSpec) -> String {
    format!("environment-{}-{}", spec.source.kind(), spec.source.store())
}

fn destination(spec: &ConnectionSpec) -> Option<(DestinationKind, String, Vec<u8>)> {
    let destination = spec.destination.as_ref()?;
    Some((destination.kind(), destination.host(), destination_mark(&hook_key(spec), destination)))
}

fn new(spec: &ConnectionSpec) -> NewConnection {
    NewConnection::of(spec, ConnectionState::Active, hook_key(spec), None)
}

/// The update that brings a row in line with the environment; `None` if they agree.
fn difference(record: &ConnectionRecord, spec: &ConnectionSpec) -> Option<ConnectionUpdate> {
    let destination = destination(spec);
    let kept = record
        .destination_kind
        .zip(record.destination_host.clone())
        .zip(record.destination_mark.clone())
        .map(|((kind, host), mark)| (kind, host, mark));
    let update = ConnectionUpdate {
        state: (record.state != ConnectionState::Active).then_some((ConnectionState::Active, None)),
        name: (record.name != spec.name).then(|| spec.name.clone()),
        destination: (kept != destination).then_some(destination),
        ..ConnectionUpdate::default()
    };
    let is_same = update.state.is_none() && update.name.is_none() && update.destination.is_none();
    (!is_same).then_some(update)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{BigCommerceAuth, BigCommerceSpec, DestinationSpec, SourceSpec};

    fn spec(store: &str, url: &str) -> ConnectionSpec {
        ConnectionSpec {
            name: store.into(),
            origin: Origin::Environment,
            source: SourceSpec::BigCommerce(BigCommerceSpec {
                store_hash: store.into(),
                auth: BigCommerceAuth::Token("t0ken".into()),
                client_secrets: vec!["a-client-secret-of-a-store".into()],
                scopes: vec!["store/order/*".into()],
                is_app: false,
            }),
            destination: Some(DestinationSpec::OneTribe { url: url.into() }),
            skip_statuses: Vec::new(),
            resources: Vec::new(),
            poll_interval: None,
            has_webhooks: true,
            instance: None,
        }
    }

    fn row(id: i64, spec: &ConnectionSpec) -> ConnectionRecord {
        let new = new(spec);
        ConnectionRecord {
            id: ConnectionId(id),
            origin: new.origin,
            state: new.state,
            pause_reason: None,
            name: new.name,
            source_kind: new.source_kind,
            store: new.store,
            destination_kind: new.destination_kind,
            destination_host: new.destination_host,
            destination_mark: new.destination_mark,
            hook_key: new.hook_key,
            token_digest: None,
            sealed: None,
            created_at: Timestamp::from_millis(1),
            begins_at: Timestamp::from_millis(1),
            last_event_at: None,
            last_delivered_at: None,
            revision: 1,
        }
    }

    #[test]
    fn a_row_is_made_once_and_left_alone() {
        let spec = spec("abcde", "https://x.example/s3cret");
        let plan = Plan::of(&[], Some(&spec));
        let shown = format!("{:?}", plan.create.expect("a new row"));
        assert!(shown.contains("x.example") && !shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
        let plan = Plan::of(&[row(1, &spec)], Some(&spec));
        assert!(plan.create.is_none() && plan.updates.is_empty());
    }

    #[test]
    fn another_destination_is_noted() {
        let plan = Plan::of(&[row(1, &spec("abcde", "https://x/1"))], Some(&spec("abcde", "https://y/1")));
        let [(id, update)] = &plan.updates[..] else { panic!("one update") };
        assert_eq!((*id, plan.create.is_none(), update.state.is_none()), (ConnectionId(1), true, true));
        assert!(matches!(&update.destination, Some(Some((_, host, _))) if host == "y"));
    }

    #[test]
    fn a_store_that_is_not_described_any_more_is_disconnected_and_comes_back() {
        let (former, now) = (spec("former", "https://x/1"), spec("abcde", "https://x/1"));
        let plan = Plan::of(&[row(1, &former)], Some(&now));
        assert_eq!(plan.create.expect("a new row").store, "abcde");
        assert_eq!(plan.updates[0].1.state, Some((ConnectionState::Disconnected, None)));
        let ended = ConnectionRecord { state: ConnectionState::Disconnected, ..row(1, &former) };
        assert!(Plan::of(std::slice::from_ref(&ended), None).updates.is_empty());
        let plan = Plan::of(&[ended], Some(&former));
        assert_eq!(plan.updates[0].1.state, Some((ConnectionState::Active, None)));
        assert!(plan.create.is_none());
    }

    #[test]
    fn other_connections_are_left_alone() {
        let api = ConnectionRecord { origin: Origin::Api, ..row(1, &spec("abcde", "https://x/1")) };
        assert!(Plan::of(&[api], None).updates.is_empty());
    }

    #[test]
    fn one_store_and_destination_is_not_connected_twice() {
        let own = spec("abcde", "https://x/1");
        let api = ConnectionRecord { origin: Origin::Api, ..row(4, &own) };
        assert_eq!(doubled(&[row(1, &own), api.clone()], &own), Some(ConnectionId(4)));
        let others = [
            row(1, &own),
            ConnectionRecord { origin: Origin::App, ..api.clone() },
            ConnectionRecord { state: ConnectionState::Disconnected, ..api.clone() },
            ConnectionRecord { origin: Origin::Api, ..row(5, &spec("abcde", "https://x/2")) },
            ConnectionRecord { origin: Origin::Api, ..row(6, &spec("other", "https://x/1")) },
        ];
        assert_eq!(doubled(&others, &own), None);
    }
}
