//! Hooks that several relays change at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use sandbox::{Action, Fault, HookRules, Operation};

use crate::{SOON, world::World};

const JSON: &str = "application/json";

/// One makes the hook because it has just taken the lead, all are told to put it right, and the one that was at it dies.
#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_and_one_killed_in_the_middle_make_one_hook() {
    for action in [Action::Hold, Action::HoldAnswer] {
        let Some(mut world) = World::prepare().await else { return };
        world.store.set_hook_rules(HookRules { takes_duplicates: true, ..HookRules::default() });
        world.store.fault(Fault::new(Operation::Hooks, action).method("POST").times(3));
        for _ in 0..3 {
            world.join().await;
        }
        world.store.wait_for(|store| store.held() > 0, SOON).await.unwrap();
        let update = |relay| world.admin(relay, Method::POST, "/integration/update", JSON);
        let dies = async {
            // Time for too many of them, if they did not wait for each other.
            let _ = world.store.wait_for(|store| store.held() > 1, Duration::from_secs(1)).await;
            assert_eq!(world.store.held(), 1, "one at a time");
            let leader = world.leader();
            world.proxy.remove(world.replicas[leader].port);
            world.replicas[leader].signal("KILL");
            world.store.clear_faults();
            world.store.release();
            (leader, Instant::now())
        };
        let others = join_all([1, 2].map(update));
        let (answers, (leader, died)) = tokio::join!(others, dies);
        let took = died.elapsed();
        assert_eq!(leader, 0, "the first has the lead, and makes the hook");
        for (status, report) in answers {
            assert_eq!(status, 200, "{report}");
        }
        assert!(took < SOON, "{took:?}");
        world.replicas.remove(leader);
        world.led(SOON).await;
        for relay in [0, 1] {
            let (status, report) = world.admin(relay, Method::POST, "/integration/update", JSON).await;
            assert_eq!(status, 200, "{report}");
        }
        let hooks = world.store.hooks();
        assert!(hooks.len() == 1 && hooks[0].is_active, "{hooks:?}");
        world.load(Duration::from_secs(1)).await;
        world.settled().await;
        world.finish().await;
    }
}
