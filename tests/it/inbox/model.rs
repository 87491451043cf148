//! Any interleaving of events, claims, settlings and lost leases, held against a model of a few lines.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use onetribe_relay::{
    clock::Timestamp,
    inbox::{Accepted, Claim, Inbox, OrderState, Outcome},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::runtime::Handle;

use crate::desk::{Desk, Place, START, Told, delivered, order};

const ORDERS: std::ops::RangeInclusive<i64> = 1..=3;
const IDS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Debug, Clone)]
enum Step {
    Accept {
        order: i64,
        id: usize,
    },
    Want {
        order: i64,
        insist: bool,
    },
    Claim {
        orders: Vec<i64>,
    },
    /// Ends one of the claims in hand, however old.
    Settle {
        which: usize,
        how: Ending,
    },
    Recover,
    Resend(OrderState),
    Pass {
        seconds: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Delivered,
    Unchanged,
    Skipped,
    Refused,
    Missing,
    Deferred,
    Released,
    Failed,
    Gone,
}

fn step() -> impl Strategy<Value = Step> {
    use Ending::*;
    let how = prop::sample::select(vec![
        Delivered, Delivered, Delivered, Unchanged, Skipped, Refused, Missing, Deferred, Released, Failed, Gone,
    ]);
    prop_oneof![
        4 => (ORDERS, 0..IDS.len()).prop_map(|(order, id)| Step::Accept { order, id }),
        1 => (ORDERS, any::<bool>()).prop_map(|(order, insist)| Step::Want { order, insist }),
        4 => prop::sample::subsequence(ORDERS.collect::<Vec<_>>(), 1..=3).prop_map(|orders| Step::Claim { orders }),
        5 => (any::<usize>(), how).prop_map(|(which, how)| Step::Settle { which, how }),
        1 => Just(Step::Recover),
        1 => prop::sample::select(vec![OrderState::Failed, OrderState::Gone]).prop_map(Step::Resend),
        3 => (0u64..40).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// What one order must look like.
#[derive(Debug, Default)]
struct Expected {
    wanted: i64,
    /// The state it was last settled in, with no work since.
    settled: Option<OrderState>,
    owner: Option<i64>,
    lease_until: Option<Timestamp>,
}

struct Play {
    desk: Desk,
    now: Timestamp,
    orders: HashMap<i64, Expected>,
    in_hand: Vec<Claim>,
}

impl Play {
    fn raised(&mut self, order: i64) {
        let expected = self.orders.entry(order).or_default();
        expected.wanted += 1;
        expected.settled = None;
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Accept { order, id } => {
                let told = Told { order, id: Some(IDS[id]), hash: None, second: Some(0) };
                if self.desk.accept(told, self.now).await != Accepted::Duplicate {
                    self.raised(order);
                }
            }
            Step::Want { order, insist } => {
                self.desk.want(order, insist, self.now).await;
                self.raised(order);
            }
            Step::Claim { orders } => self.claim(&orders).await?,
            Step::Settle { which, how } => {
                if !self.in_hand.is_empty() {
                    let claim = self.in_hand.swap_remove(which % self.in_hand.len());
                    self.settle(claim, how).await?;
                }
            }
            Step::Recover => drop(self.desk.inbox.recover(self.desk.connection).await.unwrap()),
            Step::Resend(state) => {
                self.desk.inbox.want_all(self.desk.connection, state, self.now).await.unwrap();
                let settled = self.orders.iter().filter(|(_, expected)| expected.settled == Some(state));
                let settled: Vec<i64> = settled.map(|(order, _)| *order).collect();
                settled.into_iter().for_each(|order| self.raised(order));
            }
            Step::Pass { seconds } => self.now = self.now.after(Duration::from_secs(seconds)),
        }
        self.compare().await
    }

    async fn claim(&mut self, orders: &[i64]) -> Result<(), TestCaseError> {
        for claim in self.desk.try_claim(orders, self.now).await {
            let expected = self.orders.entry(claim.order.get()).or_default();
            prop_assert!(expected.settled.is_none(), "{claim:?} for no work");
            prop_assert!(expected.lease_until.is_none_or(|until| until <= self.now), "{claim:?} while it is leased");
            prop_assert_eq!(claim.seen, expected.wanted);
            (expected.owner, expected.lease_until) = (Some(claim.owner), Some(claim.lease_until));
            self.in_hand.push(claim);
        }
        Ok(())
    }

    async fn settle(&mut self, claim: Claim, how: Ending) -> Result<(), TestCaseError> {
        let later = self.now.after(Duration::from_secs(20));
        let error = "seen".to_owned();
        let (outcome, state) = match how {
            Ending::Delivered => (delivered(1, self.now), Some(OrderState::Delivered)),
            Ending::Unchanged => {
                let digest = crate::desk::digest(1);
                let outcome = Outcome::Delivered { digest, fetched_at: self.now, forwarded: false };
                (outcome, Some(OrderState::Delivered))
            }
            Ending::Skipped => (Outcome::Skipped { fetched_at: self.now }, Some(OrderState::Skipped)),
            Ending::Refused => (Outcome::Refused { retry_at: later, error }, None),
            Ending::Missing => (Outcome::Missing { retry_at: later, error }, None),
            Ending::Deferred => (Outcome::Deferred { retry_at: later, error, until_recovery: true }, None),
            Ending::Released => (Outcome::Released, None),
            Ending::Failed => (Outcome::Failed { error }, Some(OrderState::Failed)),
            Ending::Gone => (Outcome::Gone { error }, Some(OrderState::Gone)),
        };
        let expected = self.orders.entry(claim.order.get()).or_default();
        let owns = expected.owner == Some(claim.owner);
        if owns {
            (expected.owner, expected.lease_until) = (None, None);
            // What came in since the claim has not been fetched: it is never taken for delivered.
            expected.settled = state.filter(|_| expected.wanted == claim.seen);
        }
        let settled = self.desk.settle(claim, outcome, self.now).await;
        prop_assert_eq!(settled, owns);
        Ok(())
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        let rows = self.desk.rows(None).await;
        for (id, expected) in self.orders.iter().filter(|(_, expected)| expected.wanted > 0) {
            let row = rows.iter().find(|row| row.order_id == order(*id));
            let row = row.ok_or_else(|| TestCaseError::fail(format!("order {id} is lost")))?;
            prop_assert_eq!(row.state, expected.settled.unwrap_or(OrderState::Pending), "order {}", id);
            prop_assert_eq!(row.next_attempt_at.is_some(), expected.settled.is_none(), "order {}", id);
            prop_assert_eq!(row.waiting_since.is_some(), expected.settled.is_none(), "order {}", id);
        }
        Ok(())
    }

    /// From any state, a day of working far sides ends everything.
    async fn finish(&mut self) -> Result<(), TestCaseError> {
        self.now = self.now.after(Duration::from_secs(86_400));
        let ids: Vec<i64> = ORDERS.collect();
        self.claim(&ids).await?;
        for claim in std::mem::take(&mut self.in_hand) {
            self.settle(claim, Ending::Delivered).await?;
        }
        self.compare().await?;
        let pending = self.desk.rows(Some(OrderState::Pending)).await;
        prop_assert!(pending.is_empty(), "{pending:?}");
        Ok(())
    }
}

async fn play(inbox: Arc<dyn Inbox>, number: u32, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let connection = inbox.connection("play", &number.to_string(), START).await.unwrap();
    let desk = Desk { inbox, connection };
    let mut play = Play { desk, now: START, orders: HashMap::new(), in_hand: Vec::new() };
    for step in steps {
        play.take(step).await?;
    }
    play.finish().await
}

pub async fn any_interleaving_ends_well(place: Place) {
    let inbox = place.open().await;
    let number = AtomicU32::new(0);
    tokio::task::block_in_place(|| {
        let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
        let played = TestRunner::new(config).run(&prop::collection::vec(step(), 1..40), |steps| {
            Handle::current().block_on(play(inbox.clone(), number.fetch_add(1, Ordering::Relaxed), steps))
        });
        if let Err(failed) = played {
            panic!("{failed}");
        }
    });
}
