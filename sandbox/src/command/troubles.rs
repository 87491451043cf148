//! The failures that the sandbox plays on request. Each is explained as it happens: what breaks, what the relay
//! promises in that case, and whether the promise was kept.

use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Operation};

use super::{
    one_store::{PAUSE, Stopped, World},
    options::Options,
    output::{count, span},
};

/// How often the store is polled when webhooks get lost, in seconds; the relay's default would take too long.
const POLL_SECONDS: u32 = 10;
/// How often One Tribe refuses an order before it takes it.
const REFUSALS: u32 = 2;
/// The status of such a refusal.
const REFUSED: u16 = 422;
/// The status of an outage.
const DOWN: u16 = 503;

/// The relay's variables that make the failures visible in time.
pub fn variables(options: &Options) -> Vec<(String, String)> {
    match options.lose_webhooks {
        Some(_) => vec![("RECONCILE_INTERVAL".to_owned(), format!("{POLL_SECONDS}s"))],
        None => Vec::new(),
    }
}

/// Plays the failures that were asked for, one after the other. Returns whether every promise was kept.
pub async fn play(world: &mut World, options: &Options) -> Result<bool, Stopped> {
    let patience = options.patience();
    let mut is_kept = true;
    if let Some(span) = options.one_tribe_down {
        is_kept &= one_tribe_down(world, span, patience).await?;
    }
    if let Some(span) = options.store_down {
        is_kept &= store_down(world, span, patience).await?;
    }
    if let Some(orders) = options.refuse {
        is_kept &= refuse(world, orders, patience).await?;
    }
    if let Some(orders) = options.lose_webhooks {
        is_kept &= lose_webhooks(world, orders, patience).await?;
    }
    Ok(is_kept)
}

async fn one_tribe_down(world: &mut World, lasts: Duration, patience: Duration) -> Result<bool, Stopped> {
    tell(
        world,
        &format!("One Tribe is down for {}", spelt(lasts)),
        &format!("It answers {DOWN} to every order. A new order is placed every {} s.", PAUSE.as_secs()),
        "Webhooks are kept and answered 200. The orders wait, and each arrives once when One Tribe is back.",
    );
    world.sink.fault_all(Action::Status(DOWN));
    let orders = place_for(world, lasts).await?;
    world.sink.clear_faults();
    back(world, "One Tribe", &orders, patience).await
}

async fn store_down(world: &mut World, lasts: Duration, patience: Duration) -> Result<bool, Stopped> {
    tell(
        world,
        &format!("The store's API is down for {}", spelt(lasts)),
        &format!(
            "It answers {DOWN} to every call, while its webhooks go on. A new order is placed every {} s.",
            PAUSE.as_secs()
        ),
        "Webhooks are kept and answered 200. The orders wait, and each is fetched and arrives when the API is back.",
    );
    world.store.fault(Fault::new(Operation::Any, Action::Status(DOWN)));
    let orders = place_for(world, lasts).await?;
    world.store.clear_faults();
    back(world, "the store's API", &orders, patience).await
}

async fn refuse(world: &mut World, number: u32, patience: Duration) -> Result<bool, Stopped> {
    tell(
        world,
        &format!("One Tribe refuses {}, twice each", count(number as usize, "order")),
        &format!("It answers {REFUSED} to every second order of {}.", number * 2),
        "A refused order holds up no other. It is tried again after seconds, then minutes, then hours, for 72 hours; the \
         status page lists it with the reason.",
    );
    let (mut refused, mut others) = (Vec::new(), Vec::new());
    let newest = world.store.orders().iter().map(|order| order.id).max().unwrap_or_default();
    for next in (newest + 1..).step_by(2).take(number as usize) {
        let fault = Fault::new(Operation::Delivery, Action::Status(REFUSED));
        world.sink.fault(fault.order(next).times(REFUSALS));
        refused.push(world.place());
        others.push(world.place());
    }
    let has = |orders: &[i64], world: &World| orders.iter().all(|order| world.sink.newest(*order).is_some());
    let others_arrived = world.follow(patience, |world| has(&others, world)).await?;
    let were_first = others_arrived && !has(&refused, world);
    let all_arrived = world.follow(patience, |world| has(&refused, world)).await?;
    world.sink.clear_faults();
    let is_kept = were_first && all_arrived && are_single(world, &refused) && are_single(world, &others);
    verdict(
        world,
        is_kept,
        &format!(
            "{} arrived without waiting for the refused; {} of {} refused arrived, after {REFUSALS} refusals each",
            count(others.len(), "order"),
            refused.iter().filter(|order| world.sink.newest(**order).is_some()).count(),
            refused.len(),
        ),
    );
    Ok(is_kept)
}

