//! The sandbox: a simulated store, a simulated One Tribe, and the real relay between them, on loopback.
//! Needs no account and no configuration. Places orders and shows each one's way through.

use std::{
    collections::HashMap,
    error::Error,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::Parser;
use onetribe_relay::config::Config;
use sandbox::{
    OneTribeSim, Sender, SenderOptions, StoreSim,
    app::AppWorld,
    audit,
    relay::{ADMIN_TOKEN, Relay, free_port, variables},
    stores::ManyStores,
};

/// How long the relay may take to register its hook.
const HOOK_TIME: Duration = Duration::from_secs(20);
/// Between orders while the sandbox stays.
const PAUSE: Duration = Duration::from_secs(2);
/// How many orders are placed when nothing is said.
const ORDERS: u32 = 5;

/// How many stores the control panel has when nothing is said.
const STORES: usize = 3;

/// Shows onetribe-relay at work between a simulated BigCommerce store and a simulated One Tribe.
#[derive(Debug, Parser)]
struct Options {
    /// Place this many orders at once
    #[arg(long)]
    orders: Option<u32>,
    /// Exit when all have arrived, with a summary; the exit code is 0 only if nothing is missing, doubled or stale
    #[arg(long)]
    exit: bool,
    /// Connect this many stores, BigCommerce and WooCommerce, and place the orders in them in turn
    #[arg(long, conflicts_with = "elements")]
    stores: Option<usize>,
    /// Be a client of the Cloud Elements API instead of One Tribe: make an instance, and verify what its callback is told
    #[arg(long)]
    elements: bool,
    /// Add a simulated BigCommerce control panel, in which the app can be installed, opened in its frame and uninstalled
    /// with a browser (with --stores N: for so many stores, else for three)
    #[arg(long, conflicts_with_all = ["exit", "orders", "elements"])]
    app: bool,
    /// How many seconds the orders may take before the sandbox gives up on them (with --exit)
    #[arg(long, default_value_t = 300)]
    patience: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let clean = match options.stores {
        _ if options.elements => {
            let (orders, patience) = (options.orders.unwrap_or(ORDERS), Duration::from_secs(options.patience));
            sandbox::elements::run(orders, !options.exit, patience).await
        }
        stores if options.app => run_app(stores.unwrap_or(STORES)).await,
        Some(stores) => run_many(stores, &options).await,
        None => run(options).await,
    };
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// When each order was placed.
type Placed = Arc<Mutex<HashMap<i64, Instant>>>;

async fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (store, sink) = (StoreSim::start()?, OneTribeSim::start()?);
    let port = free_port()?;
    let variables = variables(&store, &sink, &folder.path().join("relay.db"), port);
    let relay = Relay::start(Config::from_vars(variables)?).await?;
    let sender = Sender::start(&store, SenderOptions { time_factor: 0.01, ..SenderOptions::default() });
    store.wait_for(|store| !store.hooks().is_empty(), HOOK_TIME).await?;

    println!("a simulated BigCommerce store   {}", store.api_url());
    println!("a simulated One Tribe           {}", sink.url());
    println!("the relay between them          {}", relay.url(""));
    println!("its status page                 {}  (any user, password {ADMIN_TOKEN})", relay.url("/integration"));
    println!(
        "its hook in the store           {}",
        store.hooks().iter().map(|hook| hook.scope.clone()).collect::<String>()
    );
    println!();

    let placed: Placed = Arc::default();
    let mut shown = 0;
    let orders = options.orders.unwrap_or(ORDERS);
    let began = Instant::now();
    for _ in 0..orders {
        place(&store, &placed);
    }
    let clean = if options.exit {
        let patience = Instant::now() + Duration::from_secs(options.patience);
        while sink.accepted_orders() < orders as usize && Instant::now() < patience {
            // Not reached is no error here: the lines so far are shown, and then it waits on.
            let _ = sink.wait_for(|sink| sink.accepted_count() > shown as u64, Duration::from_millis(500)).await;
            shown = show(shown, &store, &sink, &sender, &placed);
        }
        // What still arrives now has arrived twice.
        sender.idle(Duration::from_secs(10)).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        show(shown, &store, &sink, &sender, &placed);
        let report = audit(&store, &sender.acknowledged(), &sink);
        let arrived = sink.accepted_orders();
        println!();
        println!(
            "{arrived} of {orders} orders arrived in {:.1} s; calls to the store: {}",
            began.elapsed().as_secs_f64(),
            store.calls().len()
        );
        println!("{report}");
        report.is_clean() && arrived == orders as usize
    } else {
        println!("a new order every {} seconds, until Ctrl-C", PAUSE.as_secs());
        let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
        let mut next = Instant::now() + PAUSE;
        loop {
            tokio::select! {
                stopped = &mut stop => { stopped?; break }
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
            shown = show(shown, &store, &sink, &sender, &placed);
            if Instant::now() >= next {
                place(&store, &placed);
                next = Instant::now() + PAUSE;
            }
        }
        true
    };
    sender.stop().await;
    relay.stop().await?;
    sink.stop().await;
    store.stop().await;
    Ok(clean)
}

/// Many stores in one relay.
async fn run_many(stores: usize, options: &Options) -> Result<bool, Box<dyn Error>> {
    if stores == 0 {
        return Err("--stores: at least one".into());
    }
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let mut many = ManyStores::start(stores, folder.path()).await?;
    let (bigcommerce, woocommerce) = many.counts();
    println!("{bigcommerce} BigCommerce stores and {woocommerce} WooCommerce shops, one relay, one One Tribe");
    println!("connected, with their webhooks, in {:.1} s", began.elapsed().as_secs_f64());
    println!("the relay's list of them   {}", many.relay().url("/connections"));
    println!("                           (any user, password {ADMIN_TOKEN})");
    println!();
    let orders = options.orders.unwrap_or_else(|| u32::try_from(stores).unwrap_or(u32::MAX).saturating_mul(ORDERS));
    let began = Instant::now();
    for _ in 0..orders {
        many.place();
    }
    let arrived = many.arrived(Duration::from_secs(options.patience)).await;
    let took = began.elapsed().as_secs_f64();
    let books = many.audit().await?;
    let unclean: Vec<_> = books.iter().filter(|(_, report)| !report.is_clean()).collect();
    for (name, report) in &unclean {
        println!("{name}: {report}");
    }
    println!("{arrived} of {orders} orders arrived in {took:.1} s");
    println!("{} stores: {} with nothing missing, doubled or stale", books.len(), books.len() - unclean.len());
    let clean = unclean.is_empty() && arrived == orders as usize;
    if !options.exit {
        println!("a new order every {} seconds, in the next store each, until Ctrl-C", PAUSE.as_secs());
        let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                stopped = &mut stop => { stopped?; break }
                () = tokio::time::sleep(PAUSE) => many.place(),
            }
        }
    }
    many.stop().await?;
    Ok(clean)
}

