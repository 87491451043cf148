//! Wall clocks that are wrong for a while, and periods of hours on a faster clock: the real process, with a clock of
//! its own.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sandbox::{
    Action, Event, Fault, Operation, ProcessClock, QuotaRule, Scope, SendOptions, SenderOptions, StoreConfig,
    relay::ADMIN_TOKEN, send_once,
};
use serde_json::Value;

use crate::relay::{
    process::{Process, command},
    world::{PATIENCE, World},
};

const HOUR: i64 = 3600;
/// Whatever a wrong clock has put off is due again within this time, and then needs an attempt or two.
const REPAIRED: Duration = Duration::from_secs(25);

/// The real time that a period takes on a clock that runs `speed` times as fast.
fn real(span: Duration, speed: u32) -> Duration {
    span / speed
}

/// A relay with a clock that a test sets.
struct Timed {
    world: World,
    clock: ProcessClock,
    speed: u32,
    process: Option<Process>,
}

impl Timed {
    async fn start(speed: u32, extra: &[(&str, &str)]) -> Self {
        let store = StoreConfig { quota: QuotaRule::unlimited(), ..StoreConfig::default() };
        let mut world = World::prepare(store, SenderOptions::default(), extra);
        // On a fast clock the relay soon closes connections that are kept open, perhaps just when one is used again.
        world.client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let clock = ProcessClock::new(world.folder.path()).unwrap();
        let mut timed = Self { world, clock, speed, process: None };
        timed.resume().await;
        timed.world.hooked().await;
        let first = timed.world.store.place_order_as(None, 11);
        timed.world.arrived_at(first, 1).await;
        timed
    }

    async fn resume(&mut self) {
        let mut command = command(&self.world);
        command.env("RUST_LOG", "warn");
        self.clock.give(&mut command, self.speed);
        self.process = Some(Process::as_prepared(command, &self.world.url("/health/live")).await);
    }

    async fn stop(&mut self) {
        let process = self.process.take().unwrap();
        process.signal("TERM");
        assert!(process.ended().await.success());
    }

    fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Places an order and sends its webhook.
    async fn told(&self) -> i64 {
        let order = self.world.store.place_order_silently(None, 11);
        self.tell(order).await;
        order
    }

    /// Sends an order's webhook until it is taken: on a fast clock, receiving or storing it may take the relay too long.
    async fn tell(&self, order: i64) {
        let began = Instant::now();
        let (event, secret) = (Event::new(Scope::Updated, order), &self.world.store.config().client_secret);
        let (url, options) = (self.world.url("/webhooks/bigcommerce"), SendOptions::default());
        while !matches!(send_once(&self.world.client, &url, secret, &event, &options).await, Ok(200)) {
            assert!(began.elapsed() < PATIENCE, "the webhook is not taken");
        }
    }

    /// An order's row, likewise.
    async fn row(&self, order: i64) -> Value {
        let began = Instant::now();
        let url = self.world.url(&format!("/orders?limit=1&before={}", order + 1));
        loop {
            if let Ok(answer) = self.world.client.get(&url).bearer_auth(ADMIN_TOKEN).send().await
                && answer.status() == 200
                && let Ok(page) = answer.text().await
            {
                let row = serde_json::from_str::<Value>(&page).unwrap()["orders"][0].take();
                return if row["order_id"] == order { row } else { Value::Null };
            }
            assert!(began.elapsed() < PATIENCE, "the orders are not listed");
        }
    }

