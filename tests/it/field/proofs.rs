//! Signature headers as altered by proxies.

use sandbox::{Event, Scope, signed_request};

use crate::relay::world::World;

/// Posts a callback with these `webhook-signature` header lines.
async fn send(world: &World, order: i64, lines: impl Fn(&str) -> Vec<String>) -> u16 {
    let (headers, body) = signed_request(&world.store.config().client_secret, &Event::new(Scope::Created, order));
    let mut request = world.client.post(world.url("/webhooks/bigcommerce")).body(body);
    for (name, value) in headers {
        if name == "webhook-signature" {
            for line in lines(&value) {
                request = request.header("webhook-signature", line);
            }
        } else {
            request = request.header(name, value);
        }
    }
    request.send().await.unwrap().status().as_u16()
}

#[actix_web::test]
async fn every_list_that_a_proxy_makes_of_genuine_entries_passes_and_forgeries_do_not() {
    let world = World::start().await;
    let stale = onetribe_relay::signature::sign("an older secret", "id", 1, b"another body");
    let raw = |good: &str| good.split_once(',').unwrap().1.to_owned();
    type Lines<'a> = Box<dyn Fn(&str) -> Vec<String> + 'a>;
    let genuine: Vec<(&str, Lines<'_>)> = vec![
        ("two lines", Box::new(|good| vec![stale.clone(), good.to_owned()])),
        ("joined by a comma and a space", Box::new(|good| vec![format!("{stale}, {good}")])),
        ("joined by a comma", Box::new(|good| vec![format!("{good},{stale}")])),
        ("split at the comma", Box::new(|good| vec!["v1".to_owned(), raw(good)])),
        ("a space behind the comma", Box::new(|good| vec![format!("v1, {}", raw(good))])),
        ("both", Box::new(|good| vec![format!("{stale}, v1"), raw(good)])),
        ("spaces, as specified", Box::new(|good| vec![format!("{stale} {good}")])),
    ];
    for (at, (name, lines)) in genuine.iter().enumerate() {
        let order = world.store.place_order_silently(None, 11);
        assert_eq!(send(&world, order, lines).await, 200, "{name}");
        world.arrived(at + 1).await;
    }
    let forged: Vec<(&str, Lines<'_>)> = vec![
        ("another secret's", Box::new(|_| vec![stale.clone()])),
        ("twice", Box::new(|_| vec![format!("{stale}, {stale}")])),
        ("without its version", Box::new(|good| vec![raw(good)])),
        ("under another version", Box::new(|good| vec!["v2".to_owned(), raw(good)])),
        ("behind another's version", Box::new(|good| vec![format!("v1a, {}", raw(good))])),
        ("cut", Box::new(|good| vec![good[..good.len() - 4].to_owned()])),
        ("empty", Box::new(|_| vec![String::new()])),
    ];
    for (name, lines) in &forged {
        assert_eq!(send(&world, 1, lines).await, 401, "{name}");
    }
    world.finish().await;
}
