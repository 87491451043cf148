//! The simulated WooCommerce shop: its REST API with all kinds of permalinks and the quirks of several versions, its
//! webhooks and their queue, keys in one click, faults, and a record of the calls.
//!
//! Its behaviour is that of real shops (WooCommerce 5.7.1, 8.0.3, 9.0.2, 11.0.1). It speaks plain `http` on loopback;
//! whether WordPress takes a request for `https` is a setting.

mod answers;
mod auth;
mod config;
mod delivery;
mod hook;
mod hooks;
mod key;
mod key_page;
mod list;
mod order;
mod resources;
mod rest_error;
mod routes;
mod sender;
mod state;

use std::io;
use std::sync::Arc;

use actix_web::web;
use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::controls::{controls, record};
use crate::http::{self, Server};

pub use config::{KeyRights, RestState, ShopConfig, ShopPermalinks, ShopVersion};
pub use delivery::ShopDelivery;
pub use hook::ShopHook;
pub use key::ShopKey;
use order::OtherObject;
pub use order::{ShopOrder, shop_revision_of};
pub use sender::signature;
use state::State;

/// A running simulated shop. Clones share it; it stops with [`ShopSim::stop`], or when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct ShopSim {
    state: Arc<State>,
    server: Arc<Server>,
    _queue: Arc<Queue>,
}

controls!(ShopSim, "of any call to the API");
record!(ShopSim);

/// The task that works off the webhook queue; it ends with the last clone.
#[derive(Debug)]
struct Queue(JoinHandle<()>);

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ShopSim {
    /// Starts a shop with the default configuration.
    ///
    /// # Errors
    /// No port is available.
    pub fn start() -> io::Result<Self> {
        Self::start_with(ShopConfig::default())
    }

    /// Starts a shop.
    ///
    /// # Errors
    /// No port is available.
    pub fn start_with(config: ShopConfig) -> io::Result<Self> {
        let (listener, address) = http::listen()?;
        let workers = config.workers;
        let state = Arc::new(State::new(config, address));
        let shared = web::Data::from(Arc::clone(&state));
        let server = Server::start(listener, workers, move |app| {
            app.app_data(shared.clone()).default_service(web::to(routes::serve));
        })?;
        let queue = Queue(tokio::spawn(sender::run(Arc::clone(&state))));
        Ok(Self { state, server: Arc::new(server), _queue: Arc::new(queue) })
    }

    /// Stops serving; what was recorded stays readable.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// The shop's address, without a trailing slash.
    pub fn url(&self) -> String {
        self.state.home()
    }

    /// How the shop is configured now.
    pub fn config(&self) -> Arc<ShopConfig> {
        self.state.config()
    }

    /// Changes the configuration while the shop runs. The numbers of threads and senders do not change.
    pub fn configure(&self, change: impl FnOnce(&mut ShopConfig)) {
        self.state.configure(change);
    }
}

/// Orders and other objects.
impl ShopSim {
    /// Places a paid order: in `processing`, under the next id.
    pub fn place_order(&self) -> i64 {
        self.place_order_as(None, "processing")
    }

    /// Places an order under this id (or the next free one), in this status.
    pub fn place_order_as(&self, id: Option<i64>, status: &str) -> i64 {
        let id = self.state.place(id, status);
        self.state.tell_placed(id, status == "checkout-draft");
        id
    }

    /// Places an order without webhooks, as when a webhook is lost.
    pub fn place_order_silently(&self, id: Option<i64>, status: &str) -> i64 {
        self.state.place(id, status)
    }

    /// Begins a block checkout: an order in `checkout-draft`. [`ShopSim::change_order`] pays it.
    pub fn place_draft(&self) -> i64 {
        self.place_order_as(None, "checkout-draft")
    }

    /// Gives an order a status (which may be the one it has), and raises its revision. Returns whether there is such an
    /// order.
    pub fn change_order(&self, id: i64, status: &str) -> bool {
        self.state.set_status(id, status)
    }

    /// Changes an order without webhooks.
    pub fn change_order_silently(&self, id: i64, status: &str) -> bool {
        self.state.change(id, |order| order.status = status.to_owned()).is_some()
    }

