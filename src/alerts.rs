//! Alerts: one message when something needs a person, and one when it is over, posted to `ALERT_URL` as `{"text": …}`.
//!
//! Here are the conditions and the ledger of what has been told, both pure; `watcher` looks, posts and tries again.

mod watcher;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    check::{LONG_WAIT, meanwhile},
    clock::Timestamp,
    http::Seen,
    retry::Standing,
    words,
};

pub use watcher::Watcher;

/// A destination that is down for less than this may come back before anybody has read of it.
const DOWN_TOO_LONG: Duration = Duration::from_secs(300);
/// Hooks that cannot be looked after for less than this are tried again meanwhile, and polling finds the orders.
const HOOKS_TOO_LONG: Duration = Duration::from_secs(300);
/// A condition is over when it has not been seen for this long: one that comes and goes is one condition.
const QUIET: Duration = Duration::from_secs(60);

/// What a person has to know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// BigCommerce refuses the access token, or its right to read orders.
    CredentialsRefused,
    /// The webhooks cannot be made or put right.
    HooksNotMendable,
    /// The destination takes no orders.
    DestinationDown,
    /// Orders have been refused for so long that they are no longer tried.
    OrderFailed,
    /// Orders wait for too long.
    WaitingLong,
}

impl Condition {
    const ALL: [Self; 5] =
        [Self::CredentialsRefused, Self::HooksNotMendable, Self::DestinationDown, Self::OrderFailed, Self::WaitingLong];

    /// As the ledger is kept.
    fn name(self) -> &'static str {
        match self {
            Self::CredentialsRefused => "credentials_refused",
            Self::HooksNotMendable => "hooks_not_mendable",
            Self::DestinationDown => "destination_down",
            Self::OrderFailed => "order_failed",
            Self::WaitingLong => "waiting_long",
        }
    }

    fn over(self) -> &'static str {
        match self {
            Self::CredentialsRefused => "BigCommerce takes the relay's access token again.",
            Self::HooksNotMendable => "The webhooks are in place again.",
            Self::DestinationDown => "One Tribe takes orders again. What waited is being delivered.",
            Self::OrderFailed => "No failed orders are left.",
            Self::WaitingLong => "No order waits for long any more.",
        }
    }
}

/// What is known when somebody looks.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whether the store takes the credentials, or the status with which it refuses them.
    pub credentials: Standing<u16>,
    /// Whether the hooks can be looked after, or since when they cannot, and why.
    pub hooks: Standing<(Timestamp, String)>,
    /// Whether orders are found by polling.
    pub polling: bool,
    /// Whether the destination takes orders, or since when it does not, and what was seen last.
    pub destination: Standing<(Timestamp, Seen)>,
    /// Orders refused for too long.
    pub failed: u64,
    /// Orders that wait.
    pub waiting: u64,
    /// Since when the oldest of them does.
    pub oldest_waiting: Option<Timestamp>,
}

/// What is to be thought of each condition at some time; of those that are not here, that they do not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Worth telling, each with its sentence. Nothing in them is secret or personal.
    pub holding: BTreeMap<Condition, String>,
    /// Neither worth telling nor known to be over: seen for a short while only, or not looked at since the start.
    pub open: BTreeSet<Condition>,
}

impl Conditions {
    fn may_hold(&self, condition: Condition) -> bool {
        self.holding.contains_key(&condition) || self.open.contains(&condition)
    }
}

