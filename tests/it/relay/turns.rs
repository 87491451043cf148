//! The hook lock: hooks are changed by one process at a time of all that share an inbox, however a process ends. The
//! store in these tests accepts a second hook for the same scope and destination; whether BigCommerce does is not
//! documented.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use onetribe_relay::{inbox::HookState, registrar::Done};
use rusqlite::Connection;
use sandbox::{Action, Fault, HookRules, Operation, SenderOptions, StoreConfig, StoreSim};

use crate::{
    relay::world::{PATIENCE, Parts, World},
    support::postgres::Database,
};

const SCOPES: [&str; 2] = ["store/order/created", "store/order/updated"];
/// After a holder is killed, the next one goes on within this time: a call's timeout of 2 seconds here, some slack, and
/// time for a slow machine.
const SOON: Duration = Duration::from_secs(20);
/// For tests in which a held call must not time out.
const LONG: (&str, &str) = ("FETCH_TIMEOUT", "20s");
/// How long to wait for something that must not happen.
const A_MOMENT: Duration = Duration::from_secs(1);

fn prepared(extra: &[(&str, &str)]) -> World {
    let scopes = SCOPES.join(",");
    let extra = [&[("FETCH_TIMEOUT", "2s"), ("BIGCOMMERCE_SCOPES", scopes.as_str())], extra].concat();
    let world = World::prepare(StoreConfig::default(), SenderOptions::default(), &extra);
    world.store.set_hook_rules(HookRules { takes_duplicates: true, ..HookRules::default() });
    world
}

/// Holds the next creation, before or after its work is done.
fn hold(store: &StoreSim, action: Action) {
    store.fault(Fault::new(Operation::Hooks, action).method("POST").times(1));
}

async fn held(store: &StoreSim) {
    store.wait_for(|store| store.held() > 0, PATIENCE).await.unwrap();
}

/// Releases the held creations, after giving others time to start that must not.
async fn release(store: &StoreSim) {
    held(store).await;
    let _ = store.wait_for(|store| store.held() > 1, A_MOMENT).await;
    store.clear_faults();
    store.release();
}

fn creations(store: &StoreSim) -> usize {
    store.calls().iter().filter(|call| call.operation == Operation::Hooks && call.method == "POST").count()
}

/// The scopes of all hooks with the relay's destination.
fn hooked(world: &World) -> Vec<String> {
    let here = world.url("/webhooks/bigcommerce");
    let mut scopes: Vec<_> =
        world.store.hooks().into_iter().filter(|hook| hook.destination == here).map(|hook| hook.scope).collect();
    scopes.sort();
    scopes
}

/// A `hooks` command in a process of its own. Killed when dropped.
struct Hooks(Child);

