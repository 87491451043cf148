//! A database with many connections, created through the inbox, each with a simulated store's credentials.

use futures_util::{StreamExt, TryStreamExt, stream};
use onetribe_relay::{
    clock::Timestamp,
    config::Config,
    connection::request::ConnectionRequest,
    inbox::{ConnectionState, InboxError, NewConnection},
    services::Services,
    spec::keyring::new_hook_key,
};
use sandbox::{StoreConfig, stores::CREDENTIALS_KEY};
use serde_json::{Value, json};

use crate::load::Sender;

/// How many connections are created at once.
const TOGETHER: usize = 256;

/// One connection: its webhook path, and the store whose callbacks it accepts.
#[derive(Clone)]
pub struct Store {
    path: String,
    hash: String,
    secret: String,
}

impl Store {
    /// The load generator's sender for this store.
    pub fn sender(&self) -> Sender<'_> {
        Sender { path: &self.path, store: &self.hash, secret: &self.secret }
    }
}

/// The body of `POST /connections` for a numbered store.
pub fn request(number: usize, destination: &str) -> Value {
    let config = StoreConfig::numbered(number);
    json!({
        "name": config.name,
        "source": {
            "kind": "bigcommerce", "store_hash": config.hash,
            "access_token": config.token, "client_secret": config.client_secret,
        },
        "destination": {"kind": "one_tribe", "url": destination},
    })
}

/// The environment of a relay without a store of its own, which registers no hooks and does not poll.
pub fn variables(api_url: &str, database: &str) -> Vec<(String, String)> {
    [
        ("BIGCOMMERCE_API_URL", api_url),
        ("CREDENTIALS_KEY", CREDENTIALS_KEY),
        ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8"),
        ("ONE_TRIBE_HOSTS", "127.0.0.1"),
        ("DATABASE_URL", database),
        ("HOST", "127.0.0.1"),
        ("ADMIN_TOKEN", sandbox::relay::ADMIN_TOKEN),
        ("RECONCILE_INTERVAL", "0"),
        ("HOOK_CHECK_INTERVAL", "0"),
        ("RUST_LOG", "off"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Connects the stores numbered from 1 to `count` in the database that the variables name.
pub async fn connect(
    variables: &[(String, String)],
    count: usize,
    destination: &str,
    state: ConnectionState,
) -> Vec<Store> {
    sandbox::http::install_tls_provider();
    let config = Config::from_vars(variables.iter().cloned()).expect("the variables are right");
    let services = Services::open(config, true).await.expect("the database can be used");
    let rules = services.request_rules();
    let made: Result<Vec<Store>, InboxError> = stream::iter(1..=count)
        .map(|number| {
            let spec = ConnectionRequest::from_value(&request(number, destination), &rules).expect("it is right").spec;
            let hook_key = new_hook_key();
            let sealed = services.catalog.keyring().seal(&hook_key, &spec).expect("there is a key");
            let new = NewConnection::of(&spec, state, hook_key.clone(), Some(sealed));
            let config = StoreConfig::numbered(number);
            let path = format!("/webhooks/{hook_key}");
            let store = Store { path, hash: config.hash, secret: config.client_secret };
            let inbox = services.inbox.clone();
            async move { inbox.create_connection(new, Timestamp::now()).await.map(|_| store) }
        })
        .buffered(TOGETHER)
        .try_collect()
        .await;
    services.inbox.close().await;
    made.expect("the database keeps them")
}
