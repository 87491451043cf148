//! What the shop's server threads, its queue and its handles share. Each lock is held for one short step.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use tokio::sync::{Notify, Semaphore};

use super::config::{KeyRights, ShopConfig, ShopVersion};
use super::delivery::{Due, ShopDelivery};
use super::hook::ShopHook;
use super::key::ShopKey;
use super::order::{OtherObject, ShopOrder};
use crate::barrier::Barrier;
use crate::fault::Faults;
use crate::store::Record;

pub(super) struct State {
    config: RwLock<Arc<ShopConfig>>,
    pub address: SocketAddr,
    pub faults: Faults,
    pub record: Record,
    pub barrier: Barrier,
    pub client: reqwest::Client,
    /// Wakes the task that works off the queue.
    pub wake: Notify,
    pub senders: Semaphore,
    data: Mutex<Data>,
}

/// The contents of the shop's database.
#[derive(Default)]
pub(super) struct Data {
    pub orders: BTreeMap<i64, ShopOrder>,
    pub others: HashMap<String, BTreeMap<i64, OtherObject>>,
    pub hooks: BTreeMap<i64, ShopHook>,
    pub keys: Vec<ShopKey>,
    pub queue: Vec<Due>,
    /// How many deliveries are under way.
    pub under_way: usize,
    pub deliveries: Vec<ShopDelivery>,
    pub pings: u64,
    nonces: HashSet<String>,
    next_id: i64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("address", &self.address).finish_non_exhaustive()
    }
}

impl State {
    pub fn new(config: ShopConfig, address: SocketAddr) -> Self {
        let key = ShopKey {
            consumer_key: config.consumer_key.clone(),
            consumer_secret: config.consumer_secret.clone(),
            rights: KeyRights::ReadWrite,
        };
        Self {
            faults: Faults::default(),
            record: Record::new(config.record_details),
            barrier: Barrier::default(),
            client: crate::http::client(),
            wake: Notify::new(),
            senders: Semaphore::new(config.senders.max(1)),
            data: Mutex::new(Data { keys: vec![key], next_id: 1, ..Data::default() }),
            config: RwLock::new(Arc::new(config)),
            address,
        }
    }

    pub fn config(&self) -> Arc<ShopConfig> {
        self.config.read().expect("no holder of this lock panics").clone()
    }

    pub fn configure(&self, change: impl FnOnce(&mut ShopConfig)) {
        let mut config = self.config.write().expect("no holder of this lock panics");
        change(Arc::make_mut(&mut config));
    }

    pub fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().expect("no holder of this lock panics")
    }

    pub fn now(&self) -> i64 {
        self.config().clock.now()
    }

    /// The shop's address, without a trailing slash.
    pub fn home(&self) -> String {
        format!("http://{}{}", self.address, self.config().folder)
    }

    pub fn key(&self, consumer_key: &str) -> Option<ShopKey> {
        let known = self.data().keys.iter().find(|key| key.consumer_key == consumer_key).cloned();
        known.filter(|key| key.rights != KeyRights::Deleted)
    }

    /// Records an OAuth nonce. False if it has been used before.
    pub fn use_nonce(&self, nonce: &str) -> bool {
        self.data().nonces.insert(nonce.to_owned())
    }

    /// The order's JSON as a fetch returns it.
    pub fn render(&self, order: &ShopOrder) -> String {
        order.render(&self.config(), &self.home())
    }
}

/// What happens to orders, and which webhooks are queued for it.
impl State {
    /// Places an order under this id, or under the next free one. Returns its id.
    pub fn place(&self, id: Option<i64>, status: &str) -> i64 {
        let now = self.now();
        let mut data = self.data();
        let id = id.unwrap_or(data.next_id);
        data.next_id = data.next_id.max(id + 1);
        let (status, before_trash) = (status.to_owned(), None);
        data.orders.insert(id, ShopOrder { id, revision: 1, status, created: now, modified: now, before_trash });
        drop(data);
        self.barrier.changed();
        id
    }

    /// A free id for an object of another resource.
    pub fn next_id(&self) -> i64 {
        let mut data = self.data();
        data.next_id += 1;
        data.next_id - 1
    }

