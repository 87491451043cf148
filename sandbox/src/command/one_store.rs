//! One store, One Tribe, and the relay between them: orders are placed, followed and audited.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use onetribe_relay::config::Config;
use sandbox::{
    OneTribeSim, Report, Sender, SenderOptions, StoreSim, audit,
    relay::{ADMIN_TOKEN, Relay, variables},
};
use tempfile::TempDir;

use super::{
    Session,
    options::Options,
    output::{Output, count},
    troubles,
    way::Ways,
};

/// How long the relay may take to register its hook.
const HOOK_TIME: Duration = Duration::from_secs(20);
/// Time between orders while the sandbox goes on.
pub const PAUSE: Duration = Duration::from_secs(2);
/// Time between checks of what has arrived.
const LOOK: Duration = Duration::from_millis(50);
/// How long to wait after Ctrl-C for orders under way.
const LAST_ORDERS: Duration = Duration::from_secs(3);
/// Anything that arrives within this time after everything has arrived is a duplicate.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// An order that has been paid: Awaiting Fulfillment.
const PAID: u8 = 11;

/// The sandbox was interrupted.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

/// The two simulators, the relay, and what has been printed about the orders.
#[derive(Debug)]
pub struct World {
    pub store: StoreSim,
    pub sink: OneTribeSim,
    pub sender: Sender,
    pub relay: Relay,
    pub session: Session,
    ways: Ways,
    /// Dropped last: it holds the relay's database.
    _folder: TempDir,
}

/// Runs it until it is done or stopped. False if orders are missing, doubled or stale, or a promise was not kept.
pub async fn run(options: &Options, port: u16, session: &Session) -> Result<bool, Box<dyn Error>> {
    let began = Instant::now();
    let mut world = World::start(options, port, session).await?;
    let played = match world.introduce(options).await? {
        Ok(()) => world.play(options).await,
        Err(stopped) => Err(stopped),
    };
    let is_clean = world.close(options, played, began).await;
    world.stop().await?;
    Ok(is_clean)
}

