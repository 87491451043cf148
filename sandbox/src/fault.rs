//! Faults that a test adds and removes while a simulator runs: what goes wrong, for which calls, how often.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::barrier::Barrier;

/// A kind of call to a simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `GET v2/orders/{id}`
    OrderSingle,
    /// `GET v2/orders`
    OrderList,
    /// `GET v2/orders/count`
    OrderCount,
    /// `GET v2/time`
    Time,
    /// `GET v2/store`
    StoreInformation,
    /// Everything below `v2/hooks` and `v3/hooks`
    Hooks,
    /// An order posted to One Tribe.
    Delivery,
    /// A code exchanged for a token at the login server.
    Token,
    /// In a fault or a query: every kind. In a record: a call of none of the other kinds.
    Any,
}

impl Operation {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = Self::Any as usize + 1;
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Answers with this status and does nothing.
    Status(u16),
    /// Answers 302 with this location and does nothing.
    Redirect(String),
    /// Cuts the connection without an answer and does nothing.
    Drop,
    /// Waits for the release, then does the work: the answer shows the state at the release.
    Hold,
    /// Does the work, then waits for the release: the answer shows the state at the request.
    HoldAnswer,
    /// Waits, then does the work.
    Slow(Duration),
    /// Does the work and sends the answer's body in small pieces over this time.
    Drip(Duration),
    /// Does the work, announces the whole answer, sends half of it and cuts the connection.
    HalfAnswer,
    /// Does the work, then cuts the connection without an answer.
    LoseAnswer,
    /// Answers this and does nothing.
    Say {
        /// The status.
        status: u16,
        /// The `Content-Type`.
        kind: &'static str,
        /// The body.
        body: &'static str,
    },
    /// Answers 200 with a page that is not JSON.
    NotJson,
    /// Does the work and sends the answer's body in this coding, whether or not the client accepts it.
    Coded(Coding),
    /// Does the work and puts this text before the body, as PHP does with notices.
    Prefix(&'static str),
    /// Answers with another order's object. Only for [`Operation::OrderSingle`].
    AnotherOrder,
    /// Answers 200 with a body of more than 8 MiB.
    Oversized {
        /// Whether a `Content-Length` announces the size.
        announced: bool,
    },
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `Content-Encoding: gzip`
    Gzip,
    /// `Content-Encoding: deflate`
    Deflate,
}

/// What a list call asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The page size that was asked for.
    pub(crate) limit: usize,
    /// The ids of the orders on the page.
    pub(crate) orders: Vec<i64>,
}

/// One fault: an action, the calls it applies to, and how many of them.
#[derive(Debug, Clone)]
pub struct Fault {
    operation: Operation,
    order: Option<i64>,
    method: Option<&'static str>,
    left: Option<u32>,
    wider_than: Option<usize>,
    listing: Option<i64>,
    pub(crate) action: Action,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) bare: bool,
}

impl Fault {
    /// Applies to every call of this kind until it is removed.
    pub fn new(operation: Operation, action: Action) -> Self {
        Self {
            operation,
            order: None,
            method: None,
            left: None,
            wider_than: None,
            listing: None,
            action,
            headers: Vec::new(),
            bare: false,
        }
    }

    /// Only calls about this order.
    #[must_use]
    pub fn order(mut self, id: i64) -> Self {
        self.order = Some(id);
        self
    }

    /// Only calls of this method, such as `POST`.
    #[must_use]
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// Only lists that ask for more rows than this.
    #[must_use]
    pub fn wider_than(mut self, rows: usize) -> Self {
        self.wider_than = Some(rows);
        self
    }

    /// Only lists whose page includes this order.
    #[must_use]
    pub fn listing(mut self, id: i64) -> Self {
        self.listing = Some(id);
        self
    }

    /// Only the next `n` such calls. Of several faults that apply, the one added first is used up first.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.left = Some(n);
        self
    }

    /// Adds a header to the refusal, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves the quota headers out of the refusal.
    #[must_use]
    pub fn without_quota_headers(mut self) -> Self {
        self.bare = true;
        self
    }

    fn befalls(&self, operation: Operation, order: Option<i64>, method: &str, asked: &Asked) -> bool {
        self.wider_than.is_none_or(|rows| asked.limit > rows)
            && self.listing.is_none_or(|id| asked.orders.contains(&id))
            && (self.operation == operation || self.operation == Operation::Any)
            && (self.order.is_none() || self.order == order)
            && self.method.is_none_or(|only| only == method)
    }
}

/// The faults of one simulator, and the gate at which held requests wait.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Mutex<Vec<Fault>>,
    /// Whether there is any fault: without one, no call has to take the lock.
    some: AtomicBool,
    held: AtomicUsize,
    releases: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        let mut list = self.list.lock().expect("no holder of this lock panics");
        list.push(fault);
        self.some.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        let mut list = self.list.lock().expect("no holder of this lock panics");
        list.clear();
        self.some.store(false, Ordering::Release);
    }

    /// The fault that applies to this call, if any; it counts as used once more.
    pub(crate) fn take(&self, operation: Operation, order: Option<i64>, method: &str) -> Option<Fault> {
        self.take_list(operation, order, method, Asked::default)
    }

    /// Like [`Self::take`], for a call that may be a list; `asked` is evaluated only if there are faults.
    pub(crate) fn take_list(
        &self,
        operation: Operation,
        order: Option<i64>,
        method: &str,
        asked: impl FnOnce() -> Asked,
    ) -> Option<Fault> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        let asked = asked();
        let mut list = self.list.lock().expect("no holder of this lock panics");
        let at =
            list.iter().position(|fault| fault.left != Some(0) && fault.befalls(operation, order, method, &asked))?;
        if let Some(left) = &mut list[at].left {
            *left -= 1;
            if *left == 0 {
                return Some(list.remove(at));
            }
        }
        Some(list[at].clone())
    }

    /// How many requests wait at the gate.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Releases all requests that wait at the gate now.
    pub(crate) fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// Waits at the gate. A client that hangs up meanwhile is no longer counted.
    pub(crate) async fn hold(&self, barrier: &Barrier) {
        struct Held<'a>(&'a AtomicUsize, &'a Barrier);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
                self.1.changed();
            }
        }
        let mut releases = self.releases.subscribe();
        self.held.fetch_add(1, Ordering::AcqRel);
        let _held = Held(&self.held, barrier);
        barrier.changed();
        // The sender lives as long as `self`: only a release ends the wait.
        let _ = releases.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_take_turns_and_end() {
        let faults = Faults::default();
        faults.add(Fault::new(Operation::OrderSingle, Action::Status(503)).times(1));
        faults.add(Fault::new(Operation::Any, Action::Drop).order(7).times(1));
        faults.add(Fault::new(Operation::Hooks, Action::Drop).method("POST"));
        let action = |operation, order| faults.take(operation, order, "GET").map(|fault| fault.action);
        assert_eq!(action(Operation::OrderList, None), None);
        assert_eq!(action(Operation::OrderSingle, Some(7)), Some(Action::Status(503)));
        assert_eq!(action(Operation::OrderSingle, Some(8)), None);
        assert_eq!(action(Operation::OrderSingle, Some(7)), Some(Action::Drop));
        assert_eq!(action(Operation::OrderSingle, Some(7)), None);
        assert_eq!(action(Operation::Hooks, None), None);
        assert!(faults.take(Operation::Hooks, None, "POST").is_some());
    }
}
