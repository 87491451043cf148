use super::*;
use crate::{
    clock::Timestamp,
    spec::{
        BigCommerceAuth, BigCommerceSpec, DestinationKind, DestinationSpec, SourceKind, SourceSpec, keyring::SealingKey,
    },
};

/// What these tests build from a record: its name, and the token of its spec.
#[derive(Debug, PartialEq)]
struct Made {
    id: i64,
    name: String,
    token: Option<String>,
}

fn keyring(keys: &[u8]) -> Keyring {
    Keyring::new(keys.iter().map(|byte| SealingKey::new([*byte; 32])))
}

fn spec(token: &str) -> ConnectionSpec {
    ConnectionSpec {
        name: "shop".into(),
        origin: Origin::Api,
        source: SourceSpec::BigCommerce(BigCommerceSpec {
            store_hash: "abcde".into(),
            auth: BigCommerceAuth::Token(token.into()),
            client_secrets: vec!["a-client-secret-of-a-store".into()],
            scopes: vec!["store/order/*".into()],
            is_app: false,
        }),
        destination: Some(DestinationSpec::OneTribe { url: "https://onetribeglobal.com/x".into() }),
        skip_statuses: Vec::new(),
        resources: Vec::new(),
        poll_interval: None,
        has_webhooks: true,
        instance: None,
    }
}

fn catalog(ring: Keyring, environment: Option<ConnectionSpec>) -> Catalog<Made> {
    Catalog::new(ring, environment, |record, spec| {
        let token = spec.map(|spec| match spec.source {
            SourceSpec::BigCommerce(BigCommerceSpec { auth: BigCommerceAuth::Token(token), .. }) => {
                token.expose().to_owned()
            }
            other => panic!("{other:?}"),
        });
        Arc::new(Made { id: record.id.0, name: record.name.clone(), token })
    })
}

fn record(id: i64, revision: i64, token: Option<&str>) -> ConnectionRecord {
    let hook_key = format!("key-{id}");
    ConnectionRecord {
        id: ConnectionId(id),
        origin: Origin::Api,
        state: ConnectionState::Active,
        pause_reason: None,
        name: format!("shop {id}"),
        source_kind: SourceKind::BigCommerce,
        store: "abcde".into(),
        destination_kind: Some(DestinationKind::OneTribe),
        destination_host: Some("onetribeglobal.com".into()),
        destination_mark: None,
        sealed: token.map(|token| keyring(&[1]).seal(&hook_key, &spec(token)).expect("sealed")),
        hook_key,
        token_digest: None,
        created_at: Timestamp::from_millis(1),
        begins_at: Timestamp::from_millis(1),
        last_event_at: None,
        last_delivered_at: None,
        revision,
    }
}

fn follow(catalog: &Catalog<Made>, records: Vec<ConnectionRecord>) {
    catalog.follow(&mut catalog.reading.try_lock().expect("nobody else reads"), records);
}

fn start(catalog: &Catalog<Made>, records: Vec<ConnectionRecord>) -> Result<(), Vec<ClosedConnection>> {
    catalog.start(&mut catalog.reading.try_lock().expect("nobody else reads"), records)
}