async fn lose_webhooks(world: &mut World, number: u32, patience: Duration) -> Result<bool, Stopped> {
    tell(
        world,
        &format!("The webhooks of {} are lost", count(number as usize, "order")),
        "BigCommerce tells nobody of them.",
        &format!(
            "Polling finds every order that no webhook told of. Here it runs every {POLL_SECONDS} s, by default every 15 \
             minutes (RECONCILE_INTERVAL)."
        ),
    );
    let began = Instant::now();
    let orders: Vec<i64> = (0..number).map(|_| world.place_silently()).collect();
    let found = |world: &World| orders.iter().all(|order| world.sink.newest(*order).is_some());
    let is_kept = world.follow(patience, found).await? && are_single(world, &orders);
    let took = span(began.elapsed());
    verdict(
        world,
        is_kept,
        &format!("{} of {} found by polling, in {}", arrived(world, &orders), orders.len(), took.trim()),
    );
    Ok(is_kept)
}

/// Places an order at once and then one every few seconds, for the time `lasts`.
async fn place_for(world: &mut World, lasts: Duration) -> Result<Vec<i64>, Stopped> {
    let until = Instant::now() + lasts;
    let mut orders = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(orders);
        }
        let at = Instant::now();
        let order = world.place();
        orders.push(order);
        let is_acknowledged = move |world: &World| world.sender.acknowledged().iter().any(|one| one.order == order);
        let limit = PAUSE.min(left);
        if world.follow(limit, is_acknowledged).await? {
            let acknowledged = world.sender.acknowledged().into_iter().find(|one| one.order == order);
            let after = acknowledged.map_or_else(|| at.elapsed(), |one| one.at.saturating_duration_since(at));
            world.out().line(format_args!("order {order}   webhook {}   waits", span(after)));
        }
        let rest = limit.saturating_sub(at.elapsed());
        world.follow(rest, |_| false).await?;
    }
}

/// Follows the orders of an outage that has ended.
async fn back(world: &mut World, who: &str, orders: &[i64], patience: Duration) -> Result<bool, Stopped> {
    let waiting = orders.len() - arrived(world, orders);
    world.out().paragraph(format_args!(
        "Now {who} answers again; {} waiting. While it was down the relay asked less and less often, a minute apart at \
         most: the next time it asks, all of them go.",
        match waiting {
            1 => "1 order is".to_owned(),
            _ => format!("{waiting} orders are"),
        }
    ));
    let began = Instant::now();
    let all = world.follow(patience, |world| arrived(world, orders) == orders.len()).await?;
    let acknowledged = world.sender.acknowledged();
    let kept = orders.iter().filter(|order| acknowledged.iter().any(|one| one.order == **order)).count();
    let is_kept = all && kept == orders.len() && are_single(world, orders);
    let took = span(began.elapsed());
    verdict(
        world,
        is_kept,
        &format!(
            "{kept} of {} webhooks answered 200, {} of {} arrived, the last {} after it was back",
            orders.len(),
            arrived(world, orders),
            count(orders.len(), "order"),
            took.trim(),
        ),
    );
    Ok(is_kept)
}

fn arrived(world: &World, orders: &[i64]) -> usize {
    orders.iter().filter(|order| world.sink.newest(**order).is_some()).count()
}

/// Whether each order was taken exactly once.
fn are_single(world: &World, orders: &[i64]) -> bool {
    let accepted = world.sink.accepted();
    orders.iter().all(|order| accepted.iter().filter(|one| one.order_id == *order).count() == 1)
}

/// `30 s`, `2 min 5 s`.
fn spelt(span: Duration) -> String {
    let (minutes, seconds) = (span.as_secs() / 60, span.as_secs() % 60);
    match (minutes, seconds) {
        (0, 0) => format!("{} ms", span.as_millis()),
        (0, _) => format!("{seconds} s"),
        (_, 0) => format!("{minutes} min"),
        _ => format!("{minutes} min {seconds} s"),
    }
}

fn tell(world: &World, title: &str, what: &str, promise: &str) {
    let out = world.out();
    out.gap();
    out.paragraph(format_args!("{title}."));
    out.hanging("  What happens   ", what);
    out.hanging("  The promise    ", promise);
}

fn verdict(world: &World, is_kept: bool, found: &str) {
    world.out().hanging(if is_kept { "  Kept           " } else { "  NOT KEPT       " }, format_args!("{found}."));
}
