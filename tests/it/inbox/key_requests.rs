//! Requests for shops' keys, in both databases: usable once, for a limited time, and limited in number.

use std::{sync::Arc, time::Duration};

use onetribe_relay::{
    clock::Timestamp,
    inbox::{Inbox, KeyRequest, KeyRequestState, MOST_KEY_REQUESTS, postgres::PostgresInbox, sqlite::SqliteInbox},
    spec::keyring::Sealed,
};

use sandbox::postgres::Database;

const SPAN: Duration = Duration::from_secs(900);
const TRIAL: Duration = Duration::from_secs(120);

fn sealed(text: &str) -> Sealed {
    Sealed { key_id: 7, bytes: text.as_bytes().to_vec() }
}

async fn begin(inbox: &dyn Inbox, id: &str, now: Timestamp) {
    let request = KeyRequest { id: id.as_bytes().to_vec(), sealed: sealed(id), until: now.after(SPAN) };
    inbox.begin_key_request(request, now).await.unwrap();
}

async fn try_keys(inbox: &dyn Inbox, id: &str, now: Timestamp) -> Option<Sealed> {
    inbox.try_key_request(id.as_bytes().to_vec(), now, now.after(TRIAL)).await.unwrap()
}

async fn state(inbox: &dyn Inbox, id: &str, now: Timestamp) -> Option<KeyRequestState> {
    inbox.key_request(id.as_bytes().to_vec(), now).await.unwrap()
}

async fn keeps_requests(one: &dyn Inbox, other: &dyn Inbox) {
    let now = Timestamp::now();
    begin(one, "a", now).await;
    assert_eq!(state(other, "a", now).await, Some(KeyRequestState::Waiting(None)));
    assert_eq!(state(other, "b", now).await, None);
    // Of several attempts at once, one succeeds.
    let tries = futures_util::future::join_all([one, other, one, other].map(|inbox| try_keys(inbox, "a", now))).await;
    assert_eq!(tries.into_iter().flatten().collect::<Vec<_>>(), [sealed("a")]);
    assert_eq!(state(other, "a", now).await, Some(KeyRequestState::Trying));
    // An attempt that was broken off delays the next one only for a while.
    assert_eq!(try_keys(other, "a", now.after(TRIAL - Duration::from_secs(1))).await, None);
    assert_eq!(try_keys(other, "a", now.after(TRIAL + Duration::from_secs(1))).await, Some(sealed("a")));
    other.end_key_request(b"a".to_vec(), Some("they do not work".to_owned())).await.unwrap();
    let waiting = KeyRequestState::Waiting(Some("they do not work".to_owned()));
    assert_eq!(state(one, "a", now).await, Some(waiting));
    assert_eq!(try_keys(one, "a", now).await, Some(sealed("a")), "the shop may send others");
    one.end_key_request(b"a".to_vec(), None).await.unwrap();
    assert_eq!(state(other, "a", now).await, Some(KeyRequestState::Connected));
    assert_eq!(try_keys(other, "a", now.after(TRIAL + SPAN / 2)).await, None, "for one use");
    // A request cannot be used after it has expired.
    begin(one, "c", now).await;
    let late = now.after(SPAN + Duration::from_secs(1));
    assert_eq!(state(one, "c", late).await, None);
    assert_eq!(try_keys(one, "c", late).await, None);
    assert_eq!(other.drop_key_requests(late).await.unwrap(), 2);
    assert_eq!(other.drop_key_requests(late).await.unwrap(), 0);
    // Repeated requests push out the oldest ones.
    for number in 0..MOST_KEY_REQUESTS + 3 {
        begin(one, &number.to_string(), now.after(Duration::from_millis(number.into()))).await;
    }
    assert_eq!(state(one, "2", now).await, None);
    assert!(state(one, "3", now).await.is_some());
}

#[tokio::test]
async fn a_file_keeps_requests_for_keys() {
    let folder = tempfile::tempdir().unwrap();
    let inbox: Arc<dyn Inbox> = Arc::new(SqliteInbox::open(&folder.path().join("relay.db")).await.unwrap());
    keeps_requests(inbox.as_ref(), inbox.as_ref()).await;
    inbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_requests_for_keys_for_every_relay() {
    let Some(database) = Database::fresh().await else { return };
    let url = database.url().as_str().into();
    let (one, other) = (PostgresInbox::open(&url).await.unwrap(), PostgresInbox::open(&url).await.unwrap());
    keeps_requests(&one, &other).await;
    one.close().await;
    other.close().await;
}
