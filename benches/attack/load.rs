//! Genuine webhooks during an attack: their latency and losses.

use std::time::{Duration, Instant};

use sandbox::{Event, Scope, SendOptions, send_once};

use super::target::Target;

/// The results of genuine webhooks.
pub struct Genuine {
    /// The latencies, sorted.
    times: Vec<Duration>,
    pub refused: usize,
}

impl Genuine {
    /// Sends this many webhooks per second for a while.
    pub async fn send(target: &Target, per_second: u32, time: Duration) -> Self {
        let began = Instant::now();
        let mut sent = tokio::task::JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        while began.elapsed() < time {
            ticks.tick().await;
            let (client, url, secret) = (target.client.clone(), target.url("/webhooks/bigcommerce"), target.secret());
            let order = target.store.place_order_silently(None, 11);
            sent.spawn(async move {
                let (event, options) = (Event::new(Scope::Created, order), SendOptions::default());
                let began = Instant::now();
                let post = send_once(&client, &url, &secret, &event, &options);
                let status = tokio::time::timeout(Duration::from_secs(20), post).await;
                (matches!(status, Ok(Ok(200))), began.elapsed())
            });
        }
        let (mut times, mut refused) = (Vec::new(), 0);
        while let Some(done) = sent.join_next().await {
            let (was_taken, time) = done.unwrap();
            refused += usize::from(!was_taken);
            times.push(time);
        }
        times.sort_unstable();
        Self { times, refused }
    }

    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// The 99th percentile of the latencies.
    pub fn p99(&self) -> Duration {
        self.times[(self.times.len() * 99 / 100).min(self.times.len() - 1)]
    }
}

pub fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}