/// What is to be thought of `facts` at `now`.
pub fn conditions(facts: &Facts, now: Timestamp) -> Conditions {
    let mut found = BTreeMap::new();
    let mut open = BTreeSet::new();
    let waiting = words::count(facts.waiting, "order");
    let are = words::are(facts.waiting);
    match facts.credentials {
        Standing::Well => {}
        Standing::Unknown => drop(open.insert(Condition::CredentialsRefused)),
        Standing::Trouble(status) => {
            let said = format!(
                "BigCommerce refuses the relay's access token (HTTP {status}): orders cannot be fetched. Set BIGCOMMERCE_ACCESS_TOKEN anew."
            );
            found.insert(Condition::CredentialsRefused, said);
        }
    }
    // Refused credentials are reason enough for hooks that cannot be mended.
    let refused = matches!(facts.credentials, Standing::Trouble(_));
    match &facts.hooks {
        Standing::Well => {}
        Standing::Trouble((since, why)) if !refused && now.since(*since) >= HOOKS_TOO_LONG => {
            let span = words::span(now.since(*since));
            let meanwhile = meanwhile(facts.polling);
            found.insert(
                Condition::HooksNotMendable,
                format!("The webhooks could not be put right for {span}: {why}. {meanwhile}"),
            );
        }
        Standing::Unknown | Standing::Trouble(_) => drop(open.insert(Condition::HooksNotMendable)),
    }
    match facts.destination {
        Standing::Well => {}
        Standing::Trouble((since, seen)) if now.since(since) >= DOWN_TOO_LONG => {
            let span = words::span(now.since(since));
            let said = format!(
                "One Tribe has not been taking orders for {span} ({seen}). {waiting} {are} waiting; none is lost."
            );
            found.insert(Condition::DestinationDown, said);
        }
        Standing::Unknown | Standing::Trouble(_) => drop(open.insert(Condition::DestinationDown)),
    }
    if facts.failed > 0 {
        let failed = words::count(facts.failed, "order");
        let themselves = if facts.failed == 1 { "itself" } else { "themselves" };
        let said = format!(
            "{failed} could not be delivered and will not be tried again by {themselves}. Resend from the status page."
        );
        found.insert(Condition::OrderFailed, said);
    }
    if let Some(waited) = facts.oldest_waiting.map(|since| now.since(since)).filter(|waited| *waited >= LONG_WAIT) {
        let said = format!("{waiting} {are} waiting, the oldest for {}. None is lost.", words::span(waited));
        found.insert(Condition::WaitingLong, said);
    }
    Conditions { holding: found, open }
}

/// One message to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Of what.
    pub condition: Condition,
    /// Whether it is over.
    pub over: bool,
    /// What is said.
    pub text: String,
}

/// What has been told, and what has gone quiet since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    told: BTreeSet<Condition>,
    quiet_since: BTreeMap<Condition, Timestamp>,
}

impl Ledger {
    /// As it was kept.
    pub fn read(kept: &str) -> Self {
        let told = kept.split(',').filter_map(|name| Condition::ALL.into_iter().find(|known| known.name() == name));
        Self { told: told.collect(), quiet_since: BTreeMap::new() }
    }

    /// As it is to be kept.
    pub fn write(&self) -> String {
        self.told.iter().map(|condition| condition.name()).collect::<Vec<_>>().join(",")
    }

    /// What has to be told now. The same again, until [`Ledger::tell`] says that it was.
    pub fn due(&mut self, found: &Conditions, now: Timestamp) -> Vec<Message> {
        self.quiet_since.retain(|condition, _| self.told.contains(condition) && !found.may_hold(*condition));
        let begun = found.holding.iter().filter(|(condition, _)| !self.told.contains(condition));
        let begun = begun.map(|(condition, text)| Message { condition: *condition, over: false, text: text.clone() });
        let mut due: Vec<Message> = begun.collect();
        for condition in self.told.iter().filter(|condition| !found.may_hold(**condition)) {
            let since = *self.quiet_since.entry(*condition).or_insert(now);
            if now.since(since) >= QUIET {
                due.push(Message { condition: *condition, over: true, text: condition.over().to_owned() });
            }
        }
        due
    }

