//! Webhooks: creating, repairing and removing them, and what arrives in shops of every version.

use onetribe_relay::{
    http::Failure,
    object::ChangeKind::{self, Created, Deleted, Updated},
    secret::Secret,
    source::{
        hooks::{Hook, HookToken, WantedHook},
        woocommerce::{
            Shop,
            hooks::ORDER_TOPICS,
            webhook::{Dropped, Notice, Verifier},
        },
    },
};
use sandbox::{KeyRights, ShopConfig, ShopSim, ShopVersion};

use super::{SOON, WEBHOOK_SECRET, number, receiver::Receiver, start};

fn wanted(topic: &str, destination: &str) -> WantedHook {
    WantedHook { topic: topic.to_owned(), destination: destination.to_owned(), secret: Secret::from(WEBHOOK_SECRET) }
}

fn verifier(sim: &ShopSim) -> Verifier {
    let topics = ORDER_TOPICS.map(str::to_owned).into();
    Verifier::new(&sim.url(), &[WEBHOOK_SECRET.into()], topics)
}

/// A shop with its four webhooks created and their pings received.
async fn listening(config: ShopConfig) -> (ShopSim, Shop, Receiver) {
    let (sim, shop) = start(config);
    let receiver = Receiver::start(verifier(&sim));
    for topic in ORDER_TOPICS {
        shop.create_hook(shop.take().await, &wanted(topic, receiver.url())).await.expect("it is made");
    }
    assert_eq!(receiver.notices(), vec![Notice::Ping; 4], "each comes within the creating call");
    (sim, shop, receiver)
}

/// The changes that arrived after the pings, once everything is delivered.
async fn told(sim: &ShopSim, receiver: &Receiver) -> Vec<(ChangeKind, Option<String>)> {
    sim.wait_for(|sim| sim.queued() == 0, SOON).await.expect("all is delivered");
    let event = |notice| match notice {
        Notice::Event(event) => Some((event.change, event.status)),
        _ => None,
    };
    receiver.notices().into_iter().filter_map(event).collect()
}

#[tokio::test]
async fn webhooks_are_made_mended_and_removed() {
    let (sim, shop, receiver) = listening(ShopConfig::default()).await;
    let hooks = shop.hooks(&[]).await.expect("a list");
    let topics: Vec<&str> = hooks.iter().map(|hook| hook.topic.as_str()).collect();
    assert_eq!(topics, ORDER_TOPICS);
    let expected = Hook {
        id: 1,
        topic: "order.created".to_owned(),
        destination: receiver.url().to_owned(),
        is_active: true,
        token: HookToken::Hidden,
    };
    assert_eq!(hooks[0], expected);

    sim.change_hook(2, |hook| {
        hook.status = "disabled".to_owned();
        hook.secret = "another".to_owned();
    });
    assert!(!shop.hooks(&[]).await.expect("a list")[1].is_active);
    assert_eq!(shop.facts().disabled_hooks, [2]);
    shop.update_hook(shop.take().await, 2, &wanted("order.updated", receiver.url())).await.expect("it is mended");
    let hook = sim.hook(2).expect("it is there");
    assert!(hook.is_active() && hook.secret == WEBHOOK_SECRET);
    assert!(shop.hooks(&[]).await.is_ok() && shop.facts().disabled_hooks.is_empty());

    shop.remove_hook(shop.take().await, 3).await.expect("it is removed");
    shop.remove_hook(shop.take().await, 3).await.expect("one that is gone counts as removed");
    assert_eq!(sim.hooks().len(), 3);
    let gone = shop.update_hook(shop.take().await, 3, &wanted("order.deleted", receiver.url())).await;
    assert_eq!(gone.map_err(|error| error.failure), Err(Failure::Status(404)));
}

#[tokio::test]
async fn many_webhooks_are_all_listed() {
    let (sim, shop) = start(ShopConfig::default());
    for _ in 0..205 {
        let nowhere = wanted("order.updated", "http://127.0.0.1:9/");
        shop.create_hook(shop.take().await, &nowhere).await.expect("a ping that nobody answers is no harm");
    }
    assert_eq!(shop.hooks(&[]).await.expect("a list").len(), 205);
    sim.stop().await;
}