/// The single-click app, to be tried with a browser.
async fn run_app(stores: usize) -> Result<bool, Box<dyn Error>> {
    if stores == 0 {
        return Err("--stores: at least one".into());
    }
    let folder = tempfile::tempdir()?;
    let world = AppWorld::start(stores, folder.path()).await?;
    println!("a simulated BigCommerce control panel   {}", world.panel.page_origin());
    println!("the payload URL to paste in the app     {}", world.sink.url());
    println!("the relay's list of connections         {}", world.url("/connections"));
    println!("                                        (any user, password {ADMIN_TOKEN})");
    println!();
    println!("1. Open the control panel, choose a store, and press Install: the app's page opens in its frame.");
    println!(
        "2. Paste the payload URL and press Connect. Place order, then Check Integration: the order was forwarded."
    );
    println!(
        "3. Go back to the store. Open shows the page again; Uninstall ends it; Install takes it up where it was."
    );
    println!();
    println!("orders that arrive at One Tribe are shown here, until Ctrl-C");
    let (mut stop, mut shown) = (std::pin::pin!(tokio::signal::ctrl_c()), 0);
    loop {
        tokio::select! {
            stopped = &mut stop => { stopped?; break }
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        let accepted = world.sink.accepted();
        for one in accepted.iter().skip(shown) {
            println!("order {} arrived", one.order_id);
        }
        shown = accepted.len();
    }
    world.stop().await?;
    Ok(true)
}

/// Status 11, Awaiting Fulfillment: an order that has been paid.
fn place(store: &StoreSim, placed: &Placed) {
    let at = Instant::now();
    let id = store.place_order_as(None, 11);
    placed.lock().unwrap_or_else(PoisonError::into_inner).insert(id, at);
}

/// Shows the ways of the orders that have arrived since the first `shown` ones. Returns how many are shown then.
fn show(shown: usize, store: &StoreSim, sink: &OneTribeSim, sender: &Sender, placed: &Placed) -> usize {
    let accepted = sink.accepted();
    let acknowledged: HashMap<i64, Instant> =
        sender.acknowledged().into_iter().map(|one| (one.order, one.at)).collect();
    let calls = store.calls();
    let placed = placed.lock().unwrap_or_else(PoisonError::into_inner);
    for one in accepted.iter().skip(shown) {
        let order = one.order_id;
        let Some(began) = placed.get(&order) else { continue };
        let ms = |at: Instant| format!("{:>5} ms", at.saturating_duration_since(*began).as_millis());
        let kept = acknowledged.get(&order).map_or_else(|| "      ?".to_owned(), |at| ms(*at));
        let single = format!("/v2/orders/{order}");
        let fetched =
            calls.iter().rev().filter(|call| call.at <= one.started).find(|call| {
                call.path_and_query.ends_with(&single) || call.path_and_query.contains("/v2/orders?min_id")
            });
        let how = match fetched {
            Some(call) if call.path_and_query.ends_with(&single) => format!("fetched     {}", ms(call.at)),
            Some(call) => format!("in a list   {}", ms(call.at)),
            None => "fetched".to_owned(),
        };
        println!("order {order}: placed → webhook kept {kept} → {how} → at One Tribe {}", ms(one.started));
    }
    accepted.len()
}
