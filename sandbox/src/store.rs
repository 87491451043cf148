//! The simulated BigCommerce store: orders v2, hooks v2 and v3, the request quota, faults, and a record of the calls.
//! Its events go to subscribers; `sender` delivers them to the hooks.

mod account;
mod config;
mod farm;
mod filter;
mod hooks;
mod hooks_api;
mod info;
mod orders;
mod quota;
mod record;
mod resources;
mod routes;
mod state;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::controls::{controls, record};
use crate::event::{Event, Scope};
use crate::order::Order;

pub use account::ApiAccount;
pub use config::{Clock, StoreConfig};
pub(crate) use farm::Farm;
pub use farm::StoreFarm;
pub use hooks::{Hook, HookForm, HookRules};
pub use quota::QuotaRule;
pub use record::Call;
pub(crate) use record::Record;
use state::State;

/// A running simulated store, alone at its address or part of a [`StoreFarm`]. Clones share it; it stops with
/// [`StoreSim::stop`], or when the last clone is dropped and it is in no farm.
#[derive(Debug, Clone)]
pub struct StoreSim {
    state: Arc<State>,
    farm: Arc<Farm>,
}

controls!(StoreSim, "of any call to the API");
record!(StoreSim);

impl StoreSim {
    /// Starts a store with the default configuration.
    ///
    /// # Errors
    /// No port is available.
    pub fn start() -> io::Result<Self> {
        Self::start_with(StoreConfig::default())
    }

    /// Starts a store at an address of its own.
    ///
    /// # Errors
    /// No port is available.
    pub fn start_with(config: StoreConfig) -> io::Result<Self> {
        let hash = config.hash.clone();
        let farm = StoreFarm::start_with([config])?;
        Ok(farm.store(&hash).expect("it was just added"))
    }

    /// Stops serving, together with all stores at the same address; what was recorded stays readable.
    pub async fn stop(&self) {
        self.farm.server.stop().await;
    }

    /// The address that stands in for `https://api.bigcommerce.com`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.farm.address)
    }

    /// How the store is configured.
    pub fn config(&self) -> &StoreConfig {
        &self.state.config
    }
}

/// Orders.
impl StoreSim {
    /// Places an order of status 0 under the next id and emits its event.
    pub fn place_order(&self) -> i64 {
        self.place_order_as(None, 0)
    }

    /// Places an order under this id (or the next free one), in this status, and emits its event.
    pub fn place_order_as(&self, id: Option<i64>, status_id: u8) -> i64 {
        let id = self.place_order_silently(id, status_id);
        self.tell(Event::new(Scope::Created, id));
        id
    }

    /// Places an order without an event, as when a webhook is lost.
    pub fn place_order_silently(&self, id: Option<i64>, status_id: u8) -> i64 {
        let id = self.state.orders().place(id, status_id, self.state.now());
        self.state.barrier.changed();
        id
    }

    /// Gives an order a status (which may be the one it has), raises its revision, and emits `updated` and
    /// `statusUpdated`. Returns whether there is such an order.
    pub fn change_order(&self, id: i64, status_id: u8) -> bool {
        let before = self.state.change_order(id, status_id);
        if let Some(before) = before {
            self.tell(Event::new(Scope::Updated, id));
            self.tell(Event::new(Scope::StatusUpdated, id).with_status(before, status_id));
        }
        before.is_some()
    }

    /// Changes an order without an event. Returns whether there is such an order.
    pub fn change_order_silently(&self, id: i64, status_id: u8) -> bool {
        self.state.change_order(id, status_id).is_some()
    }

    /// Archives an order and emits its event: it is left out of lists, but can be fetched by its id.
    pub fn archive_order(&self, id: i64) -> bool {
        let known = self.archive_order_silently(id);
        if known {
            self.tell(Event::new(Scope::Archived, id));
        }
        known
    }

    /// Archives an order without an event.
    pub fn archive_order_silently(&self, id: i64) -> bool {
        self.state.orders().archive(id)
    }

    /// Deletes an order: from now on it is answered with 404. BigCommerce has no scope for that.
    pub fn delete_order(&self, id: i64) -> bool {
        self.state.orders().delete(id)
    }

    /// The order as it is now, unless deleted.
    pub fn order(&self, id: i64) -> Option<Order> {
        self.state.orders().get(id)
    }

    /// The order's revision now, unless deleted.
    pub fn revision(&self, id: i64) -> Option<u64> {
        self.order(id).map(|order| order.revision)
    }

    /// The order as a fetch would return it now, byte for byte.
    pub fn order_bytes(&self, id: i64) -> Option<Bytes> {
        self.order(id).map(|order| self.state.render(&order))
    }

