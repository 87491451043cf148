//! What the store's server threads and its handles share. Each lock is held for one short step, and never two at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, RwLock};
use std::time::Instant;

use bytes::Bytes;

use super::account::{Accounts, ApiAccount};
use super::config::StoreConfig;
use super::hooks::{BlockedDomain, Draft, Hooks};
use super::orders::Orders;
use super::quota::Quota;
use super::record::Record;
use super::resources::Resources;
use crate::barrier::Barrier;
use crate::event::Event;
use crate::fault::Faults;
use crate::order::{Order, Template};

type Listener = Box<dyn Fn(&Event) + Send + Sync>;

pub(crate) struct State {
    pub(crate) config: StoreConfig,
    pub(crate) accounts: Accounts,
    pub(crate) faults: Faults,
    pub(crate) record: Record,
    pub(crate) barrier: Barrier,
    orders: Mutex<Orders>,
    resources: Mutex<Resources>,
    hooks: Mutex<Hooks>,
    quota: Mutex<Quota>,
    listeners: RwLock<Vec<Listener>>,
    /// Made when the first order is rendered: most of many stores never render one.
    template: OnceLock<Template>,
    /// By order: texts and their replacements when it is rendered.
    alterations: RwLock<HashMap<i64, Vec<(String, String)>>>,
    /// Seconds by which the store's clock is ahead.
    clock_skew: AtomicI64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("hash", &self.config.hash).finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn new(config: StoreConfig) -> Self {
        let first = ApiAccount {
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            token: config.token.clone(),
            scopes: Vec::new(),
        };
        Self {
            accounts: Accounts::new(first),
            faults: Faults::default(),
            record: Record::new(config.record_details),
            barrier: Barrier::default(),
            orders: Mutex::new(Orders::new(config.first_order_id)),
            resources: Mutex::default(),
            hooks: Mutex::new(Hooks::new(&config.hash)),
            quota: Mutex::new(Quota::new(config.quota, Instant::now())),
            listeners: RwLock::default(),
            template: OnceLock::new(),
            alterations: RwLock::default(),
            clock_skew: AtomicI64::new(0),
            config,
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.config.clock.now().saturating_add(self.clock_skew())
    }

    pub(crate) fn clock_skew(&self) -> i64 {
        self.clock_skew.load(Ordering::Acquire)
    }

    pub(crate) fn set_clock_skew(&self, seconds: i64) {
        self.clock_skew.store(seconds, Ordering::Release);
    }

    pub(crate) fn template(&self) -> &Template {
        self.template.get_or_init(|| Template::new(&self.config.hash))
    }

    /// Appends the order as the API returns it.
    pub(crate) fn render_into(&self, order: &Order, out: &mut String) {
        let alterations = self.alterations.read().expect("no holder of this lock panics");
        let Some(altered) = alterations.get(&order.id) else { return self.template().render_into(order, out) };
        let mut shown = String::new();
        self.template().render_into(order, &mut shown);
        out.push_str(&altered.iter().fold(shown, |shown, (from, to)| shown.replacen(from, to, 1)));
    }

    /// The order as the API returns it.
    pub(crate) fn render(&self, order: &Order) -> Bytes {
        let mut out = String::new();
        self.render_into(order, &mut out);
        out.into()
    }

    pub(crate) fn alter_order(&self, id: i64, from: &str, to: &str) {
        let mut alterations = self.alterations.write().expect("no holder of this lock panics");
        alterations.entry(id).or_default().push((from.to_owned(), to.to_owned()));
    }

    pub(crate) fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn resources(&self) -> MutexGuard<'_, Resources> {
        self.resources.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().expect("no holder of this lock panics")
    }

    /// Returns the status that the order had before.
    pub(crate) fn change_order(&self, id: i64, status_id: u8) -> Option<u8> {
        let before = self.orders().change(id, status_id, self.now());
        self.barrier.changed();
        before
    }

    pub(crate) fn add_hook(&self, scope: &str, destination: &str) -> Option<i64> {
        let draft = Draft {
            scope: Some(scope.to_owned()),
            destination: Some(destination.to_owned()),
            is_active: Some(true),
            headers: None,
        };
        let account = self.accounts.by_client(&self.config.client_id)?;
        let made = self.hooks().create(&account, draft, self.now()).ok().map(|hook| hook.id);
        self.barrier.changed();
        made
    }

    pub(crate) fn block_domain(&self, destination: &str, until: Instant) {
        {
            let mut hooks = self.hooks();
            hooks.blocked.retain(|domain| domain.destination != destination);
            hooks.blocked.push(BlockedDomain { destination: destination.to_owned(), until });
        }
        self.barrier.changed();
    }

    pub(crate) fn subscribe(&self, listener: Listener) {
        self.listeners.write().expect("no holder of this lock panics").push(listener);
    }

    pub(crate) fn tell(&self, event: &Event) {
        for listener in self.listeners.read().expect("a listener must not panic").iter() {
            listener(event);
        }
    }
}
