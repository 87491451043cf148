//! The durability of an acknowledgement: syncing to disk is slowed down, and then the process is killed.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::process::{Process, command, prepared};

/// By how much every sync is slowed down.
const SYNC: Duration = Duration::from_millis(200);

/// Not every machine has `strace`, and not every user may trace processes.
fn can_trace() -> bool {
    Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success())
}

#[actix_web::test]
async fn no_acknowledgement_comes_before_its_sync() {
    if !can_trace() {
        eprintln!("skipped: that acknowledgements wait for the sync is not tested: `strace` cannot be used");
        return;
    }
    let world = prepared();
    // The tables and the hooks are created at the usual speed.
    let process = Process::start(&world).await;
    world.hooked().await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    let relay = command(&world);
    let mut slow = Command::new("strace");
    slow.args(["-D", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    slow.args(["-e", &format!("inject=fsync,fdatasync:delay_enter={}", SYNC.as_micros())]);
    slow.arg(relay.get_program()).env_clear().current_dir(world.folder.path());
    slow.envs(relay.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let process = Process::of(slow, &world).await;
    let mut orders = Vec::new();
    for crowd in [1, 20, 100] {
        let told: Vec<i64> = (0..crowd).map(|_| world.store.place_order_silently(None, 11)).collect();
        let took = join_all(told.iter().map(async |order| {
            let began = Instant::now();
            world.tell(*order).await;
            began.elapsed()
        }));
        let fastest = took.await.into_iter().min().unwrap();
        assert!(fastest >= SYNC, "one of {crowd} was acknowledged after {fastest:?}");
        orders.extend(told);
    }
    process.kill();
    let process = Process::start(&world).await;
    world.arrived(orders.len()).await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    world.finish().await;
}
