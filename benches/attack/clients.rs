//! Clients that are slow, hostile or numerous.

use std::time::{Duration, Instant};

use sandbox::relay::ADMIN_TOKEN;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    Row,
    load::{Genuine, millis},
    target::Target,
};

const PAGE: &[u8] = b"GET /integration HTTP/1.1\r\nHost: relay\r\nAccept: text/html\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

/// Writes until the relay reads no more; the connection stays open.
async fn pipeline(mut stream: TcpStream, requests: Vec<u8>) -> TcpStream {
    let _ = tokio::time::timeout(5 * SECOND, stream.write_all(&requests)).await;
    stream
}

async fn open_pipelines(target: &Target, clients: usize, requests: usize) -> Vec<TcpStream> {
    let mut opening = JoinSet::new();
    for _ in 0..clients {
        let stream = target.connect().await.unwrap();
        opening.spawn(pipeline(stream, PAGE.repeat(requests)));
    }
    let mut open = Vec::new();
    while let Some(stream) = opening.join_next().await {
        open.push(stream.unwrap());
    }
    open
}

/// 100 clients pipeline 2,000 requests for a page each, and read nothing.
pub async fn pipelines() -> Vec<Row> {
    // At most 900 MB of address space.
    let mut target = Target::start_under("ulimit -v 900000", &[]).await;
    Genuine::send(&target, 20, SECOND).await;
    target.forget_peak();
    let before = target.resident_mib();
    let open = open_pipelines(&target, 100, 2000).await;
    let genuine = Genuine::send(&target, 20, 5 * SECOND).await;
    let lost = genuine.refused + usize::from(!target.is_alive());
    let growth = target.peak_mib() - before;
    drop(open);
    let figure = format!("{growth:.1} MiB more, p99 {}", millis(genuine.p99()));
    vec![Row::of("100 clients pipeline 2,000 pages each, unread", 200_000, lost).with(
        figure,
        "<= 50 MiB more",
        growth <= 50.0,
    )]
}

/// One connection with 20,000 pipelined requests.
pub async fn one_pipeline() -> Vec<Row> {
    let target = Target::start(&[]).await;
    let open = open_pipelines(&target, 1, 20_000).await;
    let (before, began) = (target.processor(), Instant::now());
    tokio::time::sleep(10 * SECOND).await;
    let share = (target.processor() - before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    drop(open);
    let figure = format!("{share:.1} % of a core");
    vec![Row::of("one connection pipelines 20,000 requests, unread", 20_000, 0).with(figure, "< 5 %", share < 5.0)]
}

/// Places so many orders that the answer listing them does not fit into the socket buffers.
async fn long_list(target: &Target) {
    for _ in 0..25 {
        Genuine::send(target, 200, Duration::from_millis(100)).await;
    }
}

async fn who_never_read(target: &Target, with_password: bool) -> Vec<TcpStream> {
    let request = match with_password {
        true => format!(
            "GET /orders?limit=500 HTTP/1.1\r\nHost: relay\r\nAccept: application/json\r\n\
             Authorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
        ),
        false => String::from_utf8_lossy(PAGE).into_owned(),
    };
    let mut open = Vec::new();
    for _ in 0..200 {
        let stream = target.connect().await.unwrap();
        open.push(pipeline(stream, request.repeat(20).into_bytes()).await);
    }
    open
}

/// How many connections on the relay's port it still holds.
fn held(target: &Target) -> usize {
    let port = format!("{:04X}", target.port);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_own = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The relay's end of a connection that is established (01), or that the client has closed (08).
        fields[1].ends_with(&format!(":{port}")) && matches!(fields[3], "01" | "08")
    };
    table.lines().skip(1).filter(is_own).count()
}

/// 200 clients that never read their answers, with a password and without.
pub async fn unread() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, with_password) in [("without a password", false), ("with a password", true)] {
        let target = Target::start(&[]).await;
        long_list(&target).await;
        target.forget_peak();
        let before = target.resident_mib();
        // The connection of the client that made the list long.
        let own = held(&target);
        let open = who_never_read(&target, with_password).await;
        let began = Instant::now();
        while held(&target) > own && began.elapsed() < 45 * SECOND {
            tokio::time::sleep(SECOND / 4).await;
        }
        let (left, took) = (held(&target).saturating_sub(own), began.elapsed());
        let growth = target.peak_mib() - before;
        drop(open);
        let figure = format!("gone after {:.1} s, {growth:.1} MiB more", took.as_secs_f64());
        let is_reached = left == 0 && took <= 30 * SECOND;
        rows.push(
            Row::of(&format!("200 clients never read their answers, {what}"), 200, left)
                .with(figure, "<= 30 s", is_reached),
        );
    }
    rows
}

