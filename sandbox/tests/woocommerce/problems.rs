//! Each problem of a shop has its own error, and none of the errors contains the secret.

use onetribe_relay::{
    http::Failure,
    source::woocommerce::{
        AuthMode, Shop,
        problem::{ShopProblem, ShopWarning},
    },
};
use sandbox::{Action, Fault, KeyRights, Operation, RestState, ShopConfig, ShopPermalinks, ShopSim};

use super::{SOON, client, client_with, shops, spec};

fn with_basic(sim: &ShopSim) -> Shop {
    Shop::new(shops(SOON), &spec(sim)).expect("an address").starting_with(AuthMode::Basic)
}

async fn problem(config: ShopConfig) -> Option<ShopProblem> {
    let sim = ShopSim::start_with(config).expect("a port");
    let problem = with_basic(&sim).diagnose().await.err();
    let secret = &sim.config().consumer_secret;
    assert!(!sim.calls().iter().any(|call| call.path_and_query.contains(secret.as_str())));
    problem
}

#[tokio::test]
async fn each_cause_is_told_apart() {
    for permalinks in [ShopPermalinks::Pretty, ShopPermalinks::Plain] {
        let config = || ShopConfig { permalinks, ..ShopConfig::default() };
        assert_eq!(problem(config()).await, None);
        for home_is_https in [false, true] {
            let unseen = ShopConfig { is_ssl: false, home_is_https, ..config() };
            assert_eq!(problem(unseen).await, Some(ShopProblem::NotSeenAsHttps), "{permalinks:?} {home_is_https}");
        }
        let closed = ShopConfig { rest: RestState::Closed, ..config() };
        assert_eq!(problem(closed).await, Some(ShopProblem::RestSwitchedOff));
        let without = ShopConfig { rest: RestState::WithoutWooCommerce, ..config() };
        assert_eq!(problem(without).await, Some(ShopProblem::NoApi));
    }
}

#[tokio::test]
async fn keys_that_are_refused_are_told_apart() {
    let sim = ShopSim::start().expect("a port");
    let shop = client(&sim);
    for (rights, problem) in [
        (KeyRights::Read, None),
        (KeyRights::Demoted, Some(ShopProblem::RightsMissing)),
        (KeyRights::Deleted, Some(ShopProblem::UnknownKey)),
    ] {
        sim.set_rights(rights);
        assert_eq!(shop.diagnose().await.err(), problem, "{rights:?}");
    }
    sim.set_rights(KeyRights::ReadWrite);
    let mut wrong = spec(&sim);
    wrong.consumer_secret = "cs_1".into();
    assert_eq!(client_with(&sim, &wrong, SOON).diagnose().await, Err(ShopProblem::WrongSecret));
    wrong.consumer_key = "ck_1".into();
    assert_eq!(client_with(&sim, &wrong, SOON).diagnose().await, Err(ShopProblem::UnknownKey));
}

#[tokio::test]
async fn what_stands_before_the_shop_is_told_apart() {
    let sim = ShopSim::start().expect("a port");
    let shop = client(&sim);
    for (status, kind, problem) in [
        (403, "text/html", ShopProblem::Firewall(403)),
        (406, "text/html", ShopProblem::Firewall(406)),
        (501, "application/json", ShopProblem::Firewall(501)),
        (500, "application/json", ShopProblem::Other(Failure::Status(500))),
    ] {
        sim.fault(Fault::new(Operation::Any, Action::Status(status)).header("Content-Type", kind));
        shop.forget_root();
        assert_eq!(shop.diagnose().await, Err(problem), "{status}");
        sim.clear_faults();
        shop.forget_root();
        assert_eq!(shop.diagnose().await, Ok(()));
        sim.fault(Fault::new(Operation::OrderList, Action::Status(status)).header("Content-Type", kind));
        assert_eq!(shop.diagnose().await, Err(problem), "{status} where the API is known");
        sim.clear_faults();
    }
    sim.fault(Fault::new(Operation::OrderList, Action::NotJson));
    assert_eq!(shop.diagnose().await, Err(ShopProblem::SpoiltAnswers));
    sim.clear_faults();
    let mut nowhere = spec(&sim);
    nowhere.url = "http://127.0.0.1:9".to_owned();
    let problem = client_with(&sim, &nowhere, SOON).diagnose().await;
    assert_eq!(problem, Err(ShopProblem::Other(Failure::Connect)));
}

#[tokio::test]
async fn a_stripped_header_is_a_warning_while_the_way_around_works() {
    let sim = ShopSim::start_with(ShopConfig { strips_authorization: true, ..ShopConfig::default() }).expect("a port");
    let shop = client(&sim);
    assert_eq!(shop.diagnose().await, Ok(()));
    assert_eq!(shop.warnings(true), [ShopWarning::KeysInQuery, ShopWarning::LateDeliveries]);
}

#[tokio::test]
async fn a_check_finds_the_way_around_that_calls_do_not_try_again_yet() {
    let sim = ShopSim::start_with(ShopConfig { is_ssl: false, ..ShopConfig::default() }).expect("a port");
    let shop = with_basic(&sim);
    assert!(shop.can_read().await.is_err());
    sim.configure(|config| (config.is_ssl, config.strips_authorization) = (true, true));
    assert!(shop.can_read().await.is_err(), "it has been tried a moment ago");
    assert_eq!(shop.diagnose().await, Ok(()));
    shop.can_read().await.expect("it is known now");
}