    /// Changes an order and its date. Returns the status it had before, or `None` if there is no such order.
    pub fn change(&self, id: i64, change: impl FnOnce(&mut ShopOrder)) -> Option<String> {
        let now = self.now();
        let mut data = self.data();
        let order = data.orders.get_mut(&id)?;
        let before = order.status.clone();
        change(order);
        order.revision += 1;
        order.modified = now.max(order.modified);
        drop(data);
        self.barrier.changed();
        Some(before)
    }

    /// Queues webhooks of these topics for an order, in this order.
    pub fn tell(&self, topics: &[&str], id: i64) {
        let mut data = self.data();
        for topic in topics {
            let hooks: Vec<i64> = data
                .hooks
                .values()
                .filter(|hook| hook.is_active() && hook.topic == *topic)
                .map(|hook| hook.id)
                .collect();
            for hook in hooks {
                let due = Due { hook, id };
                if !data.queue.contains(&due) {
                    data.queue.push(due);
                }
            }
        }
        drop(data);
        self.wake.notify_one();
        self.barrier.changed();
    }

    /// Queues the webhooks for a new order.
    pub fn tell_placed(&self, id: i64, is_draft: bool) {
        match (is_draft, self.sends_created_for_drafts()) {
            (true, true) | (false, _) => self.tell(&["order.created", "order.updated"], id),
            (true, false) => self.tell(&["order.updated"], id),
        }
    }

    /// Queues the webhooks for a draft that became an order.
    pub fn tell_left_draft(&self, id: i64) {
        match self.sends_created_for_drafts() {
            true => self.tell(&["order.updated"], id),
            false => self.tell(&["order.updated", "order.created"], id),
        }
    }

    fn sends_created_for_drafts(&self) -> bool {
        self.config().version <= ShopVersion::V9_0
    }

    /// WooCommerce 8.0 with HPOS has no webhooks for trashing and restoring; it sends `order.updated` instead.
    fn tells_updates_alone(&self) -> bool {
        let config = self.config();
        config.version == ShopVersion::V8_0 && config.has_hpos
    }

    /// Puts an order into the trash. Returns whether there is such an order.
    pub fn trash(&self, id: i64) -> bool {
        let trashed = self.change(id, |order| {
            let before = std::mem::replace(&mut order.status, "trash".to_owned());
            order.before_trash.get_or_insert(before);
        });
        if trashed.is_none() {
            return false;
        }
        let config = self.config();
        match self.tells_updates_alone() {
            true => self.tell(&["order.updated"], id),
            // Under post storage `product.deleted` fires too, with the order's id.
            false if !config.has_hpos && config.version == ShopVersion::V11_0 => {
                self.tell(&["order.deleted", "product.deleted"], id);
            }
            false => self.tell(&["order.deleted"], id),
        }
        true
    }

    /// Takes an order out of the trash, as the admin's button does.
    pub fn restore(&self, id: i64) -> bool {
        let restored = self.change(id, |order| {
            if let Some(before) = order.before_trash.take() {
                order.status = before;
            }
        });
        let topic = if self.tells_updates_alone() { "order.updated" } else { "order.restored" };
        if restored.is_some() {
            self.tell(&[topic], id);
        }
        restored.is_some()
    }

    /// Deletes an order for good: from now on it is answered with 404. No webhook is sent, except by 8.0 with HPOS.
    pub fn delete(&self, id: i64) -> bool {
        let is_known = self.data().orders.remove(&id).is_some();
        if is_known && self.tells_updates_alone() {
            self.tell(&["order.updated"], id);
        }
        self.barrier.changed();
        is_known
    }

    /// Gives an order a status, as the REST API and the admin do.
    pub fn set_status(&self, id: i64, status: &str) -> bool {
        let Some(before) = self.change(id, |order| {
            order.status = status.to_owned();
            order.before_trash = None;
        }) else {
            return false;
        };
        match before.as_str() {
            "checkout-draft" if status != "checkout-draft" => self.tell_left_draft(id),
            // Leaving the trash in this way fires no webhook under HPOS.
            "trash" if self.config().has_hpos => {}
            _ => self.tell(&["order.updated"], id),
        }
        true
    }
}
