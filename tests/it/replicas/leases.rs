//! The cost of shard leases: one statement per relay and second, however many connections there are.

use std::time::{Duration, Instant};

use reqwest::Method;
use sqlx::PgPool;

use super::world::{STORES, World};

/// For how long statements are counted.
const COUNTED: Duration = Duration::from_secs(10);
const REPLICAS: usize = 2;
/// Connections in addition to those of the stores.
const MANY: usize = 120;

/// Executions of statements about shards since `pg_stat_statements_reset`, per relay and second.
async fn rate_of_leases(look: &PgPool) -> f64 {
    sqlx::query("SELECT pg_stat_statements_reset()").execute(look).await.unwrap();
    let began = Instant::now();
    tokio::time::sleep(COUNTED).await;
    let sql = "SELECT query, calls FROM pg_stat_statements JOIN pg_database AS d ON d.oid = dbid
               WHERE datname = current_database() AND query NOT LIKE '%pg_stat%' ORDER BY calls DESC";
    let ran: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(look).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let about = |query: &str| ["shards", "relays"].iter().any(|table| query.contains(table));
    let calls: i64 = ran.iter().filter(|(query, _)| about(query)).map(|(_, calls)| calls).sum();
    for (query, calls) in &ran {
        let line: String = query.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(100).collect();
        println!("{calls:5} {line}");
    }
    calls as f64 / seconds / REPLICAS as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_per_relay_and_second_keeps_the_leases_of_however_many_connections() {
    let Some(mut world) = World::prepare().await else { return };
    let look = world.look().await;
    let sql = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";
    sqlx::query(sql).execute(&look).await.unwrap();
    world.restart_database().await;
    let look = world.look().await;
    sqlx::query("CREATE EXTENSION pg_stat_statements").execute(&look).await.unwrap();
    for _ in 0..REPLICAS {
        world.join().await;
    }
    world.connect_all().await;
    let few = rate_of_leases(&look).await;
    for number in 0..MANY {
        let mut request = world.request(number % STORES);
        request["source"]["store_hash"] = format!("quiet{number}").into();
        request["state"] = "paused".into();
        let (status, made) = world.ask(0, Method::POST, "/connections?verify=false", &request).await;
        assert_eq!(status, 201, "{made}");
    }
    let many = rate_of_leases(&look).await;
    println!("{few:.2} per relay and second with {STORES} connections, {many:.2} with {}", STORES + MANY);
    for rate in [few, many] {
        assert!((0.5..1.25).contains(&rate), "{rate:.2} statements per relay and second");
    }
    world.finish().await;
}