    /// From now on, shows an order with `to` where its JSON says `from`, in lists and on its own.
    pub fn alter_order(&self, id: i64, from: &str, to: &str) {
        self.state.alter_order(id, from, to);
    }

    /// Every order that is not deleted, by id.
    pub fn orders(&self) -> Vec<Order> {
        self.state.orders().all().collect()
    }

    /// Emits any event of this store to the subscribers.
    pub fn tell(&self, event: Event) {
        self.state.tell(&event.of_store(&self.state.config.hash));
    }

    /// Calls `listener` with every event from now on. It must be quick.
    pub fn subscribe(&self, listener: impl Fn(&Event) + Send + Sync + 'static) {
        self.state.subscribe(Box::new(listener));
    }
}

/// Resources other than orders.
impl StoreSim {
    /// Puts a row into a list such as `v2/products` or `v3/catalog/products`; it replaces the row with the same `id`.
    /// Emits no event.
    pub fn put_row(&self, list: &str, row: serde_json::Value) {
        self.state.resources().put(list, row);
        self.state.barrier.changed();
    }

    /// Removes a row. Returns whether there was one.
    pub fn remove_row(&self, list: &str, id: i64) -> bool {
        self.state.resources().remove(list, id)
    }
}

/// API accounts and the clock.
impl StoreSim {
    /// Adds another API account, such as an app's. It replaces the client's former account, whose token is then
    /// invalid.
    pub fn grant(&self, account: ApiAccount) {
        self.state.accounts.grant(account);
        self.state.barrier.changed();
    }

    /// Revokes an account's token; its hooks stay. Returns whether there was such an account.
    pub fn revoke(&self, client_id: &str) -> bool {
        let known = self.state.accounts.revoke(client_id);
        self.state.barrier.changed();
        known
    }

    /// The API account of this client.
    pub fn account(&self, client_id: &str) -> Option<Arc<ApiAccount>> {
        self.state.accounts.by_client(client_id)
    }

    /// Sets by how many seconds the store's clock is ahead (negative: behind). This affects the `Date` header of its
    /// answers, `v2/time`, and the dates it sets from now on.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.state.set_clock_skew(seconds);
    }

    pub(crate) fn farm(&self) -> &Arc<Farm> {
        &self.farm
    }
}

/// Hooks.
impl StoreSim {
    /// Removes every hook of an account, as BigCommerce does after an app was uninstalled. Returns how many there were.
    pub fn remove_hooks_of(&self, client_id: &str) -> usize {
        let removed = self.state.hooks().remove_all_of(client_id);
        self.state.barrier.changed();
        removed
    }

    /// Changes the rules of the hooks API.
    pub fn set_hook_rules(&self, rules: HookRules) {
        self.state.hooks().rules = rules;
    }

    /// Every hook, by id.
    pub fn hooks(&self) -> Vec<Hook> {
        self.state.hooks().all().cloned().collect()
    }

    /// The hook with this id.
    pub fn hook(&self, id: i64) -> Option<Hook> {
        self.state.hooks().get(id).cloned()
    }

    /// The active hooks that receive events of this scope.
    pub fn hooks_for(&self, scope: &str) -> Vec<Hook> {
        self.state.hooks().all().filter(|hook| hook.matches(scope)).cloned().collect()
    }

    /// Registers an active hook, as a call to the API does. `None` if the rules forbid it.
    pub fn add_hook(&self, scope: &str, destination: &str) -> Option<i64> {
        self.state.add_hook(scope, destination)
    }

    /// Sets `is_active` to false, as BigCommerce does with a hook whose deliveries keep failing.
    pub fn deactivate_hook(&self, id: i64) {
        self.state.hooks().deactivate(id);
        self.state.barrier.changed();
    }

    /// The domains on the blocklist now, as scheme, host and port.
    pub fn blocked_domains(&self) -> Vec<String> {
        self.state.hooks().blocked_at(Instant::now()).map(|domain| domain.destination.clone()).collect()
    }

    /// Lists the domain as blocked until then.
    pub fn block_domain(&self, destination: &str, until: Instant) {
        self.state.block_domain(destination, until);
    }
}

/// Quota.
impl StoreSim {
    /// Starts a new window under another rule.
    pub fn set_quota(&self, rule: QuotaRule) {
        *self.state.quota() = quota::Quota::new(rule, Instant::now());
    }

    /// Uses up quota as if another app of the store made `n` calls.
    pub fn other_app_uses(&self, n: u32) {
        self.state.quota().use_up(n, Instant::now());
    }

    /// How many calls were answered 429 because the quota was used up.
    pub fn quota_refusals(&self) -> u64 {
        self.state.quota().refused()
    }
}
