//! Hooks that several relays change at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use sandbox::{Action, Fault, HookRules, Operation, StoreSim};

use super::{
    SOON,
    world::{PATIENCE, STORES, World},
};

const JSON: &str = "application/json";

/// The relay that holds a store's shard creates its hook, all are told to repair it, and two of them are killed
/// meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_and_some_killed_in_the_middle_make_one_hook_at_each_store() {
    for action in [Action::Hold, Action::HoldAnswer] {
        let Some(mut world) = World::prepare().await else { return };
        for store in &world.stores {
            store.set_hook_rules(HookRules { takes_duplicates: true, ..HookRules::default() });
            store.fault(Fault::new(Operation::Hooks, action.clone()).method("POST").times(3));
        }
        // The relay waits for the answers that are held until all stores have been looked at.
        world.set("FETCH_TIMEOUT", "6s");
        for _ in 0..3 {
            world.join().await;
        }
        for store in 0..STORES {
            let id = world.connect(store % 3, store).await;
            world.ids.push(id);
        }
        // One of the relays is asked for every store, so that it waits for all of the locks.
        let update = |store: usize| format!("/connections/{}/integration/update", world.ids[store]);
        let paths: Vec<String> = (0..STORES).map(update).collect();
        let asked = join_all(paths.iter().map(|path| world.admin(2, Method::POST, path, JSON)));
        let died = async {
            for store in &world.stores {
                store.wait_for(|store| store.held() > 0, PATIENCE).await.unwrap();
            }
            // Time for superfluous creations, if the relays did not wait for each other.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let held: Vec<usize> = world.stores.iter().map(StoreSim::held).collect();
            assert_eq!(held, [1; STORES], "one at a time");
            for relay in [0, 1] {
                world.balancer.remove(world.replicas[relay].port);
                world.replicas[relay].signal("KILL");
            }
            for store in &world.stores {
                store.clear_faults();
                store.release();
            }
            Instant::now()
        };
        let (answers, died) = tokio::join!(asked, died);
        let took = died.elapsed();
        for (status, report) in answers {
            assert_eq!(status, 200, "{report}");
        }
        assert!(took < 2 * SOON, "{took:?}");
        drop((world.leave(0), world.leave(0)));
        world.shared_out(SOON).await;
        for path in &paths {
            let (status, report) = world.admin(0, Method::POST, path, JSON).await;
            assert_eq!(status, 200, "{report}");
        }
        for store in &world.stores {
            let hooks = store.hooks();
            assert!(hooks.len() == 1 && hooks[0].is_active, "{hooks:?}");
        }
        world.load(Duration::from_secs(1)).await;
        world.settled().await;
        world.finish().await;
    }
}