impl World {
    async fn start(options: &Options, port: u16, session: &Session) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let (store, sink) = (StoreSim::start()?, OneTribeSim::start()?);
        let mut all = variables(&store, &sink, &folder.path().join("relay.db"), port);
        all.extend(troubles::variables(options));
        let relay = Relay::start(Config::from_vars(all)?).await?;
        let sender = Sender::start(&store, SenderOptions { time_factor: 0.01, ..SenderOptions::default() });
        let (session, ways) = (session.clone(), Ways::default());
        Ok(Self { store, sink, sender, relay, session, ways, _folder: folder })
    }

    pub fn out(&self) -> &Output {
        &self.session.out
    }

    /// Prints what runs where, once the relay has registered its webhook.
    async fn introduce(&self, options: &Options) -> Result<Result<(), Stopped>, Box<dyn Error>> {
        tokio::select! {
            () = self.session.stop.cancelled() => return Ok(Err(Stopped)),
            hooked = self.store.wait_for(|store| !store.hooks().is_empty(), HOOK_TIME) => hooked?,
        }
        let out = self.out();
        out.paragraph(
            "A simulated BigCommerce store, a simulated One Tribe, and the real relay between them. All of it runs on \
             this computer, and nothing of it is left when it ends.",
        );
        out.gap();
        out.line(format_args!("  status page   {}", self.relay.url("/integration")));
        out.line(format_args!("                (any user name, password {ADMIN_TOKEN})"));
        out.line(format_args!("  store's API   {}", self.store.api_url()));
        out.line(format_args!("  One Tribe     {}", self.sink.url().split("/direct").next().unwrap_or_default()));
        out.gap();
        out.paragraph(format_args!(
            "{} {} placed now. The times count from the moment an order was placed: until its webhook was on disk and \
             answered, until the relay fetched it, until it was at One Tribe.",
            count(options.orders_or_default() as usize, "order"),
            if options.orders_or_default() == 1 { "is" } else { "are" },
        ));
        out.gap();
        Ok(Ok(()))
    }

    /// Places the orders, plays the failures that were asked for, and goes on if it is to. Returns whether every
    /// promise was kept.
    async fn play(&mut self, options: &Options) -> Result<bool, Stopped> {
        for _ in 0..options.orders_or_default() {
            self.place();
        }
        let mut is_kept = self.follow_all(options.patience()).await?;
        is_kept &= troubles::play(self, options).await?;
        if !options.exit {
            self.out().gap();
            self.out().line(format_args!("A new order every {} seconds, until Ctrl-C.", PAUSE.as_secs()));
            loop {
                self.place();
                self.follow(PAUSE, |_| false).await?;
            }
        }
        Ok(is_kept)
    }

    /// Places an order whose webhook is sent at once.
    pub fn place(&mut self) -> i64 {
        let at = Instant::now();
        let order = self.store.place_order_as(None, PAID);
        self.ways.placed(order, at);
        order
    }

    /// Places an order whose webhook is never sent.
    pub fn place_silently(&mut self) -> i64 {
        let at = Instant::now();
        let order = self.store.place_order_silently(None, PAID);
        self.ways.placed_silently(order, at);
        order
    }

    fn show(&mut self) {
        self.ways.show(&self.store, &self.sink, &self.sender, &self.session.out);
    }

    /// Prints what arrives until `is_done` holds, for at most `patience`. Returns whether it did.
    pub async fn follow(&mut self, patience: Duration, is_done: impl Fn(&Self) -> bool) -> Result<bool, Stopped> {
        let until = Instant::now() + patience;
        loop {
            // Checked before printing, so that whatever made it true is printed as well.
            let done = is_done(self);
            self.show();
            if done || Instant::now() >= until {
                return Ok(done);
            }
            tokio::select! {
                () = self.session.stop.cancelled() => return Err(Stopped),
                () = tokio::time::sleep(LOOK.min(until.saturating_duration_since(Instant::now()))) => {}
            }
        }
    }

    /// Prints what arrives until every order has. Returns whether they did in time.
    pub async fn follow_all(&mut self, patience: Duration) -> Result<bool, Stopped> {
        let placed = self.ways.count();
        self.follow(patience, |world| world.sink.accepted_orders() >= placed).await
    }

    /// Waits for what is under way, audits, and prints the result.
    async fn close(&mut self, options: &Options, played: Result<bool, Stopped>, began: Instant) -> bool {
        let out = self.session.out.clone();
        if played.is_err() {
            out.gap();
            let placed = self.ways.count();
            // A timeout is no error here: the summary shows what is missing.
            let _ = self.sink.wait_for(|sink| sink.accepted_orders() >= placed, LAST_ORDERS).await;
            self.show();
        }
        let is_idle =
            self.sender.idle(if played.is_ok() { Duration::from_secs(10) } else { LAST_ORDERS }).await.is_ok();
        tokio::time::sleep(AFTERWARDS).await;
        self.show();
        let report = audit(&self.store, &self.sender.acknowledged(), &self.sink);
        let (arrived, placed) = (self.sink.accepted_orders(), self.ways.count());
        out.gap();
        let took = began.elapsed().as_secs_f64();
        out.paragraph(format_args!(
            "{arrived} of {} arrived, in {took:.1} s and with {} to the store's API.",
            count(placed, "order"),
            count(self.store.calls().len(), "call"),
        ));
        summary(&out, &report, played.is_err());
        match played {
            Ok(is_kept) => is_kept && is_idle && report.is_clean() && arrived == placed,
            // Interrupted by the user: orders that still wait are not the relay's failure.
            Err(Stopped) if !options.exit => Report { missing: Vec::new(), ..report }.is_clean(),
            Err(Stopped) => false,
        }
    }

    async fn stop(self) -> Result<(), Box<dyn Error>> {
        self.sender.stop().await;
        self.relay.stop().await?;
        self.sink.stop().await;
        self.store.stop().await;
        Ok(())
    }
}

/// Prints the audit, each line with the meaning of its term.
fn summary(out: &Output, report: &Report, was_stopped: bool) {
    let (missing, not_arrived) = match was_stopped {
        true => ("waiting", "still on their way when the sandbox was stopped"),
        false => ("missing", "webhook answered 200, order not at One Tribe"),
    };
    for (word, found, meaning) in [
        (missing, &report.missing, not_arrived),
        ("doubled", &report.doubled, "the same state delivered twice"),
        ("stale", &report.stale, "an older state delivered after a newer one"),
        ("overlapping", &report.overlapping, "two calls for one order at once"),
    ] {
        out.line(format_args!("  {:>4} {word:<12} {meaning}", found.len()));
        if !found.is_empty() {
            let ids: Vec<String> = found.iter().take(10).map(ToString::to_string).collect();
            let more = if found.len() > ids.len() { ", …" } else { "" };
            out.hanging("       ", format_args!("{}{more}", ids.join(", ")));
        }
    }
}
