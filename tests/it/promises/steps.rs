//! What happens in a round: steps drawn from a seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sandbox::Action;

/// The number of steps in a round.
const LENGTH: usize = 70;
/// The number of connections in a round.
pub const SIDES: usize = 3;

/// One step. `side` is the connection's index, and `nth` counts its orders modulo their number.
#[derive(Debug, Clone)]
pub enum Step {
    /// An order is placed; its webhook is sent or lost.
    Place {
        side: usize,
        is_told: bool,
    },
    /// An order is changed; its webhooks are sent or lost.
    Change {
        side: usize,
        nth: usize,
        status: u8,
        is_told: bool,
    },
    /// A webhook is sent although nothing has changed.
    Repeat {
        side: usize,
        nth: usize,
    },
    /// The operator has an order sent again.
    Resend {
        side: usize,
        nth: usize,
    },
    /// The operator has all failed orders sent again.
    ResendFailed {
        side: usize,
    },
    /// The store's calls fail in this way from now on.
    StoreFault {
        side: usize,
        action: Action,
        times: Option<u32>,
    },
    /// The destination's requests fail in this way from now on.
    SinkFault {
        side: usize,
        action: Action,
        times: Option<u32>,
    },
    /// The store's faults end.
    StoreHeals {
        side: usize,
    },
    /// The destination's faults end, including those of single orders.
    SinkHeals {
        side: usize,
    },
    /// The destination refuses one order.
    Refuse {
        side: usize,
        nth: usize,
    },
    /// The store's clock is set to this offset from the machine's.
    Clock {
        side: usize,
        skew: i64,
    },
    /// The store removes the relay's hooks.
    LoseHooks {
        side: usize,
    },
    /// The connection is paused, or made active again.
    Pause {
        side: usize,
    },
    Resume {
        side: usize,
    },
    /// The connection is ended (the app's by an uninstall), or connected again.
    Disconnect {
        side: usize,
    },
    Reconnect {
        side: usize,
    },
    /// The process is killed, and started again after a while.
    Kill {
        down: Duration,
    },
    /// The process is stopped in order and started again.
    Restart,
    /// Nothing happens for a while.
    Wait(Duration),
}

/// The steps of a round.
pub struct Script {
    pub steps: Vec<Step>,
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        // A few orders first, so that the trouble has something to affect.
        let mut steps: Vec<Step> = (0..SIDES * 2).map(|n| Step::Place { side: n % SIDES, is_told: true }).collect();
        while steps.len() < LENGTH {
            steps.push(draw(&mut rng));
            steps.push(Step::Wait(Duration::from_millis(rng.random_range(0..80))));
        }
        Self { steps }
    }
}

fn draw(rng: &mut StdRng) -> Step {
    let side = rng.random_range(0..SIDES);
    let nth = rng.random_range(0..1000);
    let status = rng.random_range(1..=12);
    let times = rng.random_bool(0.6).then(|| rng.random_range(1..6));
    match rng.random_range(0..100) {
        0..=17 => Step::Place { side, is_told: rng.random_bool(0.75) },
        18..=45 => Step::Change { side, nth, status, is_told: rng.random_bool(0.75) },
        46..=50 => Step::Repeat { side, nth },
        51..=53 => Step::Resend { side, nth },
        54 => Step::ResendFailed { side },
        55..=61 => Step::StoreFault { side, action: store_fault(rng), times },
        62..=69 => Step::SinkFault { side, action: sink_fault(rng), times },
        70..=73 => Step::StoreHeals { side },
        74..=77 => Step::SinkHeals { side },
        78..=79 => Step::Refuse { side, nth },
        80..=81 => Step::Clock { side, skew: rng.random_range(-60..=60) },
        82 => Step::LoseHooks { side },
        83..=84 => Step::Pause { side },
        85..=87 => Step::Resume { side },
        88..=90 => Step::Disconnect { side },
        91..=93 => Step::Reconnect { side },
        94..=95 => Step::Kill { down: Duration::from_millis(rng.random_range(0..300)) },
        96 => Step::Restart,
        _ => Step::Wait(Duration::from_millis(rng.random_range(100..700))),
    }
}

fn store_fault(rng: &mut StdRng) -> Action {
    match rng.random_range(0..6) {
        0 => Action::Status(503),
        1 => Action::Drop,
        2 => Action::HalfAnswer,
        3 => Action::LoseAnswer,
        4 => Action::NotJson,
        _ => Action::Slow(Duration::from_millis(rng.random_range(5..150))),
    }
}

fn sink_fault(rng: &mut StdRng) -> Action {
    match rng.random_range(0..6) {
        0 => Action::Status(503),
        1 => Action::Status(401),
        2 => Action::Drop,
        3 => Action::LoseAnswer,
        4 => Action::Status(404),
        _ => Action::Slow(Duration::from_millis(rng.random_range(5..150))),
    }
}