#[tokio::test]
async fn keys_that_may_only_read_make_no_webhooks_and_go_on_reading() {
    let (sim, shop) = start(ShopConfig::default());
    sim.set_rights(KeyRights::Read);
    let refused = shop.create_hook(shop.take().await, &wanted("order.updated", "http://127.0.0.1:9/")).await;
    assert_eq!(refused.map_err(|error| error.failure), Err(Failure::Status(401)));
    shop.can_read().await.expect("they read");
    assert!(shop.credentials().is_well());
}

#[tokio::test]
async fn an_order_is_told_of_from_its_draft_to_the_trash() {
    let status = |text: &str| Some(text.to_owned());
    for version in [ShopVersion::V5_7, ShopVersion::V8_0, ShopVersion::V9_0, ShopVersion::V11_0] {
        let has_hpos = version > ShopVersion::V5_7;
        // Without WP-Cron, each step is delivered on its own.
        let config = ShopConfig { version, has_hpos, queue_delay: None, senders: 1, ..ShopConfig::default() };
        let (sim, _shop, receiver) = listening(config).await;
        let id = sim.place_draft();
        sim.run_queue().await;
        assert!(told(&sim, &receiver).await.is_empty(), "{version:?}: nobody is told of a draft");
        assert!(receiver.notices().contains(&Notice::Dropped(Dropped::Draft)));

        sim.change_order(id, "processing");
        sim.run_queue().await;
        let paid = told(&sim, &receiver).await;
        match version {
            ShopVersion::V11_0 => {
                assert_eq!(paid, [(Updated, status("processing")), (Created, status("processing"))]);
            }
            _ => assert_eq!(paid, [(Updated, status("processing"))], "the first that is no draft is the creation"),
        }
        sim.trash_order(id);
        sim.run_queue().await;
        sim.restore_order(id);
        sim.run_queue().await;
        let rest = told(&sim, &receiver).await.split_off(paid.len());
        match version {
            ShopVersion::V8_0 => assert_eq!(rest, [(Deleted, status("trash")), (Updated, status("processing"))]),
            _ => assert_eq!(rest, [(Deleted, None), (Updated, status("processing"))]),
        }
    }
}

#[tokio::test]
async fn bodies_are_built_when_they_are_delivered() {
    let (sim, _shop, receiver) = listening(ShopConfig { queue_delay: None, ..ShopConfig::default() }).await;
    let id = sim.place_order();
    for _ in 0..5 {
        sim.change_order(id, "completed");
    }
    assert_eq!(sim.queued(), 2, "one webhook is told of one order once");
    sim.run_queue().await;
    let bodies: Vec<_> = receiver.received().split_off(4).into_iter().map(|received| received.body).collect();
    let newest = sim.order_bytes(id).expect("it is there");
    assert_eq!(bodies, [newest.clone(), newest], "equal to what a fetch brings");

    sim.change_order(id, "refunded");
    sim.delete_order(id);
    sim.run_queue().await;
    assert_eq!(receiver.notices().pop(), Some(Notice::Dropped(Dropped::ErrorBody)), "it is gone by then");

    let id = sim.place_order();
    sim.set_rights(KeyRights::Demoted);
    sim.run_queue().await;
    assert_eq!(receiver.notices().pop(), Some(Notice::Dropped(Dropped::ErrorBody)), "whoever made it may not read");
    sim.trash_order(id);
    sim.run_queue().await;
    assert!(matches!(receiver.notices().pop(), Some(Notice::Event(event)) if event.change == Deleted));
}

