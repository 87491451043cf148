//! What people see and do: the command line, the log, metrics and alerts.

mod alerts;
mod backup;
mod checks;
pub mod command;
mod connections;
mod logs;
mod looks;
mod metrics;
mod refusals;

use crate::relay::world;

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
