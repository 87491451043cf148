//! Lists of hooks in pages and in unusual forms: the relay finds its own hook, and never creates a second one.

use sandbox::{HookForm, HookRules};

use crate::relay::world::World;

async fn one_hook_after_three_looks(rules: HookRules, strangers: usize) {
    let mut world = World::prepare(
        sandbox::StoreConfig::default(),
        sandbox::SenderOptions::default(),
        &[("BIGCOMMERCE_HOOKS_API", "v2")],
    );
    world.store.set_hook_rules(HookRules { takes_duplicates: true, per_scope: 1000, ..rules.clone() });
    for number in 0..strangers {
        world.store.add_hook("store/order/*", &format!("https://stranger{number}.example/hook")).unwrap();
    }
    world.start_relay().await;
    let own = |world: &World| {
        let here = world.url("/webhooks/bigcommerce");
        world.store.hooks().into_iter().filter(|hook| hook.destination == here).collect::<Vec<_>>()
    };
    let made = |store: &sandbox::StoreSim| store.hooks().len() == strangers + 1;
    world.store.wait_for(made, crate::relay::world::PATIENCE).await.unwrap();
    let (before, secret) = (own(&world), own(&world)[0].headers.clone());
    for look in 0..3 {
        let (status, report) = world.post("/integration/update").await;
        assert_eq!(status, 200, "{rules:?}, look {look}: {report}");
        let hooks =
            report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "bigcommerce_hooks").unwrap();
        assert_eq!(hooks["status"], "pass", "{rules:?}, look {look}: {hooks}");
    }
    // The relay still recognises it after a restart.
    world.stop_relay().await;
    world.start_relay().await;
    let (status, report) = world.post("/integration/update").await;
    assert_eq!(status, 200, "{rules:?}: {report}");
    let after = own(&world);
    assert_eq!((after.len(), world.store.hooks().len()), (1, strangers + 1), "{rules:?}");
    assert_eq!((after[0].id, &after[0].headers), (before[0].id, &secret), "{rules:?}");
    let order = world.store.place_order_as(None, 11);
    world.arrived_at(order, 1).await;
    world.finish().await;
}

#[actix_web::test]
async fn a_hook_in_an_odd_form_is_taken_for_what_it_means() {
    for shown in HookForm::ALL {
        one_hook_after_three_looks(HookRules { shown, ..HookRules::default() }, 1).await;
    }
}

#[actix_web::test]
async fn pages_are_read_on_until_an_empty_one_and_one_that_repeats_ends_them() {
    for v2_empty_is_204 in [true, false] {
        for v2_repeats in [true, false] {
            let rules = HookRules { v2_page: Some(50), v2_repeats, v2_empty_is_204, ..HookRules::default() };
            one_hook_after_three_looks(rules, 60).await;
        }
    }
    // Exactly full pages.
    one_hook_after_three_looks(HookRules { v2_page: Some(50), ..HookRules::default() }, 99).await;
}

#[actix_web::test]
async fn a_version_of_the_api_that_is_gone_is_left_for_the_other_with_odd_forms_too() {
    for shown in [HookForm::Plain, HookForm::NullHeaders, HookForm::TextId] {
        one_hook_after_three_looks(HookRules { v2_gone: Some(410), shown, ..HookRules::default() }, 60).await;
    }
}
