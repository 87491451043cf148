//! Credentials that may only read the resources that an instance polls.

use reqwest::Method;
use sandbox::{ApiAccount, Operation};
use serde_json::{Value, json};

use super::world::World;

fn account(scope: &str) -> ApiAccount {
    ApiAccount {
        client_id: "narrow".to_owned(),
        token: "a-narrow-token".to_owned(),
        client_secret: "a-narrow-client-secret".to_owned(),
        scopes: vec![scope.to_owned()],
    }
}

fn polling(world: &World, resources: &[&str]) -> Value {
    let resource =
        |name: &&str| ((*name).to_owned(), json!({ "url": format!("/hubs/ecommerce/{name}"), "idField": "id" }));
    let resources: serde_json::Map<String, Value> = resources.iter().map(resource).collect();
    world.body(&json!({ "oauth.user.token": "a-narrow-token", "event.poller.configuration": resources }))
}

#[tokio::test]
async fn credentials_are_tried_on_what_the_instance_polls() {
    let world = World::start().await;
    world.store.grant(account("store_v2_products_read_only"));
    world.store.put_row("v2/products", json!({ "id": 205, "name": "a product" }));
    let create = async |body: Value| world.ask(Method::POST, "/elements/api-v2/instances", Some(&body)).await;
    let orders = world.store.call_count(Operation::OrderList);
    let made = create(polling(&world, &["products"])).await;
    assert_eq!(made.status, 200, "{:?}", made.body);
    assert_eq!(world.store.call_count(Operation::OrderList), orders, "nobody asks for orders");
    let refused = create(polling(&world, &["products", "orders"])).await;
    assert_eq!(refused.status, 401, "{:?}", refused.body);
    assert!(refused.body["providerMessage"].is_string());
    // A list that the store does not have proves nothing about the credentials, so orders are tried.
    let without_list = create(polling(&world, &["customers"])).await;
    assert_eq!(without_list.status, 401, "{:?}", without_list.body);
    world.finish().await;
}
