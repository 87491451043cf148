//! A store, a sink, a sender, a database, a load balancer and the relays behind it.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use rand::RngExt;
use reqwest::Method;
use sandbox::{
    OneTribeSim, Sender, SenderOptions, StoreSim, audit, http,
    relay::{ADMIN_TOKEN, variables},
};

use crate::{
    postgres::{Cluster, Database, skip},
    proxy::Proxy,
    replica::Replica,
};

/// Far longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between changes in the store while there is load.
const PAUSE: Duration = Duration::from_millis(8);

pub struct World {
    pub store: StoreSim,
    pub sink: OneTribeSim,
    pub sender: Sender,
    pub proxy: Proxy,
    pub replicas: Vec<Replica>,
    orders: Mutex<Vec<i64>>,
    extra: Vec<(String, String)>,
    database: Database,
    cluster: Cluster,
}

impl World {
    /// With this many relays, the first of them in the lead, and the hook made. `None` where there is no PostgreSQL.
    pub async fn start(replicas: usize) -> Option<Self> {
        let mut world = Self::prepare().await?;
        for _ in 0..replicas {
            world.join().await;
        }
        world.hooked().await;
        Some(world)
    }

    /// Without a relay, on an empty database.
    pub async fn prepare() -> Option<Self> {
        let Some(cluster) = Cluster::start() else { return skip() };
        let database = cluster.database().await;
        let store = StoreSim::start().unwrap();
        // BigCommerce's retries in milliseconds, and nobody waited for long.
        let options = SenderOptions { time_factor: 0.002, timeout: Duration::from_secs(3), ..SenderOptions::default() };
        Some(Self {
            sender: Sender::start(&store, options),
            sink: OneTribeSim::start().unwrap(),
            proxy: Proxy::start().await,
            replicas: Vec::new(),
            orders: Mutex::default(),
            extra: Vec::new(),
            store,
            database,
            cluster,
        })
    }

    /// Sets a variable of the relays to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    /// Waits until the store would tell a relay of its orders.
    pub async fn hooked(&self) {
        let hooked = |store: &StoreSim| store.hooks().iter().any(|hook| hook.is_active);
        self.store.wait_for(hooked, PATIENCE).await.unwrap();
    }

    /// One more relay of the world's own.
    pub async fn join(&mut self) {
        let replica = self.replica().await;
        self.replicas.push(replica);
        self.led(Duration::from_secs(10)).await;
    }

    /// What one relay answers the admin.
    pub async fn admin(&self, relay: usize, method: Method, path: &str, accept: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.replicas[relay].port);
        let request = http::client().request(method, url).bearer_auth(ADMIN_TOKEN).header("accept", accept);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// One more relay behind the load balancer.
    pub async fn replica(&self) -> Replica {
        let replica = Replica::start(&self.variables()).await;
        self.proxy.add(replica.port);
        replica
    }

    /// The environment of a relay, without its port.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = variables(&self.store, &self.sink, "unused".as_ref(), 0);
        let own = [
            ("DATABASE_URL", self.database.url()),
            ("PUBLIC_URL", self.proxy.url()),
            ("FETCH_TIMEOUT", "2s".to_owned()),
            ("FORWARD_TIMEOUT", "2s".to_owned()),
        ];
        for (name, value) in own {
            all.retain(|(known, _)| known != name);
            all.push((name.to_owned(), value));
        }
        all.extend(self.extra.iter().cloned());
        all
    }

    /// Places and changes orders for a while, at random.
    pub async fn load(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            let order = {
                let mut orders = self.orders.lock().unwrap();
                if orders.is_empty() || rand::rng().random_bool(0.4) {
                    orders.push(self.store.place_order_as(None, 11));
                    None
                } else {
                    let at = rand::rng().random_range(orders.len().saturating_sub(60)..orders.len());
                    Some(orders[at])
                }
            };
            if let Some(order) = order {
                self.store.change_order(order, rand::rng().random_range(1..15));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Which of the relays took the lead last.
    pub fn leader(&self) -> usize {
        let leads = |replica: &Replica| {
            let lead = |line: &&String| line.contains(" the lead");
            replica.said().iter().rfind(lead).is_some_and(|line| line.contains("this relay has the lead"))
        };
        self.replicas.iter().position(leads).unwrap()
    }

    /// Waits until one of the present relays leads.
    pub async fn led(&self, time: Duration) {
        self.until("somebody leads", time, || self.replicas.iter().any(|replica| replica.terms() > 0)).await;
    }

    pub async fn led_by_another(&self, than: usize, time: Duration) {
        let another = |(at, replica): (usize, &Replica)| at != than && replica.terms() > 0;
        self.until("another leads", time, || self.replicas.iter().enumerate().any(another)).await;
    }

    /// Waits for what tells nobody, by asking again and again.
    pub async fn until(&self, what: &str, time: Duration, reached: impl Fn() -> bool) {
        let began = Instant::now();
        while !reached() {
            assert!(began.elapsed() < time, "{what}: not within {time:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn crash(&self) {
        tokio::task::block_in_place(|| self.cluster.crash());
    }

    pub async fn up(&self) {
        tokio::task::block_in_place(|| self.cluster.up());
    }

    /// Connections to look into the database.
    pub async fn look(&self) -> sqlx::PgPool {
        self.database.look().await
    }

    /// Cuts every relay's connections to the database.
    pub async fn cut(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'onetribe-relay' AND pid <> pg_backend_pid()";
        sqlx::query(sql).execute(&self.look().await).await.unwrap();
    }

    /// Waits until all that was told is acknowledged and has arrived.
    pub async fn settled(&self) {
        let began = Instant::now();
        loop {
            let report = audit(&self.store, &self.sender.acknowledged(), &self.sink);
            if self.sender.pending() == 0 && report.missing.is_empty() && report.stale.is_empty() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{report}; {} pending", self.sender.pending());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops everything, in order, and looks at the books.
    pub async fn finish(mut self) {
        for replica in &mut self.replicas {
            replica.signal("TERM");
            assert!(replica.ended().await.success());
        }
        let report = audit(&self.store, &self.sender.acknowledged(), &self.sink);
        println!("{report}; {} acknowledged, {} calls", self.sender.acknowledged_count(), self.store.calls().len());
        assert!(report.missing.is_empty() && report.stale.is_empty() && report.overlapping.is_empty(), "{report}");
        assert_eq!(self.store.quota_refusals(), 0, "calls too many");
        assert_eq!((self.sender.abandoned(), self.store.hooks().len()), (0, 1));
        self.sender.stop().await;
        self.sink.stop().await;
        self.store.stop().await;
    }
}
