//! The vendor's own request bodies and commands, as printed in its guides; only the base URL, the addresses and the
//! placeholders differ.

use reqwest::Method;
use sandbox::{ShopSim, StoreConfig};
use serde_json::{Value, json};

use super::{
    shops,
    world::{KEY, ORGANIZATION, PATIENCE, USER, World, set, words},
};

const ACCOUNT: (&str, &str) = ("xxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxxxxxx");

async fn world() -> World {
    let legacy = Some((ACCOUNT.0.to_owned(), ACCOUNT.1.to_owned()));
    World::start_with(StoreConfig { legacy, ..StoreConfig::default() }).await
}

fn filled(world: &World, text: &str) -> String {
    text.replace("https://store-wuxeae6.mybigcommerce.com/api/v2", &format!("{}/api/v2", world.store.api_url()))
        .replace("https://api.cloud-elements.com", world.url("").as_str())
        .replace("http://mycoolapp.com", &world.callback.url())
        .replace("<minutes>", "0.02")
        .replace("<Add_Your_Tag>", "A tag")
        .replace("<INSTANCE_NAME>", "An instance")
        .replace("<Legacy API Account Username>", ACCOUNT.0)
        .replace("<Legacy API Account API Token>", ACCOUNT.1)
        .replace("<Legacy API Account API Path>", &format!("{}/api/v2", world.store.api_url()))
        .replace("<USER_SECRET>", USER)
        .replace("<ORGANIZATION_SECRET>", ORGANIZATION)
}

