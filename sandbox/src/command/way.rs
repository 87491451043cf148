//! The way of each order through the relay, as the two simulators see it: one line for each refusal by One Tribe and
//! one for its arrival.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use sandbox::{OneTribeSim, Sender, StoreSim};

use super::output::{Output, span};

/// When each order was placed, and what has been printed about it so far.
#[derive(Debug, Default)]
pub struct Ways {
    placed: HashMap<i64, Instant>,
    /// Orders whose webhook was not sent.
    silent: HashSet<i64>,
    arrived: usize,
    refused: usize,
}

impl Ways {
    /// Records that the order was placed at `at`, a moment before its webhook could be sent.
    pub fn placed(&mut self, order: i64, at: Instant) {
        self.placed.insert(order, at);
    }

    /// Records the same for an order whose webhook is lost.
    pub fn placed_silently(&mut self, order: i64, at: Instant) {
        self.placed.insert(order, at);
        self.silent.insert(order);
    }

    /// How many orders were placed.
    pub fn count(&self) -> usize {
        self.placed.len()
    }

    /// Prints a line for everything new.
    pub fn show(&mut self, store: &StoreSim, sink: &OneTribeSim, sender: &Sender, out: &Output) {
        let refused: Vec<_> =
            sink.received().into_iter().filter(|one| one.answered.is_some_and(|status| status / 100 == 4)).collect();
        for one in refused.iter().skip(self.refused) {
            if let (Some(began), Some(status)) = (self.placed.get(&one.order_id), one.answered) {
                let after = span(one.started.saturating_duration_since(*began));
                out.line(format_args!("order {}   refused by One Tribe ({status}) {after}", one.order_id));
            }
        }
        self.refused = refused.len();
        let accepted = sink.accepted();
        if accepted.len() == self.arrived {
            return;
        }
        let acknowledged: HashMap<i64, Instant> =
            sender.acknowledged().into_iter().map(|one| (one.order, one.at)).collect();
        for one in accepted.iter().skip(self.arrived) {
            let Some(began) = self.placed.get(&one.order_id) else { continue };
            let since = |at: Instant| span(at.saturating_duration_since(*began));
            let kept = match acknowledged.get(&one.order_id) {
                _ if self.silent.contains(&one.order_id) => "webhook    lost".to_owned(),
                Some(at) => format!("webhook {}", since(*at)),
                // Delivered before the sender had read the answer to the webhook.
                None => format!("webhook {}", since(one.started)),
            };
            let fetched = fetched_at(store, one.order_id, one.started).unwrap_or(one.started);
            out.line(format_args!(
                "order {}   {kept}   fetched {}   at One Tribe {}",
                one.order_id,
                since(fetched),
                since(one.started)
            ));
        }
        self.arrived = accepted.len();
    }
}

/// When the call began that fetched the order, alone or in a list, last before `until`.
fn fetched_at(store: &StoreSim, order: i64, until: Instant) -> Option<Instant> {
    let single = format!("/v2/orders/{order}");
    let calls = store.calls();
    let brings = |path: &str| path.ends_with(&single) || path.contains("/v2/orders?");
    calls.iter().rev().find(|call| call.at <= until && brings(&call.path_and_query)).map(|call| call.at)
}
