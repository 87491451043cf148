//! The whole relay held to its promises through random trouble: orders placed and changed, webhooks lost and
//! duplicated, outages on either side, refused orders, kills, clock jumps, pauses, connections ended and resumed, the
//! app uninstalled and installed again. Then the trouble ends, and what every destination has received is audited.
//!
//! A run has several rounds, each with a new world and a seed, which is printed. `PROMISES_SEED=…` repeats one round;
//! `PROMISES_SECONDS=…` sets for how long new rounds are started.

mod books;
mod steps;
mod world;

use std::time::{Duration, Instant};

use rand::RngExt;
use steps::Script;
use world::World;

use crate::support::postgres::Database;

/// For how long new rounds are started by default.
const USUAL: Duration = Duration::from_secs(15);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// The database in which a round keeps its inbox.
#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

/// One round: trouble, its end, the audit. False if the engine is not available.
async fn round(engine: Engine, seed: u64) -> bool {
    let database = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => match Database::fresh().await {
            Some(database) => Some(database),
            None => return false,
        },
    };
    println!("PROMISES_SEED={seed}");
    let script = Script::of(seed);
    let mut world = World::start(database.as_ref().map(Database::url)).await;
    for step in &script.steps {
        world.take(step).await;
    }
    world.end_trouble().await;
    world.is_settled().await;
    world.examine().await;
    world.finish().await;
    true
}

/// Plays rounds until the time is up.
async fn rounds(engine: Engine, usual: Duration) {
    if let Some(seed) = number("PROMISES_SEED") {
        round(engine, seed).await;
        return;
    }
    let until = Instant::now() + number("PROMISES_SECONDS").map_or(usual, Duration::from_secs);
    while round(engine, rand::rng().random()).await && Instant::now() < until {}
}

#[actix_web::test]
async fn through_any_trouble_the_newest_state_of_every_order_arrives_once_in_order_and_nowhere_else() {
    rounds(Engine::Sqlite, USUAL).await;
}

#[actix_web::test]
async fn the_same_holds_on_postgresql() {
    rounds(Engine::Postgres, Duration::ZERO).await;
}