    /// A message has arrived.
    pub fn tell(&mut self, message: &Message) {
        if message.over {
            self.told.remove(&message.condition);
            self.quiet_since.remove(&message.condition);
        } else {
            self.told.insert(message.condition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn ago(seconds: u64) -> Timestamp {
        NOW.before(Duration::from_secs(seconds))
    }

    #[test]
    fn each_condition_begins_where_it_should() {
        use Condition::*;
        let failing = |seconds| Standing::Trouble((ago(seconds), "BigCommerce: HTTP 422".to_owned()));
        let down = |seconds| Standing::Trouble((ago(seconds), Seen::Status(503)));
        let refused = Standing::Trouble(401);
        let none = Facts::default();
        let cases = [
            (none.clone(), vec![]),
            (Facts { credentials: refused.clone(), ..none.clone() }, vec![CredentialsRefused]),
            (Facts { credentials: refused, hooks: failing(900), ..none.clone() }, vec![CredentialsRefused]),
            (Facts { hooks: failing(299), ..none.clone() }, vec![]),
            (Facts { hooks: failing(300), ..none.clone() }, vec![HooksNotMendable]),
            (Facts { destination: down(299), ..none.clone() }, vec![]),
            (Facts { destination: down(300), ..none.clone() }, vec![DestinationDown]),
            (Facts { failed: 1, ..none.clone() }, vec![OrderFailed]),
            (Facts { waiting: 1, oldest_waiting: Some(ago(899)), ..none.clone() }, vec![]),
            (Facts { waiting: 1, oldest_waiting: Some(ago(900)), ..none.clone() }, vec![WaitingLong]),
            (Facts { failed: 2, destination: down(400), ..none.clone() }, vec![DestinationDown, OrderFailed]),
        ];
        for (facts, wanted) in cases {
            let found: Vec<_> = conditions(&facts, NOW).holding.into_keys().collect();
            assert_eq!(found, wanted, "{facts:?}");
        }
        for (failed, said) in [
            (1, "1 order could not be delivered and will not be tried again by itself. Resend from the status page."),
            (
                2,
                "2 orders could not be delivered and will not be tried again by themselves. Resend from the status page.",
            ),
        ] {
            assert_eq!(conditions(&Facts { failed, ..none.clone() }, NOW).holding[&OrderFailed], said);
        }
        let facts = Facts { destination: down(400), waiting: 1, ..none };
        let said = "One Tribe has not been taking orders for 6 minutes (HTTP 503). 1 order is waiting; none is lost.";
        assert_eq!(conditions(&facts, NOW).holding[&DestinationDown], said);
    }

    #[test]
    fn what_was_told_is_over_once_it_is_known_to_be_and_not_before() {
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        let facts = |destination| Facts { destination, hooks: Standing::Well, ..Facts::default() };
        let down = |since| facts(Standing::Trouble((since, Seen::Status(503))));
        let mut ledger = Ledger::default();
        let told = ledger.due(&conditions(&down(ago(400)), NOW), NOW);
        ledger.tell(&told[0]);
        // Another process looks now: it has seen nothing yet, then sees the same for a short while.
        for seconds in [0, 100] {
            assert_eq!(ledger.due(&conditions(&facts(Standing::Unknown), at(seconds)), at(seconds)), []);
        }
        for seconds in [105, 200, 404, 405, 900] {
            assert_eq!(ledger.due(&conditions(&down(at(105)), at(seconds)), at(seconds)), []);
        }
        assert_eq!(ledger.due(&conditions(&facts(Standing::Well), at(905)), at(905)), []);
        let over = ledger.due(&conditions(&facts(Standing::Well), at(965)), at(965));
        assert_eq!((over.len(), over[0].over), (1, true));
    }

    #[test]
    fn one_message_when_it_begins_and_one_when_it_is_over() {
        let failed = |count| conditions(&Facts { failed: count, ..Facts::default() }, NOW);
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        let mut ledger = Ledger::default();
        let first = ledger.due(&failed(1), at(0));
        assert_eq!((first.len(), first[0].over), (1, false));
        // Not told yet: the receiver was away. The newest words are told then.
        let second = ledger.due(&failed(2), at(5));
        assert!(second[0].text.starts_with("2 orders"), "{second:?}");
        ledger.tell(&second[0]);
        assert_eq!(ledger.due(&failed(50), at(10)), []);
        // Gone for a moment, and back: still the same.
        assert_eq!(ledger.due(&failed(0), at(15)), []);
        assert_eq!(ledger.due(&failed(1), at(60)), []);
        assert_eq!(ledger.due(&failed(0), at(65)), []);
        assert_eq!(ledger.due(&failed(0), at(124)), []);
        // A restart in between changes nothing but the quiet time.
        let mut ledger = Ledger::read(&ledger.write());
        assert_eq!(ledger.due(&failed(0), at(125)), []);
        let over = ledger.due(&failed(0), at(185));
        assert_eq!((over.len(), over[0].over, &*over[0].text), (1, true, "No failed orders are left."));
        ledger.tell(&over[0]);
        assert_eq!(ledger.due(&failed(0), at(999)), []);
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn what_is_over_before_it_could_be_told_is_not_told() {
        let mut ledger = Ledger::default();
        let failed = conditions(&Facts { failed: 1, ..Facts::default() }, NOW);
        assert_eq!(ledger.due(&failed, NOW).len(), 1);
        assert_eq!(ledger.due(&Conditions::default(), NOW.after(QUIET * 2)), []);
    }

    #[test]
    fn the_ledger_is_kept_and_read_back() {
        let mut ledger = Ledger::default();
        for condition in Condition::ALL {
            ledger.tell(&Message { condition, over: false, text: String::new() });
            assert_eq!(Ledger::read(&ledger.write()), ledger);
        }
        assert_eq!(Ledger::read("something_of_a_newer_relay,"), Ledger::default());
    }
}
