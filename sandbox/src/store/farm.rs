//! Many simulated stores at one address, as at `https://api.bigcommerce.com`: one server, and for each store its own
//! state, faults, quota and record.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::StoreSim;
use super::config::StoreConfig;
use super::routes;
use super::state::State;
use crate::answer::Answer;
use crate::blocklist::Blocklists;
use crate::http::{self, Server};

/// The stores by hash, as the server looks them up.
#[derive(Default)]
struct Stores(RwLock<HashMap<String, Arc<State>>>);

impl Stores {
    fn get(&self, hash: &str) -> Option<Arc<State>> {
        self.0.read().expect("no holder of this lock panics").get(hash).cloned()
    }
}

impl Stores {
    /// The store with this legacy account.
    fn with_legacy(&self, authorization: &str) -> Option<Arc<State>> {
        let stores = self.0.read().expect("no holder of this lock panics");
        let fits = |state: &&Arc<State>| {
            let account = state.config.legacy.as_ref();
            account.is_some_and(|(user, token)| {
                authorization == format!("Basic {}", STANDARD.encode(format!("{user}:{token}")))
            })
        };
        stores.values().find(fits).cloned()
    }
}

/// What the stores at one address share.
pub(crate) struct Farm {
    pub(super) address: SocketAddr,
    pub(super) server: Server,
    stores: Arc<Stores>,
    client: OnceLock<reqwest::Client>,
    /// Shared by all stores, since BigCommerce blocks a destination for a client id in all of its stores at once.
    pub(crate) blocklists: Blocklists,
}

impl fmt::Debug for Farm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Farm").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Farm {
    fn start(workers: usize) -> io::Result<Arc<Self>> {
        let (listener, address) = http::listen()?;
        let stores = Arc::new(Stores::default());
        let shared = web::Data::from(Arc::clone(&stores));
        let server = Server::start(listener, workers, move |app| {
            app.app_data(shared.clone()).default_service(web::to(serve));
        })?;
        let (client, blocklists) = (OnceLock::new(), Blocklists::default());
        Ok(Arc::new(Self { address, server, stores, client, blocklists }))
    }

    /// The HTTP client that the senders of all stores post with.
    pub(crate) fn client(&self) -> reqwest::Client {
        self.client.get_or_init(http::client).clone()
    }

    /// Lists the domain as blocked in every store that has hooks of this client.
    pub(crate) fn block_domain(&self, client_id: &str, domain: &str, until: Instant) {
        let stores: Vec<_> = self.stores.0.read().expect("no holder of this lock panics").values().cloned().collect();
        for state in stores.iter().filter(|state| state.accounts.by_client(client_id).is_some()) {
            state.block_domain(domain, until);
        }
    }
}

async fn serve(stores: web::Data<Stores>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if request.path().starts_with(routes::LEGACY) {
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        return match stores.with_legacy(given) {
            Some(state) => routes::serve(state, request, body).await,
            None => Answer::refusal(401, "the user or the API token is wrong").into_response(),
        };
    }
    let path = request.path().strip_prefix("/stores/").and_then(|rest| rest.split_once('/'));
    match path.and_then(|(hash, _)| stores.get(hash)) {
        Some(state) => routes::serve(state, request, body).await,
        None => Answer::refusal(404, "The requested resource was not found.").into_response(),
    }
}

/// Simulated stores that share one address. Clones share them; they stop with [`StoreFarm::stop`], or when the last
/// clone and the last [`StoreSim`] of the farm are dropped.
#[derive(Debug, Clone)]
pub struct StoreFarm(Arc<Farm>);

impl StoreFarm {
    /// Starts `n` stores, each a [`StoreConfig::numbered`], counted from 1.
    ///
    /// # Errors
    /// No port is available.
    pub fn start(n: usize) -> io::Result<Self> {
        Self::start_with((1..=n).map(StoreConfig::numbered))
    }

    /// Starts these stores, with the largest number of threads that any of them asks for.
    ///
    /// # Errors
    /// No port is available.
    pub fn start_with(stores: impl IntoIterator<Item = StoreConfig>) -> io::Result<Self> {
        let stores: Vec<StoreConfig> = stores.into_iter().collect();
        let workers = stores.iter().map(|store| store.workers).max().unwrap_or(1);
        let farm = Self(Farm::start(workers)?);
        for store in stores {
            farm.add(store);
        }
        Ok(farm)
    }

    /// Adds a store; it replaces one with the same hash.
    pub fn add(&self, config: StoreConfig) -> StoreSim {
        let state = Arc::new(State::new(config));
        let hash = state.config.hash.clone();
        self.0.stores.0.write().expect("no holder of this lock panics").insert(hash, Arc::clone(&state));
        StoreSim { state, farm: Arc::clone(&self.0) }
    }

    /// Removes a store: from now on its hash is unknown.
    pub fn remove(&self, hash: &str) {
        self.0.stores.0.write().expect("no holder of this lock panics").remove(hash);
    }

    /// The store with this hash.
    pub fn store(&self, hash: &str) -> Option<StoreSim> {
        self.0.stores.get(hash).map(|state| StoreSim { state, farm: Arc::clone(&self.0) })
    }

    /// Every store, by hash.
    pub fn stores(&self) -> Vec<StoreSim> {
        let stores = self.0.stores.0.read().expect("no holder of this lock panics");
        let sim = |state: &Arc<State>| StoreSim { state: Arc::clone(state), farm: Arc::clone(&self.0) };
        let mut stores: Vec<StoreSim> = stores.values().map(sim).collect();
        stores.sort_by(|a, b| a.config().hash.cmp(&b.config().hash));
        stores
    }

    /// The address that stands in for `https://api.bigcommerce.com`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Stops serving all of the stores; what was recorded stays readable.
    pub async fn stop(&self) {
        self.0.server.stop().await;
    }
}
