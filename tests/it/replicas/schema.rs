//! Deploys that alter the tables, forwards and back: a newer version adds to them, an older one has left them, and one that
//! cannot live with them any more is left behind. All under load.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use onetribe_relay::{clock::Timestamp, connection::BIGCOMMERCE};
use sandbox::relay::free_port;
use sqlx::{PgPool, migrate::Migrator};

use crate::{
    SOON,
    next::{self, LEFT_BEHIND},
    replica::Replica,
    world::World,
};

/// How long a relay that is left behind may go on, at most: a beat, and time for a slow machine.
const NOTICED: Duration = Duration::from_secs(3);

/// A relay that does not come to serve.
async fn refused(world: &World) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().envs(world.variables()).env("PORT", free_port().unwrap().to_string());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn complaints(replica: &Replica) -> Vec<String> {
    replica.said().into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_adds_to_the_tables_and_the_deploy_is_taken_back() {
    let Some(mut world) = World::start(2).await else { return };
    let look = world.look().await;
    let deploy = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        next::expand(&mut *look.acquire().await.unwrap()).await;
    };
    tokio::join!(world.load(Duration::from_secs(5)), deploy);
    world.settled().await;
    for replica in &world.replicas {
        assert_eq!(complaints(replica), [""; 0], "the newer version is not noticed");
    }

    // Each of the present ones dies, the leader first, and one like it starts on the newer tables.
    for _ in 0..2 {
        let killed = world.replicas.remove(world.leader());
        world.proxy.remove(killed.port);
        let restart = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            killed.signal("KILL");
            let new = world.replica().await;
            assert_eq!(complaints(&new), [""; 0]);
            new
        };
        let (new, ()) = tokio::join!(restart, world.load(Duration::from_secs(4)));
        world.replicas.push(new);
        world.led(SOON).await;
    }
    world.load(Duration::from_secs(2)).await;
    world.settled().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_are_left_behind_end_and_nobody_like_them_starts() {
    let Some(mut world) = World::start(2).await else { return };
    let look = world.look().await;
    let millis = || async {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&look).await.unwrap()
    };
    let deploy = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        next::contract(&mut *look.acquire().await.unwrap()).await;
        millis().await
    };
    let ((), left) = tokio::join!(world.load(Duration::from_secs(2) + 2 * NOTICED), deploy);
    for mut old in world.replicas.drain(..) {
        world.proxy.remove(old.port);
        assert_eq!(old.ended().await.code(), Some(1));
        let said = old.said();
        assert!(said.last().is_some_and(|line| line.contains("ERROR") && line.contains(LEFT_BEHIND)), "{said:?}");
    }
    let last: i64 = sqlx::query_scalar("SELECT last_event_at FROM connections").fetch_one(&look).await.unwrap();
    assert!(last - left < NOTICED.as_millis() as i64, "events were kept for {} ms", last - left);

    let ended = refused(&world).await;
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains(LEFT_BEHIND) && said.contains("they need migration 9001"), "{said}");

    // As for a relay that knows it: whatever was acknowledged is there.
    sqlx::query("DELETE FROM schema_floor").execute(&look).await.unwrap();
    let newer = world.replica().await;
    world.replicas.push(newer);
    world.led(SOON).await;
    world.load(Duration::from_secs(2)).await;
    world.settled().await;
    world.finish().await;
}

/// Keeps orders as a relay did that knew only the first migration, one batch after another. Returns the orders.
async fn older_relay(world: &World, database: &PgPool, time: Duration) -> Vec<i64> {
    let began = std::time::Instant::now();
    let mut orders = Vec::new();
    while began.elapsed() < time {
        let order = world.store.place_order_silently(None, 11);
        let (now, mark) = (Timestamp::now().millis(), rand::random::<i64>());
        let mut batch = database.begin().await.unwrap();
        let receipt = "INSERT INTO receipts (connection_id, order_id, key, twin) VALUES (1, $1, $2, $2)";
        sqlx::query(receipt).bind(order).bind(mark).execute(&mut *batch).await.unwrap();
        let raise = "INSERT INTO orders (connection_id, order_id, state, wanted, insisted, due_at, waiting_since,
                                         first_event_at, last_event_at) VALUES (1, $1, 0, 1, 1, $2, $2, $2, $2)";
        sqlx::query(raise).bind(order).bind(now).execute(&mut *batch).await.unwrap();
        batch.commit().await.unwrap();
        orders.push(order);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_version_before_are_brought_up_to_date_while_it_still_writes() {
    let Some(mut world) = World::prepare().await else { return };
    let look = world.look().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let known = Migrator::new(folder).await.unwrap();
    known.run_to(1, &look).await.unwrap();
    let connection = "INSERT INTO connections (id, kind, name, first_start) VALUES (1, $1, $2, $3)";
    let (name, now) = (world.store.config().hash.clone(), Timestamp::now().millis());
    sqlx::query(connection).bind(BIGCOMMERCE).bind(name).bind(now).execute(&look).await.unwrap();
    let mut told = older_relay(&world, &look, Duration::from_secs(1)).await;

    let deploy = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::join!(world.replica(), world.replica())
    };
    let (during, (one, other)) = tokio::join!(older_relay(&world, &look, Duration::from_secs(6)), deploy);
    told.extend(during);
    world.replicas.extend([one, other]);
    let applied: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version").fetch_all(&look).await.unwrap();
    assert_eq!(applied, known.iter().map(|migration| migration.version).collect::<Vec<_>>());

    world.hooked().await;
    world.load(Duration::from_secs(2)).await;
    world.settled().await;
    let arrived = || told.iter().all(|order| world.sink.newest(*order).is_some());
    world.until("what the older relay kept arrives", SOON, arrived).await;
    world.finish().await;
}