    async fn failed_at_least(&self, order: i64, times: u64) {
        let began = Instant::now();
        loop {
            let row = self.row(order).await;
            if row["attempts"].as_u64() >= Some(times) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{row}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn arrive_within(&self, orders: &[i64], time: Duration) {
        let began = Instant::now();
        let all = |sink: &sandbox::OneTribeSim| orders.iter().all(|order| sink.newest(*order).is_some());
        if self.world.sink.wait_for(all, time).await.is_err() {
            for order in orders {
                println!("{order}: {:?} {}", self.world.sink.newest(*order), self.row(*order).await);
            }
            panic!("not all of {orders:?} arrived within {time:?}");
        }
        println!("all arrived after {:?}", began.elapsed());
    }

    async fn finish(mut self) {
        self.stop().await;
        self.world.finish().await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Restart,
    Kill,
}

/// Every kind of waiting begins while the clock is `off` seconds off; then the clock is corrected.
async fn is_put_right(off: i64, meanwhile: Meanwhile) {
    let mut timed = Timed::start(1, &[("RECONCILE_INTERVAL", "1s"), ("FETCH_TIMEOUT", "4s")]).await;
    let (store, sink) = (timed.world.store.clone(), timed.world.sink.clone());
    timed.clock.set(off).unwrap();
    let refused = timed.world.store.place_order_silently(None, 11);
    sink.fault_order(refused, Action::Status(422));
    let missing = timed.world.store.place_order_silently(None, 11);
    store.fault(Fault::new(Operation::OrderSingle, Action::Status(404)).order(missing));
    for order in [refused, missing] {
        timed.tell(order).await;
        timed.failed_at_least(order, 1).await;
    }
    // One order being forwarded at this moment, and one that waits for the destination.
    let held = timed.world.store.place_order_silently(None, 11);
    sink.fault(Fault::new(Operation::Delivery, Action::Hold).order(held));
    timed.tell(held).await;
    sink.wait_for(|sink| sink.held() > 0, Duration::from_secs(20)).await.unwrap();
    sink.fault_all(Action::Status(503));
    let deferred = timed.told().await;
    let polled = timed.world.store.place_order_silently(None, 11);
    tokio::time::sleep(Duration::from_secs(2)).await;
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Restart => {
            sink.release();
            timed.stop().await;
        }
        Meanwhile::Kill => timed.kill(),
    }
    timed.clock.set(0).unwrap();
    sink.clear_faults();
    sink.release();
    store.clear_faults();
    if meanwhile != Meanwhile::Nothing {
        timed.resume().await;
    }
    let after = timed.told().await;
    let missed = timed.world.store.place_order_silently(None, 11);
    println!("{off} s, {meanwhile:?}");
    timed.arrive_within(&[after], Duration::from_secs(10)).await;
    // An order that was being forwarded when the process was killed has to wait until its lease ends.
    timed.arrive_within(&[refused, missing, held, deferred, polled, missed], REPAIRED + Duration::from_secs(15)).await;
    timed.finish().await;
}

#[actix_web::test]
async fn a_clock_that_was_ahead_and_is_right_again_makes_nothing_wait() {
    is_put_right(HOUR, Meanwhile::Nothing).await;
    is_put_right(48 * HOUR, Meanwhile::Nothing).await;
}

#[actix_web::test]
async fn a_clock_that_was_ahead_and_is_right_again_over_a_restart_makes_nothing_wait() {
    is_put_right(HOUR, Meanwhile::Restart).await;
    is_put_right(HOUR, Meanwhile::Kill).await;
    is_put_right(48 * HOUR, Meanwhile::Kill).await;
}

#[actix_web::test]
async fn a_clock_that_was_behind_and_is_right_again_makes_nothing_wait_either() {
    is_put_right(-HOUR, Meanwhile::Nothing).await;
    is_put_right(-HOUR, Meanwhile::Kill).await;
}

/// The factor of the fast clock: the ten minutes after which an order unknown to the store is given up take 20 seconds.
const FAST: u32 = 30;
const GONE_AFTER: Duration = Duration::from_secs(600);

fn fast() -> [(&'static str, &'static str); 3] {
    // The store and the destination are not faster: their 20 ms are 600 ms on the relay's clock.
    [("RECONCILE_INTERVAL", "0"), ("FETCH_TIMEOUT", "60s"), ("FORWARD_TIMEOUT", "60s")]
}

fn unknown(order: i64) -> Fault {
    Fault::new(Operation::OrderSingle, Action::Status(404)).order(order)
}

async fn comes_to_be(timed: &Timed, order: i64, state: &str, within: Duration) -> serde_json::Value {
    let began = Instant::now();
    loop {
        let row = timed.row(order).await;
        if row["state"] == state {
            return row;
        }
        assert!(began.elapsed() < within, "not {state}: {row}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix_web::test]
async fn an_order_that_the_store_does_not_know_is_gone_after_ten_minutes_and_several_looks() {
    let timed = Timed::start(FAST, &fast()).await;
    let order = timed.world.store.place_order_silently(None, 11);
    timed.world.store.fault(unknown(order));
    let began = Instant::now();
    timed.tell(order).await;
    let row = comes_to_be(&timed, order, "gone", Duration::from_secs(60)).await;
    assert!(began.elapsed() >= real(GONE_AFTER, FAST), "gone after {:?}: {row}", began.elapsed() * FAST);
    let looks = timed.world.store.calls().iter().filter(|call| call.status == Some(404)).count();
    assert!((4..=16).contains(&looks) && row["attempts"].as_u64() >= Some(3), "{looks} looks: {row}");
    // Later the store has the order after all, and sends a webhook for it.
    timed.world.store.clear_faults();
    timed.tell(order).await;
    timed.arrive_within(&[order], Duration::from_secs(10)).await;
    timed.finish().await;
}

#[actix_web::test]
async fn ten_minutes_in_which_nobody_could_look_are_not_counted() {
    let mut timed = Timed::start(FAST, &fast()).await;
    let outage = |status| Fault::new(Operation::OrderSingle, Action::Status(status));
    // Not found at first; then the store is down for a quarter of an hour.
    let order = timed.world.store.place_order_silently(None, 11);
    timed.world.store.fault(unknown(order).times(1));
    timed.world.store.fault(outage(503));
    timed.tell(order).await;
    tokio::time::sleep(real(GONE_AFTER * 3 / 2, FAST)).await;
    timed.world.store.clear_faults();
    timed.world.store.fault(unknown(order).times(1));
    timed.arrive_within(&[order], Duration::from_secs(20)).await;
    // The same, with the relay stopped for hours; its clock shows that time when it starts again.
    let order = timed.world.store.place_order_silently(None, 11);
    timed.world.store.fault(unknown(order).times(2));
    timed.tell(order).await;
    timed.failed_at_least(order, 1).await;
    timed.stop().await;
    timed.clock.set(3 * HOUR).unwrap();
    timed.resume().await;
    timed.arrive_within(&[order], Duration::from_secs(20)).await;
    timed.finish().await;
}

#[actix_web::test]
async fn a_clock_that_jumps_ahead_makes_no_order_gone_or_failed() {
    let timed = Timed::start(1, &[("RECONCILE_INTERVAL", "0"), ("RETRY_MAX_AGE", "1h")]).await;
    let missing = timed.world.store.place_order_silently(None, 11);
    timed.world.store.fault(unknown(missing).times(2));
    let refused = timed.world.store.place_order_silently(None, 11);
    let refusal = |times| Fault::new(Operation::Delivery, Action::Status(422)).order(refused).times(times);
    timed.world.sink.fault(refusal(2));
    for order in [missing, refused] {
        timed.tell(order).await;
        timed.failed_at_least(order, 1).await;
    }
    timed.clock.set(30 * 24 * HOUR).unwrap();
    timed.arrive_within(&[missing, refused], Duration::from_secs(30)).await;
    for state in ["gone", "failed"] {
        assert_eq!(timed.world.get(&format!("/orders?state={state}")).await.1["orders"], serde_json::json!([]));
    }
    timed.finish().await;
}

#[actix_web::test]
async fn an_outage_longer_than_an_order_may_be_refused_is_not_counted() {
    let timed = Timed::start(FAST, &[("RETRY_MAX_AGE", "5m"), fast()[0], fast()[1], fast()[2]]).await;
    let order = timed.world.store.place_order_silently(None, 11);
    timed.world.sink.fault(Fault::new(Operation::Delivery, Action::Status(422)).times(1));
    timed.world.sink.fault_all(Action::Status(503));
    timed.tell(order).await;
    // The outage lasts a quarter of an hour.
    tokio::time::sleep(real(GONE_AFTER * 3 / 2, FAST)).await;
    timed.world.sink.clear_faults();
    timed.world.sink.fault(Fault::new(Operation::Delivery, Action::Status(422)).times(1));
    timed.arrive_within(&[order], Duration::from_secs(30)).await;
    // An order that is refused every time fails within its time limit.
    let refused = timed.world.store.place_order_silently(None, 11);
    timed.world.sink.fault_order(refused, Action::Status(422));
    let began = Instant::now();
    timed.tell(refused).await;
    let row = comes_to_be(&timed, refused, "failed", Duration::from_secs(60)).await;
    assert!(began.elapsed() >= real(Duration::from_secs(300), FAST), "{:?}", began.elapsed() * FAST);
    assert!(row["attempts"].as_u64() >= Some(3), "{row}");
    timed.world.sink.clear_faults();
    assert_eq!(timed.world.post(&format!("/orders/{refused}/resend")).await.0, 202);
    timed.arrive_within(&[refused], Duration::from_secs(10)).await;
    timed.finish().await;
}

/// An hour, the longest pause that a `Retry-After` is granted, takes 12 seconds.
const FASTEST: u32 = 300;

#[actix_web::test]
async fn nobody_is_waited_for_as_long_as_years_because_he_asks_for_it() {
    let years = [
        ("retry-after", "315360000"),
        ("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("x-retry-after", "18446744073709551615"),
        ("x-rate-limit-time-reset-ms", "315360000000"),
    ];
    join_all(years.map(|(name, value)| async move {
        let timeouts = [("FETCH_TIMEOUT", "3000s"), ("FORWARD_TIMEOUT", "3000s"), ("RECONCILE_INTERVAL", "0")];
        let timed = Timed::start(FASTEST, &timeouts).await;
        let asking = |operation, status| Fault::new(operation, Action::Status(status)).times(1).header(name, value);
        let world = &timed.world;
        for fault in [asking(Operation::OrderSingle, 429), asking(Operation::OrderSingle, 503)] {
            world.store.fault(fault);
        }
        world.sink.fault(asking(Operation::Delivery, 503));
        world.sink.fault(asking(Operation::Delivery, 422));
        let order = timed.told().await;
        println!("{name}: {value}");
        // Each of the four pauses is waited for in turn.
        timed.arrive_within(&[order], real(Duration::from_secs(4 * 3600), FASTEST) + Duration::from_secs(15)).await;
        assert_eq!(world.sink.attempts(), 4, "the order before, two refusals, and the delivery");
        timed.finish().await;
    }))
    .await;
}

/// With no orders waiting, only the relay's own probes can find that both sides are down, and that they are back.
#[actix_web::test]
async fn sides_that_die_and_come_back_while_no_order_waits_are_noticed() {
    let port = sandbox::relay::free_port().unwrap().to_string();
    let settings = [("METRICS_PORT", &*port), ("RECONCILE_INTERVAL", "10m"), fast()[1], fast()[2]];
    let mut timed = Timed::start(FAST, &settings).await;
    timed.stop().await;
    let dead = || Fault::new(Operation::Any, Action::Drop);
    timed.world.store.fault(dead());
    timed.world.sink.fault(dead());
    timed.resume().await;
    let down = async |expected: u8| {
        let url = format!("http://127.0.0.1:{port}/metrics");
        let began = Instant::now();
        loop {
            let text = timed.world.client.get(&url).send().await.unwrap().text().await.unwrap();
            let is_so =
                |side| text.contains(&format!("onetribe_relay_connections_down{{side=\"{side}\"}} {expected}\n"));
            if is_so("store") && is_so("destination") {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "not {expected}: {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    down(1).await;
    let (_, report) = timed.world.get("/integration/check").await;
    assert_eq!(report["status"], "fail", "{report}");
    timed.world.store.clear_faults();
    timed.world.sink.clear_faults();
    // Without a visit to a page, an order or a poll.
    down(0).await;
    timed.finish().await;
}

/// Nothing but the visit can find out: no order waits, and nothing was broken when the relay looked last.
#[actix_web::test]
async fn a_page_tells_what_is_so_when_it_is_read() {
    let timed = Timed::start(FAST, &[("HOOK_CHECK_INTERVAL", "24h"), fast()[0], fast()[1], fast()[2]]).await;
    let world = &timed.world;
    let page = async || {
        let request = world.client.get(world.url("/integration")).basic_auth("", Some(ADMIN_TOKEN));
        request.header("accept", "text/html").send().await.unwrap().text().await.unwrap()
    };
    let says = async |words: &str| {
        let began = Instant::now();
        loop {
            let page = page().await;
            if page.contains(words) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "not {words:?}: {page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    says("Connected").await;
    // Nothing calls the store by itself. (A check that takes a third of a second counts as failed on this clock, and is
    // made again until it passes.)
    let minutes = real(Duration::from_secs(150), FAST);
    let is_quiet = async || {
        let calls = world.store.calls().len();
        tokio::time::sleep(minutes).await;
        world.store.calls().len() == calls
    };
    let mut tries = 0;
    while !is_quiet().await {
        tries += 1;
        assert!(tries < 10, "the relay calls the store by itself: {:?}", world.store.calls());
        says("Connected").await;
    }
    world.store.fault(Fault::new(Operation::Any, Action::Drop));
    says("BigCommerce does not answer").await;
    timed.finish().await;
}
