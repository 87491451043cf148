//! What people see and do: the checks, the page's answers, the command line, metrics and alerts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod alerts;
mod backup;
mod checks;
mod command;
mod logs;
mod metrics;
mod page;
#[path = "../support/postgres.rs"]
mod postgres_support;
#[path = "../support/receiver.rs"]
mod receiver;
mod refusals;
#[path = "../relay/world.rs"]
#[allow(dead_code, reason = "made for the tests of the relay")]
mod world;

/// Has one order put off by a destination that takes none: its outage is known from then on.
async fn put_off(world: &world::World) -> i64 {
    let order = world.store.place_order_silently(None, 11);
    world.tell(order).await;
    let noted = async {
        while !world.row(order).await["last_error"].is_string() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(world::PATIENCE, noted).await.unwrap();
    order
}
