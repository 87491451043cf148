//! Clients that send more than they read.

use std::time::Duration;

use sandbox::relay::ADMIN_TOKEN;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::relay::world::World;

/// Sends everything at once and reads until the connection ends, or for a while.
async fn answers(world: &World, requests: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    // The relay may have closed the connection before it has read everything.
    let _ = stream.write_all(requests.as_bytes()).await;
    let mut said = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said)).await.expect("it is closed");
    String::from_utf8_lossy(&said).into_owned()
}

fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: relay\r\nAccept: text/html\r\n{headers}\r\n")
}

#[actix_web::test]
async fn a_stranger_gets_one_answer_on_a_connection_however_much_he_sends() {
    let world = World::start().await;
    for (path, status) in [
        ("/integration", 401),
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/webhooks/nobody", 405),
        ("/nowhere", 404),
        ("/integration/echo?nonce=1", 200),
        ("/woocommerce/connected", 400),
    ] {
        let said = answers(&world, &request(path, "").repeat(500)).await;
        let mut heads = said.matches("HTTP/1.1 ");
        assert!(heads.next().is_some(), "{path}: {said}");
        let status_line = said.lines().next().unwrap();
        assert!(path == "/woocommerce/connected" || status_line.contains(&status.to_string()), "{path}: {said}");
        assert!(said.to_ascii_lowercase().contains("connection: close"), "{path}: {said}");
        // Only the head of a second answer may follow, and no complete one.
        assert!(heads.count() <= 1 && !said.ends_with("0\r\n\r\n"), "{path}: {said}");
    }
    world.finish().await;
}

#[actix_web::test]
async fn whoever_has_the_password_keeps_his_connection() {
    let world = World::start().await;
    let authorization = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n");
    let last = format!("{authorization}Connection: close\r\n");
    let requests = request("/orders", &authorization).repeat(3) + &request("/orders", &last);
    let said = answers(&world, &requests).await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 4, "{said}");
    world.finish().await;
}
