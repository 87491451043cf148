//! Long lists of signatures: how much verifying them delays other clients.

use std::time::Duration;

use onetribe_relay::signature;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use super::{
    Row,
    load::{Genuine, millis},
    target::Target,
};

const SENDERS: usize = 64;
const TIME: Duration = Duration::from_secs(12);

/// 64 forgers with one wrong signature each, then with 2,040 empty ones, then with 160 complete ones.
pub async fn beside_others() -> Vec<Row> {
    let target = Target::start(&[]).await;
    let forged = signature::sign("another secret", "id", 1, b"{}");
    let (plain, plain_sent) = beside(&target, &forged).await;
    let empty = vec!["v1,"; 2040].join(" ");
    let (listed, listed_sent) = beside(&target, &empty).await;
    let full = vec![forged.as_str(); 160].join(" ");
    let (long, long_sent) = beside(&target, &full).await;
    let ratio = |genuine: &Genuine| genuine.p99().as_secs_f64() / plain.p99().as_secs_f64();
    let row = |what, sent, genuine: &Genuine| {
        let figure = format!("p99 {}, {:.1} times", millis(genuine.p99()), ratio(genuine));
        Row::of(what, sent, genuine.refused).with(figure, "<= 3 times the plain", ratio(genuine) <= 3.0)
    };
    let figure = format!("p99 {}", millis(plain.p99()));
    vec![
        Row::of("genuine webhooks beside 64 plain forgers, bodies of 64 KiB", plain_sent, plain.refused)
            .with(figure, "", true),
        row("beside 64 forgers with 2,040 empty entries each", listed_sent, &listed),
        row("beside 64 forgers with 160 whole entries each", long_sent, &long),
    ]
}

async fn beside(target: &Target, signature: &str) -> (Genuine, usize) {
    let now = sandbox::clock::system_clock();
    let body = "x".repeat(64 * 1024);
    let request = format!(
        "POST /webhooks/bigcommerce HTTP/1.1\r\nHost: relay\r\nwebhook-id: id\r\nwebhook-timestamp: {now}\r\n\
         webhook-signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let request: std::sync::Arc<[u8]> = request.into_bytes().into();
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (request, port) = (request.clone(), target.port);
        senders.spawn(async move {
            let began = std::time::Instant::now();
            let mut sent = 0;
            while began.elapsed() < TIME {
                let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let mut answer = Vec::new();
                let whole = stream.write_all(&request).await.is_ok() && stream.read_to_end(&mut answer).await.is_ok();
                if whole {
                    assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
                    sent += 1;
                }
            }
            sent
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let genuine = Genuine::send(target, 40, TIME - Duration::from_secs(2)).await;
    let mut sent = 0;
    while let Some(of_one) = senders.join_next().await {
        sent += of_one.unwrap();
    }
    (genuine, sent)
}