impl Drop for Hooks {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Hooks {
    fn start(world: &World, what: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(world.variables()).current_dir(world.folder.path()).args(["hooks", what]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it ends; returns the exit code and all output.
    async fn ended(&mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "the command does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let said = [
            std::io::read_to_string(self.0.stdout.take().unwrap()),
            std::io::read_to_string(self.0.stderr.take().unwrap()),
        ];
        (status.code(), said.map(Result::unwrap).concat())
    }
}

async fn two_at_once(world: World) {
    let (one, other) = (Parts::open(world.config()).await, Parts::open(world.config()).await);
    world.store.fault(Fault::new(Operation::Hooks, Action::Hold).method("POST").times(2));
    let (first, second, ()) = tokio::join!(one.ensure(), other.ensure(), release(&world.store));
    assert_eq!(hooked(&world), SCOPES);
    let mut done: Vec<Vec<Done>> =
        [first, second].map(|done| done.unwrap().into_iter().map(|(_, done)| done).collect()).into();
    done.sort_by_key(|done| done.contains(&Done::Created));
    assert_eq!(done, [[Done::Kept; 2], [Done::Created; 2]]);
    for parts in [one, other] {
        parts.close().await;
    }
    world.finish().await;
}

#[actix_web::test]
async fn two_at_once_over_one_file_make_one_hook_a_scope() {
    two_at_once(prepared(&[LONG])).await;
}

#[actix_web::test]
async fn two_at_once_over_one_server_make_one_hook_a_scope() {
    let Some(database) = Database::fresh().await else { return };
    two_at_once(prepared(&[LONG, ("DATABASE_URL", &database.url())])).await;
}

#[actix_web::test]
async fn a_command_beside_a_relay_waits_for_its_turn() {
    let mut world = prepared(&[LONG]);
    world.store.fault(Fault::new(Operation::Hooks, Action::Hold).method("POST").times(2));
    world.start_relay().await;
    held(&world.store).await;
    let mut command = Hooks::start(&world, "update");
    release(&world.store).await;
    let (code, said) = command.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(hooked(&world), SCOPES, "{said}");
    assert_eq!(said.matches("kept").count(), 2, "{said}");
    world.finish().await;
}

#[actix_web::test]
async fn one_that_is_killed_in_the_middle_holds_up_nobody_for_long() {
    for action in [Action::Hold, Action::HoldAnswer] {
        let mut world = prepared(&[]);
        hold(&world.store, action);
        let command = Hooks::start(&world, "update");
        held(&world.store).await;
        drop(command);
        let began = Instant::now();
        world.start_relay().await;
        world.store.wait_for(|_| hooked(&world) == SCOPES, SOON).await.unwrap();
        let (status, report) = world.post("/integration/update").await;
        assert_eq!(status, 200, "{report}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert_eq!(hooked(&world), SCOPES);
        world.finish().await;
    }
}

/// A process that is stopped for longer than its lock lasts cannot know, until it wakes, that another had the lock
/// since.
#[actix_web::test]
async fn one_that_wakes_after_its_turn_makes_nothing() {
    let world = prepared(&[("FETCH_TIMEOUT", "5s")]);
    Parts::open(world.config()).await.close().await;
    world.store.fault(Fault::new(Operation::Hooks, Action::Hold).method("GET").times(1));
    let mut sleeper = Hooks::start(&world, "update");
    held(&world.store).await;
    // It has the lock and reads that there is no hook. Before it creates one it must write to the database, which is
    // locked.
    let lock = Connection::open(world.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.store.release();
    world.store.wait_for(|store| store.calls().iter().any(|call| call.status.is_some()), PATIENCE).await.unwrap();
    tokio::time::sleep(2 * A_MOMENT).await;
    sleeper.signal("STOP");
    lock.execute_batch("COMMIT").unwrap();
    let (code, said) = Hooks::start(&world, "update").ended().await;
    assert_eq!((code, creations(&world.store)), (Some(0), 2), "{said}");
    sleeper.signal("CONT");
    let (code, said) = sleeper.ended().await;
    assert_eq!((code, creations(&world.store)), (Some(1), 2), "{said}");
    assert!(said.contains("error: the hooks are being changed by another relay or command just now"), "{said}");
    assert_eq!(hooked(&world), SCOPES);
    world.finish().await;
}

/// A call under way cannot be cancelled: a hook that it creates after the lock ran out is found and removed.
#[actix_web::test]
async fn a_hook_that_is_made_after_the_turn_is_removed() {
    let mut world = prepared(&[("HOOK_CHECK_INTERVAL", "1s")]);
    hold(&world.store, Action::Hold);
    let sleeper = Hooks::start(&world, "update");
    held(&world.store).await;
    sleeper.signal("STOP");
    world.start_relay().await;
    world.store.wait_for(|_| hooked(&world) == SCOPES, SOON).await.unwrap();
    let made: Vec<i64> = world.store.hooks().iter().map(|hook| hook.id).collect();
    world.store.release();
    world.store.wait_for(|store| store.hooks().len() > 2, PATIENCE).await.unwrap();
    // Killed: whether it would have gone on makes no difference.
    drop(sleeper);
    world.store.wait_for(|_| hooked(&world) == SCOPES, SOON).await.unwrap();
    assert_eq!(world.store.hooks().iter().map(|hook| hook.id).collect::<Vec<_>>(), made, "the first ones stay");
    world.finish().await;
}

/// A second hook is created by another process whose lock ran out, before the relay's hook or after it.
#[actix_web::test]
async fn of_two_that_are_made_at_once_the_first_stays() {
    for action in [Action::Hold, Action::HoldAnswer] {
        let world = prepared(&[LONG, ("BIGCOMMERCE_SCOPES", SCOPES[0])]);
        let parts = Parts::open(world.config()).await;
        hold(&world.store, action.clone());
        let other = async {
            held(&world.store).await;
            twin(&world).await;
            world.store.release();
        };
        let (done, ()) = tokio::join!(parts.ensure(), other);
        let (report, done) = done.unwrap().remove(0);
        let calls = world.store.calls();
        let left: Vec<i64> = world.store.hooks().iter().map(|hook| hook.id).collect();
        assert_eq!((left, done), (vec![report.id.unwrap()], Done::Created), "{action:?}");
        let deleted = calls.iter().find(|call| call.method == "DELETE").unwrap();
        let removed: i64 = deleted.path_and_query.rsplit('/').next().unwrap().parse().unwrap();
        assert_eq!((creations(&world.store), removed), (2, report.id.unwrap() + 1), "{action:?}");
        parts.close().await;
        world.finish().await;
    }
}

/// Creates a hook that looks like the relay's own.
async fn twin(world: &World) {
    let parts = Parts::open(world.config()).await;
    let [token, ..] = &parts.services.builder.own_tokens(&parts.connection)[..] else { panic!("there is a secret") };
    let hook = serde_json::json!({
        "scope": SCOPES[0], "destination": world.url("/webhooks/bigcommerce"), "is_active": true,
        "headers": { "x-relay-token": token.expose() }
    });
    let url = format!("{}/stores/abcde/v2/hooks", world.store.api_url());
    let post = world.client.post(url).header("X-Auth-Token", &world.store.config().token);
    let post = post.header("Accept", "application/json").header("Content-Type", "application/json");
    assert!(post.body(hook.to_string()).send().await.unwrap().status().is_success());
}

#[actix_web::test]
async fn a_second_hook_is_told_and_removed_and_a_strangers_is_not() {
    let world = prepared(&[LONG, ("BIGCOMMERCE_SCOPES", SCOPES[0])]);
    let parts = Parts::open(world.config()).await;
    parts.ensure().await.unwrap();
    let stranger = world.store.add_hook(SCOPES[0], &world.url("/webhooks/bigcommerce")).unwrap();
    twin(&world).await;
    assert_eq!(parts.inspect().await[0].state, HookState::Doubled);
    let checker = onetribe_relay::checker::Checker::default();
    let examined = checker.check(&parts.services, &parts.connection).await;
    let report = onetribe_relay::health::report(&examined.facts, &examined.judgment);
    let hooks = report.checks.iter().find(|check| check.id == "bigcommerce_hooks").unwrap();
    assert!(hooks.detail.contains("is there more than once"), "{hooks:?}");
    let (report, done) = parts.ensure().await.unwrap().remove(0);
    assert_eq!((report.state, done), (HookState::Doubled, Done::Mended));
    let left: Vec<i64> = world.store.hooks().iter().map(|hook| hook.id).collect();
    assert_eq!(left, [report.id.unwrap(), stranger], "without the token it is not ours");
    twin(&world).await;
    assert_eq!(parts.remove().await, 2);
    assert_eq!(world.store.hooks().iter().map(|hook| hook.id).collect::<Vec<_>>(), [stranger]);
    parts.close().await;
    world.finish().await;
}

#[actix_web::test]
async fn who_waits_too_long_is_told_why() {
    let mut world = prepared(&[]);
    world.start_relay().await;
    world.store.wait_for(|_| hooked(&world) == SCOPES, PATIENCE).await.unwrap();
    let parts = Parts::open(world.config()).await;
    let taken = async {
        while parts.services.inbox.lock_hooks(parts.connection.id, 2 * PATIENCE).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.unwrap();
    // The check after every start reads the hooks too.
    let is_checked = |store: &StoreSim| store.call_count(Operation::StoreInformation) > 0;
    world.store.wait_for(is_checked, PATIENCE).await.unwrap();
    let mut calls = 0;
    while calls != world.store.call_count(Operation::Hooks) {
        calls = world.store.call_count(Operation::Hooks);
        tokio::time::sleep(2 * A_MOMENT).await;
    }
    let mut update = Hooks::start(&world, "update");
    let (code, said) = update.ended().await;
    let busy = "error: the hooks are being changed by another relay or command just now: try again in a minute";
    assert!(code == Some(1) && said.contains(busy), "{said}");
    let called = world.store.calls().into_iter().filter(|call| call.operation == Operation::Hooks).skip(calls as usize);
    assert_eq!(called.collect::<Vec<_>>().len(), 0, "nobody was called: {:?}", world.store.calls());
    let page = world.client.post(world.url("/integration/update")).bearer_auth(sandbox::relay::ADMIN_TOKEN);
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("The webhooks are being changed by another relay or command just now."), "{page}");
    parts.services.inbox.unlock_hooks(parts.connection.id).await.unwrap();
    assert_eq!(world.post("/integration/update").await.0, 200);
    parts.close().await;
    world.finish().await;
}