#[tokio::test]
async fn a_webhook_is_disabled_at_the_seventh_failure() {
    let (sim, shop, receiver) = listening(ShopConfig { queue_delay: None, ..ShopConfig::default() }).await;
    let id = sim.place_order_silently(None, "processing");
    let change = async || {
        sim.change_order(id, "processing");
        sim.run_queue().await;
    };
    receiver.answer(503);
    for failures in 1..=6 {
        change().await;
        let hook = sim.hook(2).expect("order.updated");
        assert_eq!((hook.failures, hook.is_active()), (failures, true));
    }
    change().await;
    assert_eq!(sim.hook(2).map(|hook| (hook.failures, hook.status)), Some((6, "disabled".to_owned())));
    let before = sim.deliveries().len();
    change().await;
    assert_eq!(sim.deliveries().len(), before, "events are lost while it is disabled");

    let mend = async || {
        let right = wanted("order.updated", receiver.url());
        shop.update_hook(shop.take().await, 2, &right).await.expect("it is mended");
    };
    mend().await;
    change().await;
    assert!(!sim.hook(2).expect("order.updated").is_active(), "one more failure is enough");
    mend().await;
    receiver.answer(200);
    change().await;
    assert_eq!(sim.hook(2).map(|hook| (hook.failures, hook.is_active())), Some((0, true)));
}

#[tokio::test]
async fn a_ping_that_was_never_answered_comes_again_with_every_delivery() {
    let (sim, shop) = start(ShopConfig { queue_delay: None, ..ShopConfig::default() });
    let receiver = Receiver::start(verifier(&sim));
    receiver.answer(404);
    shop.create_hook(shop.take().await, &wanted("order.updated", receiver.url())).await.expect("made all the same");
    receiver.answer(201);
    sim.place_order();
    sim.run_queue().await;
    assert_eq!(sim.pings(), 2, "201 is no answer to a ping");
    receiver.answer(200);
    for pings in [3, 3] {
        sim.place_order();
        sim.run_queue().await;
        assert_eq!(sim.pings(), pings);
    }
}

#[tokio::test]
async fn strangers_and_copies_tell_nothing() {
    let (sim, _shop, receiver) = listening(ShopConfig { queue_delay: None, ..ShopConfig::default() }).await;
    sim.configure(|config| config.source = Some("https://staging.shop.example/".to_owned()));
    let id = sim.place_order();
    sim.run_queue().await;
    let source = "https://staging.shop.example/".to_owned();
    assert_eq!(receiver.notices().pop(), Some(Notice::ForeignSource { source }));
    sim.configure(|config| config.source = None);
    sim.change_hook(2, |hook| hook.secret = "another".to_owned());
    sim.change_order(id, "completed");
    sim.run_queue().await;
    assert!(receiver.received().pop().is_some_and(|received| received.notice.is_err()));
    sim.change_hook(2, |hook| hook.topic = "product.deleted".to_owned());
    sim.change_hook(2, |hook| hook.secret = WEBHOOK_SECRET.to_owned());
    sim.tell("product.deleted", id);
    sim.run_queue().await;
    assert_eq!(receiver.notices().pop(), Some(Notice::Ignored { topic: "product.deleted".to_owned() }));
}

#[tokio::test]
async fn a_foreign_deletion_is_not_borne_out_by_a_fetch() {
    let config = ShopConfig { has_hpos: false, queue_delay: None, ..ShopConfig::default() };
    let (sim, shop, receiver) = listening(config).await;
    let products = Receiver::start(Verifier::new(&sim.url(), &[WEBHOOK_SECRET.into()], vec!["product.deleted".into()]));
    let hook = wanted("product.deleted", products.url());
    shop.create_hook(shop.take().await, &hook).await.expect("it is made");
    let id = sim.place_order();
    sim.trash_order(id);
    sim.run_queue().await;
    products.wait_for(2).await;
    let Some(Notice::Event(event)) = products.notices().pop() else { panic!("a product is said to be deleted") };
    assert_eq!((event.resource, event.id, event.change), ("products", number(id), Deleted));
    let fetched = shop.object(shop.take().await, "products", &number(id)).await;
    assert_eq!(fetched.err().map(|error| error.failure), Some(Failure::Status(404)));
    assert!(matches!(receiver.notices().pop(), Some(Notice::Event(event)) if event.resource == "orders"));
}
