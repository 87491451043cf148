//! Deploys that alter the tables, forwards and back, all under load: a newer version adds to them, and a version that
//! cannot work with them any longer stops.

use std::{
    process::{Command, Output},
    time::Duration,
};

use sandbox::relay::free_port;

use super::{SOON, UNDER_WAY, world::World};
use crate::support::{
    replica::Replica,
    schema::{self, LEFT_BEHIND},
};

/// How long a relay that can no longer use the database may go on: some heartbeats, and time for a slow machine.
const NOTICED: Duration = Duration::from_secs(8);

/// Runs a relay that must refuse to start.
async fn refused(world: &World) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().envs(world.variables()).env("PORT", free_port().unwrap().to_string());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn complaints(replica: &Replica) -> Vec<String> {
    replica.log().into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_adds_to_the_tables_and_the_deploy_is_taken_back() {
    let Some(mut world) = World::start(2).await else { return };
    let look = world.look().await;
    let deploy = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        schema::expand(&mut *look.acquire().await.unwrap()).await;
    };
    tokio::join!(world.load(Duration::from_secs(5)), deploy);
    world.settled().await;
    for replica in &world.replicas {
        assert_eq!(complaints(replica), [""; 0], "the newer version is not noticed");
    }

    // Each of the running relays is killed, and one of the same version starts on the newer tables.
    for _ in 0..2 {
        let killed = world.leave(0);
        let restart = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            killed.signal("KILL");
            let new = world.replica().await;
            assert_eq!(complaints(&new), [""; 0]);
            new
        };
        let (new, ()) = tokio::join!(restart, world.load(Duration::from_secs(4)));
        world.replicas.push(new);
        world.shared_out(SOON).await;
    }
    world.load(Duration::from_secs(2)).await;
    world.settled().await;
    world.finish_after(2 * UNDER_WAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_are_left_behind_end_and_none_like_them_starts() {
    let Some(mut world) = World::start(2).await else { return };
    let look = world.look().await;
    let millis = || async {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&look).await.unwrap()
    };
    let deploy = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        schema::contract(&mut *look.acquire().await.unwrap()).await;
        millis().await
    };
    let ((), left) = tokio::join!(world.load(Duration::from_secs(2) + 2 * NOTICED), deploy);
    for mut old in world.replicas.drain(..) {
        world.balancer.remove(old.port);
        assert_eq!(old.ended().await.code(), Some(1));
        let log = old.log();
        assert!(log.last().is_some_and(|line| line.contains("ERROR") && line.contains(LEFT_BEHIND)), "{log:?}");
    }
    let last: i64 = sqlx::query_scalar("SELECT max(last_event_at) FROM activity").fetch_one(&look).await.unwrap();
    assert!(last - left < NOTICED.as_millis() as i64, "events were kept for {} ms", last - left);

    let ended = refused(&world).await;
    let log = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(1), "{log}");
    assert!(log.contains(LEFT_BEHIND) && log.contains("they need migration 9001"), "{log}");

    // As a relay of the newer version would find it: everything acknowledged is there.
    sqlx::query("DELETE FROM schema_floor").execute(&look).await.unwrap();
    world.join().await;
    world.load(Duration::from_secs(2)).await;
    world.settled().await;
    world.finish_after(2 * UNDER_WAY).await;
}
