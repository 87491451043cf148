//! The command-line flags.

use std::{str::FromStr, time::Duration};

use clap::Parser;

/// How many orders are placed by default.
const ORDERS: u32 = 5;
/// The longest outage that may be asked for.
const LONGEST_OUTAGE: Duration = Duration::from_secs(3600);

/// Shows onetribe-relay at work between a simulated BigCommerce store and a simulated One Tribe, on this computer only.
///
/// Without a flag: 5 orders at once, then one every 2 seconds until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "sandbox", version, max_term_width = 80)]
pub struct Options {
    /// Place this many orders at once (5 if not given; with --stores, 5 for each store)
    #[arg(long, value_name = "N", value_parser = whole::<u32>)]
    pub orders: Option<u32>,
    /// End when all have arrived. The exit code is 0 only if no order is missing or was delivered twice, and none in an
    /// older state after a newer one
    #[arg(long)]
    pub exit: bool,
    /// How long orders may take before the sandbox gives up on them
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = whole::<u64>)]
    pub patience: u64,
    /// The relay's port, 8080 for example (a free one if not given)
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub port: Option<u16>,

    /// One Tribe answers 503 for so long, 30s for example: orders wait, and arrive when it is back
    #[arg(long, value_name = "TIME", value_parser = outage, conflicts_with_all = ["stores", "app", "elements"])]
    pub one_tribe_down: Option<Duration>,
    /// The store's API answers 503 for so long, while its webhooks go on
    #[arg(long, value_name = "TIME", value_parser = outage, conflicts_with_all = ["stores", "app", "elements"])]
    pub store_down: Option<Duration>,
    /// One Tribe refuses N orders twice each: they are tried again, and hold up no other
    #[arg(long, value_name = "N", value_parser = some,
        conflicts_with_all = ["stores", "app", "elements"])]
    pub refuse: Option<u32>,
    /// The webhooks of N orders are lost: polling finds those orders
    #[arg(long, value_name = "N", value_parser = some,
        conflicts_with_all = ["stores", "app", "elements"])]
    pub lose_webhooks: Option<u32>,

    /// Connect this many stores, BigCommerce and WooCommerce, and place the orders in them in turn
    #[arg(long, value_name = "N", value_parser = whole::<usize>, conflicts_with = "elements")]
    pub stores: Option<usize>,
    /// Add a simulated BigCommerce control panel, in which the app can be installed, opened in its frame and
    /// uninstalled with a browser (with --stores N: for so many stores, else for three)
    #[arg(long, conflicts_with_all = ["exit", "orders", "elements"])]
    pub app: bool,
    /// Be a client of the Cloud Elements API instead of One Tribe: make an instance, and verify what its callback is
    /// told
    #[arg(long)]
    pub elements: bool,
}

impl Options {
    /// How many orders are placed at once in one store.
    pub fn orders_or_default(&self) -> u32 {
        self.orders.unwrap_or(ORDERS)
    }

    /// How many orders are placed at once in so many stores together.
    pub fn orders_for(&self, stores: usize) -> u32 {
        self.orders.unwrap_or_else(|| u32::try_from(stores).unwrap_or(u32::MAX).saturating_mul(ORDERS))
    }

    /// How long orders may take before the sandbox gives up on them.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a whole number, such as `5`".to_owned())
}

/// Parses the number of orders to refuse, or whose webhooks get lost.
fn some(text: &str) -> Result<u32, String> {
    whole(text).ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| "a number from 1 to 1000".to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    whole(text).ok().filter(|port| *port > 0).ok_or_else(|| "a port from 1 to 65535, such as `8080`".to_owned())
}

fn outage(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span > LONGEST_OUTAGE => Err("at most an hour".to_owned()),
        Ok(span) if span.is_zero() => Err("longer than nothing".to_owned()),
        Ok(span) => Ok(span),
        Err(_) => Err("a time with its unit, such as `30s` or `2m`".to_owned()),
    }
}
