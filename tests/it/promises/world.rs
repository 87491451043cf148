//! Three stores with a destination each, and the relay between them in a process of its own.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use sandbox::{
    Action, AppRegistration, ControlPanelSim, Event, Fault, OneTribeSim, Operation, Scope, Sender, SenderOptions,
    ShopConfig, ShopSim, StoreConfig, StoreFarm, StoreSim,
    app::variables,
    http,
    relay::{ADMIN_TOKEN, free_port},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    books::{self, Excuses},
    steps::{SIDES, Step},
};

/// Far longer than any step takes that works, including the leases of a killed process.
const PATIENCE: Duration = Duration::from_secs(120);
/// The connection that is made by the single-click app and ended by an uninstall; the others are the operator's.
const APP: usize = 1;
/// The shop's order ids begin here, above those of the stores.
const FIRST_SHOP_ORDER: i64 = 1_000_000_000_000;
/// Settings that differ from the defaults, so that minutes become seconds.
const HURRY: [(&str, &str); 6] = [
    ("FETCH_TIMEOUT", "6s"),
    ("FORWARD_TIMEOUT", "6s"),
    ("RECONCILE_INTERVAL", "1s"),
    ("HOOK_CHECK_INTERVAL", "1s"),
    ("RETRY_MAX_AGE", "2s"),
    ("RUST_LOG", "info"),
];

enum Shop {
    BigCommerce(StoreSim),
    WooCommerce(ShopSim),
}

/// One connection with its store and its destination.
struct Side {
    shop: Shop,
    sink: OneTribeSim,
    id: i64,
    is_connected: bool,
    excuses: Excuses,
}

impl Side {
    /// The current revision of each order.
    fn now(&self) -> BTreeMap<i64, u64> {
        match &self.shop {
            Shop::BigCommerce(store) => store.orders().iter().map(|order| (order.id, order.revision)).collect(),
            Shop::WooCommerce(shop) => shop.orders().iter().map(|order| (order.id, order.revision)).collect(),
        }
    }

    fn order(&self, nth: usize) -> i64 {
        let orders = self.now();
        *orders.keys().nth(nth % orders.len()).unwrap()
    }

    fn place(&self, is_told: bool) {
        match &self.shop {
            Shop::BigCommerce(store) if is_told => drop(store.place_order_as(None, 11)),
            Shop::BigCommerce(store) => drop(store.place_order_silently(None, 11)),
            Shop::WooCommerce(shop) => {
                let id = Some(FIRST_SHOP_ORDER + i64::try_from(shop.orders().len()).unwrap());
                match is_told {
                    true => shop.place_order_as(id, "processing"),
                    false => shop.place_order_silently(id, "processing"),
                };
            }
        }
    }

    fn change(&self, order: i64, status: u8, is_told: bool) {
        let status_of_shop = ["pending", "processing", "on-hold", "completed"][usize::from(status) % 4];
        let known = match (&self.shop, is_told) {
            (Shop::BigCommerce(store), true) => store.change_order(order, status),
            (Shop::BigCommerce(store), false) => store.change_order_silently(order, status),
            (Shop::WooCommerce(shop), true) => shop.change_order(order, status_of_shop),
            (Shop::WooCommerce(shop), false) => shop.change_order_silently(order, status_of_shop),
        };
        assert!(known, "order {order}");
    }

    fn repeat(&self, order: i64) {
        match &self.shop {
            Shop::BigCommerce(store) => store.tell(Event::new(Scope::Updated, order)),
            Shop::WooCommerce(shop) => shop.tell("order.updated", order),
        }
    }

    fn fault_store(&self, fault: Fault) {
        match &self.shop {
            Shop::BigCommerce(store) => store.fault(fault),
            Shop::WooCommerce(shop) => shop.fault(fault),
        }
    }

    fn heal_store(&self) {
        match &self.shop {
            Shop::BigCommerce(store) => store.clear_faults(),
            Shop::WooCommerce(shop) => shop.clear_faults(),
        }
    }

    fn lose_hooks(&self) {
        match &self.shop {
            Shop::BigCommerce(store) => store.hooks().iter().for_each(|hook| store.deactivate_hook(hook.id)),
            Shop::WooCommerce(shop) => shop.hooks().iter().for_each(|hook| shop.remove_hook(hook.id)),
        }
    }