#[test]
fn connections_are_found_by_each_of_their_keys() {
    let catalog = catalog(keyring(&[1]), None);
    let instance = ConnectionRecord { token_digest: Some(vec![7; 32]), ..record(2, 2, Some("b")) };
    start(&catalog, vec![record(1, 1, Some("a")), instance]).expect("it starts");
    let token = |found: Option<Arc<Made>>| found.and_then(|made| made.token.clone());
    assert_eq!(token(catalog.get(ConnectionId(1))).as_deref(), Some("a"));
    assert_eq!(token(catalog.by_hook_key("key-2")).as_deref(), Some("b"));
    assert_eq!(token(catalog.by_token_digest(&[7; 32])).as_deref(), Some("b"));
    assert!(catalog.get(ConnectionId(3)).is_none());
    assert!(catalog.by_hook_key("key-3").is_none() && catalog.by_hook_key("").is_none());
    assert!(catalog.by_token_digest(&[]).is_none() && catalog.environments().is_none());
    assert_eq!(catalog.all().iter().map(|made| made.id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_has_not_changed_stays_the_same_value() {
    let catalog = catalog(keyring(&[2, 1]), None);
    start(&catalog, vec![record(1, 1, Some("a")), record(2, 2, Some("b"))]).expect("it starts");
    let mut changes = catalog.changes();
    let (one, two) = (catalog.get(ConnectionId(1)), catalog.get(ConnectionId(2)));

    // Sealed anew under another key, and an event since: still the same connection.
    let mut rekeyed = record(1, 3, None);
    rekeyed.sealed = Some(keyring(&[2]).seal("key-1", &spec("a")).expect("sealed"));
    rekeyed.last_event_at = Some(Timestamp::from_millis(5));
    follow(&catalog, vec![rekeyed]);
    assert!(Arc::ptr_eq(&one.clone().expect("one"), &catalog.get(ConnectionId(1)).expect("one")));
    assert!(!changes.has_changed().expect("the catalog lives"));

    let renamed = ConnectionRecord { name: "renamed".into(), ..record(1, 4, Some("a")) };
    follow(&catalog, vec![renamed]);
    assert_eq!(catalog.get(ConnectionId(1)).expect("one").name, "renamed");
    assert!(Arc::ptr_eq(&two.expect("two"), &catalog.get(ConnectionId(2)).expect("two")));
    assert!(changes.has_changed().expect("the catalog lives"));
    changes.mark_unchanged();

    follow(&catalog, vec![ConnectionRecord { name: "renamed".into(), ..record(1, 5, Some("other")) }]);
    assert_eq!(catalog.by_hook_key("key-1").expect("one").token.as_deref(), Some("other"));
    assert!(changes.has_changed().expect("the catalog lives"));
    assert_eq!(catalog.reading.try_lock().expect("nobody else reads").revision, 5);
}

#[test]
fn a_key_that_does_not_open_everything_is_a_fault_at_the_start() {
    for (ring, says) in [(keyring(&[]), "is not set"), (keyring(&[9]), "none of the keys")] {
        let catalog = catalog(ring, None);
        let records = (1..=5).map(|id| record(id, id, Some("s3cret"))).collect();
        let error = CatalogError::Closed(start(&catalog, records).expect_err("it does not start"));
        let said = error.to_string();
        assert!(said.starts_with("CREDENTIALS_KEY ") && said.contains(says), "{said}");
        assert!(said.contains("1 (shop 1), 2 (shop 2), 3 (shop 3) and 2 more"), "{said}");
        assert!(!format!("{error:?}{said}").contains("s3cret"));
        assert!(catalog.is_empty(), "nothing is taken up by halves");
    }
}

#[test]
fn what_no_key_opens_later_stays_as_it_was() {
    let catalog = catalog(keyring(&[1]), None);
    start(&catalog, vec![record(1, 1, Some("a"))]).expect("it starts");
    let foreign = |id, revision| {
        let mut foreign = record(id, revision, None);
        foreign.sealed = Some(keyring(&[9]).seal(&foreign.hook_key, &spec("b")).expect("sealed"));
        foreign
    };
    follow(&catalog, vec![foreign(1, 2), foreign(2, 3), record(3, 4, Some("c"))]);
    assert_eq!(catalog.get(ConnectionId(1)).expect("one").token.as_deref(), Some("a"));
    assert!(catalog.get(ConnectionId(2)).is_none(), "it was not there before");
    assert_eq!(catalog.get(ConnectionId(3)).expect("three").token.as_deref(), Some("c"), "the others go on");
    // Ended by another replica: there is nothing left to open.
    let ended = ConnectionRecord { state: ConnectionState::Disconnected, ..record(1, 5, None) };
    follow(&catalog, vec![ended]);
    assert_eq!(catalog.get(ConnectionId(1)).expect("one").token, None);
    assert!(catalog.by_hook_key("key-1").is_some(), "its address is still known");
}

#[test]
fn the_environments_connection_has_its_spec_from_the_environment() {
    let mut environments = spec("from the environment");
    environments.origin = Origin::Environment;
    let catalog = catalog(keyring(&[]), Some(environments));
    let row =
        |id, store: &str| ConnectionRecord { origin: Origin::Environment, store: store.into(), ..record(id, id, None) };
    start(&catalog, vec![row(1, "former"), row(2, "abcde"), record(3, 3, None)]).expect("it starts");
    assert_eq!(catalog.environments().expect("it is there").id, 2);
    assert_eq!(catalog.environments().expect("it is there").token.as_deref(), Some("from the environment"));
    assert!(catalog.by_hook_key("key-2").is_none(), "it is reached at an address of its own");
    assert_eq!(catalog.get(ConnectionId(1)).expect("one").token, None, "another store's is not described any more");
    assert_eq!(catalog.sole().expect("the environment's").id, 2);
}

#[test]
fn one_connection_needs_no_name() {
    let catalog = catalog(keyring(&[1]), None);
    assert_eq!(catalog.sole(), Err(NoSoleConnection::None));
    let ended = ConnectionRecord { state: ConnectionState::Disconnected, ..record(1, 1, None) };
    start(&catalog, vec![ended]).expect("it starts");
    assert_eq!(catalog.sole(), Err(NoSoleConnection::None), "an ended one does not count");
    follow(&catalog, vec![record(2, 2, Some("a"))]);
    assert_eq!(catalog.sole().expect("the only one").id, 2);
    follow(&catalog, vec![record(3, 3, Some("b"))]);
    assert_eq!(catalog.sole(), Err(NoSoleConnection::Several));
}

#[test]
fn a_token_that_has_moved_on_is_not_lost() {
    let with = |id, revision, token: Option<u8>| ConnectionRecord {
        token_digest: token.map(|byte| vec![byte; 32]),
        ..record(id, revision, Some("a"))
    };
    let catalog = catalog(keyring(&[1]), None);
    start(&catalog, vec![with(1, 1, Some(7))]).expect("it starts");
    // The token's new owner is read before the old owner's last change.
    follow(&catalog, vec![with(2, 2, Some(7)), with(1, 3, None)]);
    assert_eq!(catalog.by_token_digest(&[7; 32]).expect("the new owner").id, 2);
    follow(&catalog, vec![with(2, 4, None)]);
    assert!(catalog.by_token_digest(&[7; 32]).is_none());
}

#[test]
fn ten_thousand_are_taken_up_one_by_one() {
    let catalog = catalog(keyring(&[1]), None);
    start(&catalog, Vec::new()).expect("it starts");
    for id in 1..=10_000 {
        let record = ConnectionRecord { state: ConnectionState::Disconnected, ..record(id, id, None) };
        follow(&catalog, vec![record]);
    }
    assert_eq!(catalog.len(), 10_000);
    assert_eq!(catalog.by_hook_key("key-9999").expect("one of them").id, 9999);
}