/// Splits a command as a shell does: single quotes, and a backslash before a quote or a line break.
fn shell_words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            _ if is_quoted => word.get_or_insert_default().push(c),
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Runs a `curl -X POST URL -H … -d …`.
async fn curl(world: &World, command: &str) -> (u16, Value) {
    let words = shell_words(&filled(world, command));
    assert_eq!(words[..3], ["curl", "-X", "POST"]);
    let mut request = world.client.post(&words[3]);
    for option in words[4..].chunks(2) {
        request = match option {
            [name, value] if name == "-H" => {
                let (name, value) = value.split_once(": ").unwrap();
                request.header(name, value)
            }
            [name, value] if name == "-d" => request.body(value.clone()),
            other => panic!("{other:?}"),
        };
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn the_guide_s_command_makes_an_instance_that_answers_as_the_guide_says() {
    let world = world().await;
    let (status, made) = curl(&world, include_str!("seeds/bigcommerce_authenticate.curl")).await;
    assert_eq!(status, 200, "{made}");
    let printed: Value = serde_json::from_str(include_str!("seeds/bigcommerce_answer.json")).unwrap();
    for (field, value) in printed.as_object().unwrap() {
        match field.as_str() {
            "id" | "createdDate" | "token" | "user" => assert!(!made[field].is_null(), "{field}"),
            "configuration" => assert_eq!(made[field]["username"], ACCOUNT.0),
            "element" => {
                for (field, value) in value.as_object().unwrap() {
                    assert_eq!(&made["element"][field], value, "{field}");
                }
            }
            _ => assert_eq!(&made[field], value, "{field}"),
        }
    }
    assert_eq!(made["configuration"]["password"], "********");
    let id = made["id"].as_i64().unwrap();
    let token = made["token"].as_str().unwrap();
    let by_token = format!("User {USER}, Organization {ORGANIZATION}, Element {token}");
    let fetched = world.ask_as(&by_token, Method::GET, "/elements/api-v2/hubs/ecommerce/orders", None).await;
    assert_eq!((fetched.status, fetched.body), (200, json!([])));
    let body: Value =
        serde_json::from_str(&filled(&world, include_str!("seeds/bigcommerce_authenticate.json"))).unwrap();
    let another = world.create(&body).await;
    assert!(another.id > id);
    world.stop().await;
}

#[tokio::test]
async fn the_guide_s_bodies_poll() {
    let world = world().await;
    let text = filled(&world, include_str!("seeds/bigcommerce_polling.json"));
    world.create(&serde_json::from_str(&text).unwrap()).await;
    world.store.put_row("v2/customers", json!({ "id": 1, "first_name": "Jane" }));
    world.polled(4).await;
    world.store.put_row("v2/customers", json!({ "id": 2, "first_name": "John" }));
    let reached = |callback: &sandbox::CallbackSim| callback.events().iter().any(|event| event.id == "2");
    world.callback.wait_for(reached, super::world::PATIENCE).await.unwrap();
    let events = world.callback.events();
    assert!(words(&events).contains(&"contacts 2 UPDATED".to_owned()), "{events:?}");
    world.stop().await;
}

/// `oauth.api.*` needs an authorization code from BigCommerce, or a token.
#[tokio::test]
async fn the_guide_s_example_names_what_it_lacks_and_works_with_a_token() {
    let world = world().await;
    let text = filled(&world, include_str!("seeds/bigcommerce_polling_example.json"));
    let mut body: Value = serde_json::from_str(&text).unwrap();
    let lacking = world.ask(Method::POST, "/elements/api-v2/instances", Some(&body)).await;
    let message = lacking.body["message"].as_str().unwrap();
    assert_eq!(lacking.status, 400);
    assert!(message.contains("oauth.user.token") && message.contains("providerData"), "{message}");
    let configuration = &mut body["configuration"];
    configuration["oauth.user.token"] = json!(world.store.config().token);
    configuration["store.url"] = json!(format!("{}/stores/abcde/v2", world.store.api_url()));
    configuration["event.poller.refresh_interval"] = json!("0.02");
    world.create(&body).await;
    let order = world.store.place_order_silently(None, 7);
    let now = sandbox::order::rfc2822(sandbox::clock::system_clock());
    let row = |id: i64| json!({ "id": id, "date_created": now, "date_modified": now });
    world.store.put_row("v2/products", row(5));
    world.store.put_row("v2/customers", row(6));
    let events = world.told(3).await;
    let expected =
        [format!("orders {order} CREATED"), "products 5 CREATED".to_owned(), "customers 6 CREATED".to_owned()];
    assert_eq!(set(&events), expected.into());
    world.stop().await;
}

/// Replaces the placeholders of the WooCommerce guides with a shop's address and keys.
fn filled_for(world: &World, shop: &ShopSim, text: &str) -> String {
    let keys = shop.config();
    let text = text
        .replace("https://api.cloud-elements.com/elements/api-v2/events/woocommercerest/", &world.callback.url())
        .replace("https://mycoolapp.com/events", &world.callback.url())
        .replace("<CALLBACK_URL>", &world.callback.url())
        .replace("<http://mycoolstore.com>", &shop.url())
        .replace("<WEB_STORE_URL>", &shop.url())
        .replace("<CONSUMER_KEY>", &keys.consumer_key)
        .replace("<CONSUMER_SECRET>", &keys.consumer_secret)
        .replace("<OPTIONAL_SIGNATURE_KEY>", KEY)
        .replace(r#""xxxxxxxxxxxxxxxxxxxxxxxxx""#, &format!("{KEY:?}"))
        .replace(r#""xxxxxxxxxxxxxxxxxxxxxxxx""#, &format!("{:?}", keys.consumer_secret))
        .replace(r#""xxxxxxxxxxxxxxxxxx""#, &format!("{:?}", keys.consumer_key));
    filled(world, &text)
}

#[tokio::test]
async fn the_woocommerce_guide_s_commands_make_instances() {
    let (world, shop) = (World::start().await, shops::shop());
    for command in [include_str!("seeds/woocommerce_polling.curl"), include_str!("seeds/woocommerce_webhook.curl")] {
        let (status, made) = curl(&world, &filled_for(&world, &shop, command)).await;
        assert_eq!(status, 200, "{made}");
        assert_eq!(made["element"]["key"], "woocommercerest");
        assert_eq!(made["configuration"]["oauth.api.secret"], "********");
    }
    world.finish().await;
    shop.stop().await;
}

#[tokio::test]
async fn the_woocommerce_guide_s_polling_body_tells_of_all_four_resources() {
    let (world, shop) = (World::start().await, shops::shop());
    let text = filled_for(&world, &shop, include_str!("seeds/woocommerce_polling.json"));
    world.create(&serde_json::from_str(&text).unwrap()).await;
    // Without dates in the configuration, the objects found by the first poll are only remembered.
    let polled = shop.call_count(sandbox::Operation::Any) + 8;
    shop.wait_for(|shop| shop.call_count(sandbox::Operation::Any) >= polled, PATIENCE).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let order = shop.place_order_silently(None, "processing");
    let product = shop.add_object("products", json!({ "name": "A product", "status": "publish" }));
    let customer = shop.add_object("customers", json!({ "email": "somebody@example.com" }));
    let coupon = shop.add_object("coupons", json!({ "code": "ten", "status": "publish" }));
    let told: std::collections::BTreeSet<String> =
        world.told(4).await.into_iter().map(|event| format!("{} {}", event.resource, event.id)).collect();
    let expected = [
        format!("orders {order}"),
        format!("products {product}"),
        format!("contacts {customer}"),
        format!("discounts {coupon}"),
    ];
    assert_eq!(told, expected.into());
    world.finish().await;
    shop.stop().await;
}

#[tokio::test]
async fn the_woocommerce_guide_s_webhook_body_notifies() {
    let (world, shop) = (World::start().await, shops::shop());
    let text = filled_for(&world, &shop, include_str!("seeds/woocommerce_webhook.json"));
    world.create(&serde_json::from_str(&text).unwrap()).await;
    let wired = |shop: &ShopSim| shop.hooks().iter().any(|hook| hook.topic == "order.updated");
    shop.wait_for(wired, PATIENCE).await.unwrap();
    let order = shop.place_order();
    assert_eq!(words(&world.told(1).await), [format!("orders {order} CREATED")]);
    world.finish().await;
    shop.stop().await;
}