    fn request(&self) -> Value {
        let source = match &self.shop {
            Shop::BigCommerce(store) => json!({
                "kind": "bigcommerce", "store_hash": store.config().hash,
                "access_token": store.config().token, "client_secret": store.config().client_secret,
            }),
            Shop::WooCommerce(shop) => json!({
                "kind": "woocommerce", "url": shop.url(),
                "consumer_key": shop.config().consumer_key, "consumer_secret": shop.config().consumer_secret,
            }),
        };
        json!({ "name": "One of several", "source": source, "destination": {"kind": "one_tribe", "url": self.sink.url()} })
    }
}

pub struct World {
    farm: StoreFarm,
    panel: ControlPanelSim,
    sides: Vec<Side>,
    sender: Sender,
    variables: Vec<(String, String)>,
    folder: TempDir,
    port: u16,
    client: reqwest::Client,
    process: Option<Child>,
    taken: Vec<String>,
    began: Instant,
}

/// A failed round leaves no process behind, and prints what led to the failure.
impl Drop for World {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            println!("the steps were:\n{}\nthe relay logged:\n{log}", self.taken.join("\n"));
        }
    }
}

impl World {
    /// Connects all three; the database is at this URL, or in a file.
    pub async fn start(database: Option<String>) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        let of_number = StoreConfig::numbered;
        let farm = StoreFarm::start_with((1..SIDES).map(of_number)).unwrap();
        let shop = ShopConfig { is_ssl: false, queue_delay: Some(Duration::ZERO), ..ShopConfig::default() };
        let shops = farm.stores().into_iter().map(Shop::BigCommerce);
        let shops = shops.chain([Shop::WooCommerce(ShopSim::start_with(shop).unwrap())]);
        let side = |shop| {
            let sink = OneTribeSim::start().unwrap();
            Side { shop, sink, id: 0, is_connected: false, excuses: Excuses::default() }
        };
        let panel = ControlPanelSim::start(&farm, AppRegistration::default()).unwrap();
        panel.register_relay(&format!("http://127.0.0.1:{port}"));
        let mut all = variables(&panel, &farm, folder.path(), port);
        all.extend(HURRY.map(|(name, value)| (name.to_owned(), value.to_owned())));
        all.extend(database.map(|url| ("DATABASE_URL".to_owned(), url)));
        // BigCommerce's retries in milliseconds; they go on for so long that no outage uses them up.
        let options = SenderOptions { time_factor: 0.002, ..SenderOptions::default() };
        let mut world = Self {
            sender: Sender::start_for(&farm.stores(), options),
            sides: shops.map(side).collect(),
            farm,
            panel,
            variables: all,
            folder,
            port,
            client: http::client(),
            process: None,
            taken: Vec::new(),
            began: Instant::now(),
        };
        world.run().await;
        for side in 0..SIDES {
            world.connect(side).await;
        }
        world
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("relay.log")
    }

    /// Starts the process and waits until it answers.
    async fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(self.variables.iter().cloned()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let began = Instant::now();
        while self.client.get(self.url("/health/live")).send().await.is_err() {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the relay has ended by itself: {ended:?}");
            assert!(began.elapsed() < PATIENCE, "the relay does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the process with this signal.
    async fn halt(&mut self, signal: &str) {
        let mut process = self.process.take().unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let began = Instant::now();
        let ended = loop {
            if let Some(ended) = process.try_wait().unwrap() {
                break ended;
            }
            assert!(began.elapsed() < PATIENCE, "the relay does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(signal == "KILL" || ended.success(), "{ended}");
        if signal == "KILL" {
            self.sides.iter_mut().for_each(|side| side.excuses.cut_off.push(Instant::now()));
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes a request as the admin; returns the status and the JSON of the answer.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.client.request(method, self.url(path)).bearer_auth(ADMIN_TOKEN);
        request = request.header("accept", "application/json");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Takes one step. A step that is impossible now (pausing a connection that has ended) is skipped.
    pub async fn take(&mut self, step: &Step) {
        self.taken.push(format!("{:>7.3} {step:?}", self.began.elapsed().as_secs_f64()));
        match *step {
            Step::Place { side, is_told } => self.sides[side].place(is_told),
            Step::Change { side, nth, status, is_told } => {
                let side = &self.sides[side];
                side.change(side.order(nth), status, is_told);
            }
            Step::Repeat { side, nth } => self.sides[side].repeat(self.sides[side].order(nth)),
            Step::Resend { side, nth } => self.resend(side, nth).await,
            Step::ResendFailed { side } => self.resend_failed(side).await,
            Step::StoreFault { side, ref action, times } => {
                self.sides[side].fault_store(fault(Operation::Any, action.clone(), times));
            }
            Step::SinkFault { side, ref action, times } => {
                self.sides[side].sink.fault(fault(Operation::Delivery, action.clone(), times));
            }
            Step::StoreHeals { side } => self.sides[side].heal_store(),
            Step::SinkHeals { side } => self.sides[side].sink.clear_faults(),
            Step::Refuse { side, nth } => {
                let side = &self.sides[side];
                side.sink.fault_order(side.order(nth), Action::Status(422));
            }
            Step::Clock { side, skew } => {
                if let Shop::BigCommerce(store) = &self.sides[side].shop {
                    store.set_clock_skew(skew);
                }
            }
            Step::LoseHooks { side } => self.sides[side].lose_hooks(),
            Step::Pause { side } => self.set_state(side, "paused").await,
            Step::Resume { side } => self.set_state(side, "active").await,
            Step::Disconnect { side } => self.disconnect(side).await,
            Step::Reconnect { side } if !self.sides[side].is_connected => self.connect(side).await,
            Step::Reconnect { .. } => {}
            Step::Kill { down } => {
                self.halt("KILL").await;
                tokio::time::sleep(down).await;
                self.run().await;
            }
            Step::Restart => {
                self.halt("TERM").await;
                self.run().await;
            }
            Step::Wait(span) => tokio::time::sleep(span).await,
        }
    }

    async fn resend(&mut self, side: usize, nth: usize) {
        let (id, order) = (self.sides[side].id, self.sides[side].order(nth));
        self.sides[side].excuses.asked.push((order, Instant::now()));
        let (status, answer) = self.ask(Method::POST, &format!("/connections/{id}/orders/{order}/resend"), None).await;
        assert!(matches!(status, 202 | 404 | 409), "{status} {answer}");
    }

    async fn resend_failed(&mut self, side: usize) {
        let (id, at) = (self.sides[side].id, Instant::now());
        let failed = self.listed(id, "failed").await;
        self.sides[side].excuses.asked.extend(failed.into_iter().map(|order| (order, at)));
        let (status, answer) =
            self.ask(Method::POST, &format!("/connections/{id}/orders/resend?state=failed"), None).await;
        assert!(matches!(status, 202 | 404 | 409), "{status} {answer}");
    }

    /// The orders listed in this state; asserts that each failed one has a reason.
    async fn listed(&self, id: i64, state: &str) -> Vec<i64> {
        let (status, page) =
            self.ask(Method::GET, &format!("/connections/{id}/orders?state={state}&limit=500"), None).await;
        assert_eq!(status, 200, "{page}");
        let rows = page["orders"].as_array().cloned().unwrap_or_default();
        let has_reason = |row: &Value| row["last_error"].as_str().is_some_and(|why| !why.is_empty());
        assert!(state != "failed" || rows.iter().all(has_reason), "failed without a reason: {page}");
        rows.iter().map(|row| row["order_id"].as_i64().unwrap()).collect()
    }

    async fn set_state(&mut self, side: usize, state: &str) {
        if self.sides[side].is_connected {
            let change = json!({ "state": state });
            let path = format!("/connections/{}", self.sides[side].id);
            let (status, answer) = self.ask(Method::PATCH, &path, Some(&change)).await;
            assert_eq!((status, &answer["state"]), (200, &json!(state)), "{answer}");
        }
    }

    async fn disconnect(&mut self, side: usize) {
        if !std::mem::take(&mut self.sides[side].is_connected) {
            return;
        }
        match &self.sides[side].shop {
            Shop::BigCommerce(store) if side == APP => assert_eq!(self.panel.uninstall(store).await.unwrap(), 200),
            _ => {
                let path = format!("/connections/{}", self.sides[side].id);
                let (status, answer) = self.ask(Method::DELETE, &path, None).await;
                assert_eq!((status, &answer["state"]), (200, &json!("disconnected")), "{answer}");
            }
        }
        self.sides[side].excuses.cut_off.push(Instant::now());
    }

    /// Connects it, or connects it again.
    async fn connect(&mut self, side: usize) {
        let id = match &self.sides[side].shop {
            Shop::BigCommerce(store) if side == APP => self.install(store, &self.sides[side].sink).await,
            _ => self.connect_by_request(side).await,
        };
        let side = &mut self.sides[side];
        assert!(side.id == 0 || side.id == id, "connection {} was taken up again as {id}", side.id);
        (side.id, side.is_connected) = (id, true);
    }

    /// Connects as a merchant does: installs the app, and enters the payload URL on the page that follows.
    async fn install(&self, store: &StoreSim, sink: &OneTribeSim) -> i64 {
        let page = self.client.get(self.panel.install_url(store)).send().await.unwrap();
        let (status, page) = (page.status().as_u16(), page.text().await.unwrap());
        let token = page.split_once(r#"name="token" value=""#).and_then(|(_, rest)| rest.split_once('"'));
        let token = token.unwrap_or_else(|| panic!("{status} {page}")).0;
        let fields = [("token", token), ("destination", &sink.url())];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = self.client.post(self.url("/bigcommerce/app/destination")).body(body);
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let answer = form.header("sec-fetch-site", "same-origin").header("origin", "null").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        let (_, all) = self.ask(Method::GET, "/connections", None).await;
        let is_its = |one: &&Value| one["source"]["store"] == json!(store.config().hash);
        let made = all["connections"].as_array().unwrap().iter().find(is_its);
        made.unwrap_or_else(|| panic!("{all}"))["id"].as_i64().unwrap()
    }

    /// Connects as an operator does, without verification if the store cannot be reached now.
    async fn connect_by_request(&self, side: usize) -> i64 {
        let request = self.sides[side].request();
        let (mut status, mut answer) = self.ask(Method::POST, "/connections", Some(&request)).await;
        if matches!(status, 422 | 502) {
            (status, answer) = self.ask(Method::POST, "/connections?verify=false", Some(&request)).await;
        }
        assert!(matches!(status, 200 | 201), "{status} {answer}");
        answer["id"].as_i64().unwrap()
    }

    /// Ends every fault and makes every connection active.
    pub async fn end_trouble(&mut self) {
        self.taken.push(format!("{:>7.3} the trouble ends", self.began.elapsed().as_secs_f64()));
        for side in 0..SIDES {
            self.sides[side].heal_store();
            self.sides[side].sink.clear_faults();
            if let Shop::BigCommerce(store) = &self.sides[side].shop {
                store.set_clock_skew(0);
            }
            match self.sides[side].is_connected {
                true => self.set_state(side, "active").await,
                false => self.connect(side).await,
            }
        }
    }

    /// Waits until every order's newest state has arrived, sending failed orders again, and no order waits.
    pub async fn is_settled(&mut self) {
        let began = Instant::now();
        let mut quiet = 0;
        while quiet < 3 {
            let has_told = |side: &Side| match &side.shop {
                Shop::BigCommerce(_) => true,
                Shop::WooCommerce(shop) => shop.queued() == 0,
            };
            let mut is_settled = self.sender.pending() == 0 && self.sides.iter().all(has_told);
            for side in 0..SIDES {
                let (id, now) = (self.sides[side].id, self.sides[side].now());
                if !self.listed(id, "failed").await.is_empty() {
                    self.resend_failed(side).await;
                }
                let sink = &self.sides[side].sink;
                let has_arrived = now.iter().all(|(order, revision)| sink.newest(*order) == Some(*revision));
                is_settled &= has_arrived && self.listed(id, "pending").await.is_empty() && sink.open() == 0;
            }
            if began.elapsed() > PATIENCE {
                self.examine().await;
                panic!("something still waits, though everything has arrived");
            }
            quiet = if is_settled { quiet + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        println!("settled {:.1?} after the trouble", began.elapsed());
    }

    /// Audits what the destinations have received against the promises.
    pub async fn examine(&self) {
        let mut faults = Vec::new();
        for side in &self.sides {
            let found = books::faults(&side.sink, &side.now(), &side.excuses);
            faults.extend(found.into_iter().map(|fault| format!("connection {}: {fault}", side.id)));
            for state in ["pending", "failed", "gone"] {
                let listed = self.listed(side.id, state).await;
                faults.extend((!listed.is_empty()).then(|| format!("connection {}: {state}: {listed:?}", side.id)));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// Stops everything, in order.
    pub async fn finish(mut self) {
        self.halt("TERM").await;
        for side in std::mem::take(&mut self.sides) {
            side.sink.stop().await;
            if let Shop::WooCommerce(shop) = side.shop {
                shop.stop().await;
            }
        }
        self.panel.stop().await;
        self.farm.stop().await;
    }
}

fn fault(operation: Operation, action: Action, times: Option<u32>) -> Fault {
    let fault = Fault::new(operation, action);
    match times {
        Some(times) => fault.times(times),
        None => fault,
    }
}