    /// Sets when an order was last changed, in unix seconds.
    pub fn set_modified(&self, id: i64, at: i64) {
        if let Some(order) = self.state.data().orders.get_mut(&id) {
            order.modified = at;
        }
    }

    /// Puts an order into the trash.
    pub fn trash_order(&self, id: i64) -> bool {
        self.state.trash(id)
    }

    /// Takes an order out of the trash with the admin's button. [`ShopSim::change_order`] does so without webhooks
    /// under HPOS.
    pub fn restore_order(&self, id: i64) -> bool {
        self.state.restore(id)
    }

    /// Deletes an order for good: from now on it is answered with 404. No webhook is sent, except by 8.0 with HPOS.
    pub fn delete_order(&self, id: i64) -> bool {
        self.state.delete(id)
    }

    /// The order as it is now, unless deleted.
    pub fn order(&self, id: i64) -> Option<ShopOrder> {
        self.state.data().orders.get(&id).cloned()
    }

    /// The order's revision now, unless deleted.
    pub fn revision(&self, id: i64) -> Option<u64> {
        self.order(id).map(|order| order.revision)
    }

    /// The order as a fetch would return it now, byte for byte.
    pub fn order_bytes(&self, id: i64) -> Option<Bytes> {
        self.order(id).map(|order| self.state.render(&order).into())
    }

    /// Every order that is not deleted, by id, including drafts and those in the trash.
    pub fn orders(&self) -> Vec<ShopOrder> {
        self.state.data().orders.values().cloned().collect()
    }

    /// Adds an object to `products`, `coupons` or `customers`; it gets its id and its dates. Webhooks are queued.
    pub fn add_object(&self, resource: &str, mut object: Value) -> i64 {
        let (id, now) = (self.state.next_id(), self.state.now());
        object["id"] = id.into();
        for name in ["date_created_gmt", "date_modified_gmt"] {
            object[name] = order::date(now).into();
        }
        let status = object["status"].as_str().map(str::to_owned);
        let body = Bytes::from(object.to_string());
        let added = OtherObject { id, status, created: now, modified: now, body };
        self.state.data().others.entry(resource.to_owned()).or_default().insert(id, added);
        self.state.tell(&[&format!("{}.created", resource.trim_end_matches('s'))], id);
        id
    }

    /// Queues an event of any topic for the webhooks with that topic, such as a `product.deleted` from elsewhere.
    pub fn tell(&self, topic: &str, id: i64) {
        self.state.tell(&[topic], id);
    }
}

/// Webhooks and their queue.
impl ShopSim {
    /// Every webhook, by id.
    pub fn hooks(&self) -> Vec<ShopHook> {
        self.state.data().hooks.values().cloned().collect()
    }

    /// The webhook with this id.
    pub fn hook(&self, id: i64) -> Option<ShopHook> {
        self.state.data().hooks.get(&id).cloned()
    }

    /// Changes a webhook, as a merchant does in the admin.
    pub fn change_hook(&self, id: i64, change: impl FnOnce(&mut ShopHook)) {
        if let Some(hook) = self.state.data().hooks.get_mut(&id) {
            change(hook);
        }
        self.state.barrier.changed();
    }

    /// Deletes a webhook, as a merchant does in the admin.
    pub fn remove_hook(&self, id: i64) {
        self.state.data().hooks.remove(&id);
        self.state.barrier.changed();
    }

    /// How many deliveries are waiting or under way.
    pub fn queued(&self) -> usize {
        let data = self.state.data();
        data.queue.len() + data.under_way
    }

    /// Works off the queue, as WP-Cron does when somebody visits the shop.
    pub async fn run_queue(&self) {
        sender::work_off(&self.state).await;
    }

    /// The deliveries that were made, in the order of the answers.
    pub fn deliveries(&self) -> Vec<ShopDelivery> {
        self.state.data().deliveries.clone()
    }

    /// How many pings were sent.
    pub fn pings(&self) -> u64 {
        self.state.data().pings
    }
}

/// Keys.
impl ShopSim {
    /// Every pair of keys.
    pub fn keys(&self) -> Vec<ShopKey> {
        self.state.data().keys.clone()
    }

    /// Sets what every pair of keys may do from now on.
    pub fn set_rights(&self, rights: KeyRights) {
        for key in &mut self.state.data().keys {
            key.rights = rights;
        }
    }
}
