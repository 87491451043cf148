//! Bodies take memory before anybody knows whether they are genuine: no sender can take what the others need.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sandbox::{ShopConfig, ShopHook, ShopSim};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::world::{PATIENCE, World};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

async fn shop_of(world: &World) -> (ShopSim, ShopHook) {
    let config = ShopConfig { is_ssl: false, queue_delay: Some(Duration::ZERO), ..ShopConfig::default() };
    let shop = ShopSim::start_with(config).unwrap();
    world.connect(&world.shop_request(&shop)).await;
    shop.wait_for(|shop| shop.hooks().len() == 4, PATIENCE).await.unwrap();
    let hook = shop.hooks().into_iter().find(|hook| hook.topic == "order.updated").unwrap();
    (shop, hook)
}

/// Posts a genuine webhook for an order, with a note that makes it this large.
async fn posted(world: &World, shop: &ShopSim, hook: &ShopHook, size: usize) -> u16 {
    let order = shop.place_order_silently(None, "processing");
    let note = "x".repeat(size);
    let body = format!(r#"{{"id":{order},"status":"processing","customer_note":"{note}"}}"#);
    let request = world.client.post(&hook.delivery_url).header("x-wc-webhook-topic", "order.updated");
    let request = request.header("x-wc-webhook-source", shop.url());
    let signature = sandbox::woocommerce::signature(&hook.secret, body.as_bytes());
    let request = request.header("x-wc-webhook-signature", signature).body(body);
    request.send().await.unwrap().status().as_u16()
}

/// Sends a body of this size but for its end.
async fn stalled(world: &World, path: &str, size: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let proof = "x-wc-webhook-topic: order.updated\r\nx-wc-webhook-signature: bm9uc2Vuc2U=";
    let head = format!("POST {path} HTTP/1.1\r\nhost: relay\r\n{proof}\r\ncontent-length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // What waits for memory is not read from the socket.
    let rest = vec![b'{'; size - 10];
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&rest)).await;
    stream
}

#[actix_web::test]
async fn many_large_webhooks_of_a_shop_at_once_are_all_taken() {
    let world = World::start(1).await;
    let (shop, hook) = shop_of(&world).await;
    for (count, size) in [(4, 7 * MIB), (60, 200 * KIB)] {
        let answers = join_all((0..count).map(|_| posted(&world, &shop, &hook, size))).await;
        assert!(answers.iter().all(|answer| *answer == 200), "{size}: {answers:?}");
    }
    world.finish().await;
    shop.stop().await;
}

#[actix_web::test]
async fn what_stalls_at_some_webhook_addresses_or_forms_is_no_matter_at_another() {
    let world = World::start(4).await;
    let (shop, hook) = shop_of(&world).await;
    let (mut flooded, mut held) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (other, its_hook) = shop_of(&world).await;
        let path = url::Url::parse(&its_hook.delivery_url).unwrap().path().to_owned();
        held.push(stalled(&world, &path, 8 * MIB).await);
        flooded.push((other, its_hook));
    }
    held.extend(join_all((0..100).map(|_| stalled(&world, "/woocommerce/keys", 15 * KIB))).await);
    let began = Instant::now();
    for (shop, hook) in flooded.iter().chain([&(shop, hook)]) {
        assert_eq!(posted(&world, shop, hook, 200 * KIB).await, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "it had to wait {:?}", began.elapsed());
    drop(held);
    world.finish().await;
}

/// The address of the environment's store is known to anybody. An `Upgrade` leaves the announced length without effect.
#[actix_web::test]
async fn a_body_longer_than_announced_is_refused() {
    let world = World::start(1).await;
    let (shop, hook) = shop_of(&world).await;
    let path = url::Url::parse(&hook.delivery_url).unwrap().path().to_owned();
    for announced in [1, 5000] {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: relay\r\nx-wc-webhook-topic: order.updated\r\n\
             x-wc-webhook-signature: bm9uc2Vuc2U=\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             content-length: {announced}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(&vec![b'{'; 64 * KIB]).await;
        let mut answer = [0; 64];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413"), "{announced}: {answer}");
    }
    world.finish().await;
    shop.stop().await;
}
