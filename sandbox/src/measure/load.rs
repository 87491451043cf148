//! A load generator that costs little itself: requests rendered beforehand, one connection per lane, answers read to
//! their end.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use onetribe_relay::signature;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A store whose callbacks are sent, and the path they are sent to.
pub struct Sender<'a> {
    /// The path of the webhook URL.
    pub path: &'a str,
    /// The store's hash.
    pub store: &'a str,
    /// The client secret that signs.
    pub secret: &'a str,
}

impl Sender<'_> {
    /// A validly signed callback for an order, as the bytes of an HTTP request.
    pub fn callback(&self, order: i64) -> Vec<u8> {
        let now = crate::clock::system_clock();
        let (path, store) = (self.path, self.store);
        let body = format!(
            r#"{{"store_id":"11111","producer":"stores/{store}","scope":"store/order/created","data":{{"type":"order","id":{order}}},"hash":"{order:040x}","created_at":{now}}}"#
        );
        let id = format!("bench-{order}");
        let signature = signature::sign(self.secret, &id, now, body.as_bytes());
        format!(
            "POST {path} HTTP/1.1\r\nhost: relay\r\ncontent-type: application/json\r\nwebhook-id: {id}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Callbacks for the orders `first..first + count`.
    pub fn callbacks(&self, first: i64, count: usize) -> Vec<Vec<u8>> {
        (first..).take(count).map(|order| self.callback(order)).collect()
    }
}

/// One connection. Panics on anything but a 200 with an empty body, for then the measurement would be void.
pub struct Lane(TcpStream);

impl Lane {
    /// Connects to a port on loopback.
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the relay listens");
        stream.set_nodelay(true).expect("a connected socket takes options");
        Self(stream)
    }

    /// Sends a request and reads its answer.
    pub async fn send(&mut self, request: &[u8]) {
        self.0.write_all(request).await.expect("the relay reads");
        let mut answer = [0; 1024];
        let mut length = 0;
        while !answer[..length].ends_with(b"\r\n\r\n") {
            let read = self.0.read(&mut answer[length..]).await.expect("the relay answers");
            assert!(read > 0, "the relay closed the connection");
            length += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
}

/// Sends everything over `lanes` connections, spread over the ports. Each connection takes the next request when its
/// last one is answered, so that a slow one does not hold back a share of the requests. Returns requests per second.
pub async fn flood(ports: &[u16], requests: Vec<Vec<u8>>, lanes: usize) -> f64 {
    let count = requests.len();
    let requests = Arc::new(Mutex::new(requests.into_iter()));
    let mut opened = Vec::with_capacity(lanes);
    for port in ports.iter().copied().cycle().take(lanes) {
        opened.push(Lane::open(port).await);
    }
    let began = Instant::now();
    let lanes = opened.into_iter().map(|mut lane| {
        let requests = Arc::clone(&requests);
        let next = move || requests.lock().expect("no lane panics while it takes a request").next();
        tokio::spawn(async move {
            while let Some(request) = next() {
                lane.send(&request).await;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.expect("a lane does not panic");
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// Sends at a steady rate however slow the answers are, and returns how long each took from the moment it was due.
pub async fn pace(port: u16, requests: Vec<Vec<u8>>, per_second: u32, lanes: usize) -> Vec<Duration> {
    let between = Duration::from_secs(1) / per_second;
    let mut shares: Vec<Vec<(u32, Vec<u8>)>> = vec![Vec::new(); lanes];
    for (at, request) in (0..).zip(requests) {
        shares[at as usize % lanes].push((at, request));
    }
    let began = Instant::now() + Duration::from_millis(50);
    let lanes = shares.into_iter().map(|share| {
        tokio::spawn(async move {
            let mut lane = Lane::open(port).await;
            let mut times = Vec::with_capacity(share.len());
            for (at, request) in share {
                let due = began + between * at;
                tokio::time::sleep_until(due.into()).await;
                lane.send(&request).await;
                times.push(due.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for lane in lanes.collect::<Vec<_>>() {
        times.extend(lane.await.expect("a lane does not panic"));
    }
    times
}

/// The 99th percentile, in milliseconds.
pub fn p99_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() * 99 / 100].as_secs_f64() * 1000.0
}