/// SIGTERM while clients are connected that never read.
pub async fn drain() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, with_password) in [("without a password", false), ("with a password", true)] {
        let mut target = Target::start(&[]).await;
        long_list(&target).await;
        let open = who_never_read(&target, with_password).await;
        target.signal("TERM");
        let began = Instant::now();
        while target.is_alive() && began.elapsed() < 40 * SECOND {
            tokio::time::sleep(SECOND / 100).await;
        }
        let took = began.elapsed();
        drop(open);
        let figure = format!("{:.1} s", took.as_secs_f64());
        rows.push(Row::of(&format!("SIGTERM beside 200 that never read, {what}"), 200, 0).with(
            figure,
            "<= 5 s",
            took <= 5 * SECOND,
        ));
    }
    rows
}

/// 1,200 connections that idle after one cheap request or without any, with a limit of 1,024 open files.
pub async fn idle() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, is_silent) in [("after one cheap request", false), ("before they say anything", true)] {
        let target = Target::start_under("ulimit -n 1024", &[]).await;
        let mut open = Vec::new();
        for _ in 0..1200 {
            let connected = tokio::time::timeout(SECOND, TcpStream::connect(("127.0.0.1", target.port))).await;
            let Ok(Ok(mut stream)) = connected else { continue };
            if !is_silent {
                let _ = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: relay\r\n\r\n").await;
            }
            open.push(stream);
        }
        let genuine = Genuine::send(&target, 20, 5 * SECOND).await;
        let ready = target.client.get(target.url("/health/ready")).timeout(5 * SECOND).send().await;
        let lost = genuine.refused + usize::from(!ready.is_ok_and(|ready| ready.status() == 200));
        // A silent client keeps its connection until the timeout for a request's head.
        let most = if is_silent { 15 * SECOND } else { SECOND };
        let goal = format!("p99 <= {} s", most.as_secs());
        let figure = format!("p99 {}", millis(genuine.p99()));
        rows.push(Row::of(&format!("1,200 connections idle {what}, 1,024 files"), genuine.count(), lost).with(
            figure,
            &goal,
            genuine.p99() <= most,
        ));
        drop(open);
    }
    rows
}

/// 3,500 bodies of 60 KB that stop halfway.
pub async fn slow_bodies() -> Vec<Row> {
    let target = Target::start(&[]).await;
    let half = "x".repeat(30_000);
    let request = format!(
        "POST /webhooks/bigcommerce HTTP/1.1\r\nHost: relay\r\nwebhook-id: id\r\nContent-Length: 60000\r\n\r\n{half}"
    );
    let mut open = Vec::new();
    for _ in 0..3500 {
        let Ok(Ok(mut stream)) = tokio::time::timeout(SECOND, TcpStream::connect(("127.0.0.1", target.port))).await
        else {
            continue;
        };
        let _ = tokio::time::timeout(SECOND, stream.write_all(request.as_bytes())).await;
        open.push(stream);
    }
    let genuine = Genuine::send(&target, 20, 3 * SECOND).await;
    let peak = target.peak_mib();
    let answered = open.len();
    drop(open);
    let figure = format!("{peak:.1} MiB in all, p99 {}", millis(genuine.p99()));
    let is_reached = peak <= 100.0 && genuine.p99() <= SECOND;
    vec![Row::of("3,500 bodies of 60 KB that stop halfway", answered, genuine.refused).with(
        figure,
        "<= 100 MiB, p99 <= 1 s",
        is_reached,
    )]
}

/// A log written to a pipe that is never read.
pub async fn unread_log() -> Vec<Row> {
    let target = Target::start(&[("RUST_LOG", "debug")]).await;
    let genuine = Genuine::send(&target, 200, 10 * SECOND).await;
    let mut answer = String::new();
    let mut stream = target.connect().await.unwrap();
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").await.unwrap();
    let _ = tokio::time::timeout(5 * SECOND, stream.read_to_string(&mut answer)).await;
    let lost = genuine.refused + usize::from(!answer.starts_with("HTTP/1.1 200"));
    let figure = format!("p99 {}", millis(genuine.p99()));
    vec![Row::of("webhooks while nobody reads the log (debug, 64 KiB)", genuine.count(), lost).with(
        figure,
        "p99 <= 1 s",
        genuine.p99() <= SECOND,
    )]
}
