use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::source::bigcommerce::orders::{read_order, read_orders};

fn rows(list: &[(i64, &str)]) -> Vec<Snapshot> {
    let order = |(id, date): &(i64, &str)| format!(r#"{{"id":{id},"date_modified":"{date}"}}"#);
    list.iter().map(|row| read_order(Bytes::from(order(row))).expect("an order")).collect()
}

#[test]
fn a_row_without_a_date_stands_beside_its_neighbour() {
    let (one, two) = ("Tue, 05 Mar 2019 21:40:11 +0000", "Tue, 05 Mar 2019 21:40:12 +0000");
    let (start, until) = (Timestamp::from_seconds(1_551_822_000), Timestamp::from_seconds(1_551_823_000));
    let dated = |list: &[(i64, &str)]| dated(rows(list), start, Sort::OldestFirst, until);
    let seconds = |list: &[(i64, &str)]| -> Vec<i64> {
        let rows = dated(list).expect("dates can be told");
        rows.iter().map(|row| row.modified.millis() / 1000 - 1_551_822_000).collect()
    };
    assert_eq!(seconds(&[(1, ""), (2, one), (3, "soon"), (4, two), (5, "")]), [11, 11, 11, 12, 12]);
    assert_eq!(seconds(&[(1, one), (2, "Tue, 05 Mar 2030 21:40:12 +0000")]), [11, 1000], "far ahead is now");
    assert!(dated(&[]).is_ok_and(|rows| rows.is_empty()));
    assert!(matches!(dated(&[(1, ""), (2, "")]), Err(PollError::NotAsAsked)));
    assert!(matches!(dated(&[(1, two), (2, one)]), Err(PollError::NotAsAsked)), "not sorted");
    assert!(matches!(dated(&[(1, "Tue, 05 Mar 2013 21:40:12 +0000")]), Err(PollError::NotAsAsked)), "not filtered");
}

#[test]
fn what_may_be_too_much_is_tried_with_fewer_rows() {
    for failure in [400, 422, 500, 502, 503, 504, 524].map(Failure::Status) {
        assert!(may_be_too_much(failure), "{failure}");
    }
    assert!(may_be_too_much(Failure::Html(504)) && may_be_too_much(Failure::Timeout));
    for failure in [Failure::Status(401), Failure::Status(429), Failure::Dns, Failure::Connect] {
        assert!(!may_be_too_much(failure), "{failure}");
    }
}

/// A shop that ignores `page`, and whose rows all changed in the same second.
struct Repeating {
    asked: AtomicU32,
    watermark: Mutex<Timestamp>,
}

#[async_trait]
impl Walk for Repeating {
    async fn watermark(&self) -> Result<Timestamp, InboxError> {
        Ok(*self.watermark.lock())
    }

    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError> {
        *self.watermark.lock() = watermark;
        Ok(())
    }

    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let order =
            |id: u32| format!(r#"{{"id":{id},"status_id":11,"date_modified":"Tue, 05 Mar 2024 21:40:12 +0000"}}"#);
        let list: Vec<String> = (1..=page.limit).map(order).collect();
        Ok(read_orders(&Bytes::from(format!("[{}]", list.join(",")))).expect("a list of orders"))
    }

    async fn take(&self, rows: Vec<Row>) -> Result<usize, InboxError> {
        Ok(rows.len())
    }

    async fn look_for_passed(&self, _: Vec<ObjectId>) -> Result<usize, PollError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_store_that_repeats_its_first_page_within_one_second_is_not_paged_for_ever() {
    let watermark = Mutex::new(Timestamp::from_millis(1_709_674_812_000));
    let mut poll = Poll::new(Repeating { asked: AtomicU32::new(0), watermark }, PageSize::new(100));
    let until = Timestamp::from_millis(1_800_000_000_000);
    assert!(matches!(poll.once(until).await, Err(PollError::Repeated)));
    let asked = poll.walk().asked.load(Ordering::Relaxed);
    assert!(asked <= 2 + 2 * MOST_REPEATED, "{asked} calls");
}

/// A list of one row, of which another state has been delivered.
#[derive(Default)]
struct Lagging {
    again: AtomicU32,
    watermark: Mutex<Option<Timestamp>>,
}

#[async_trait]
impl Walk for Lagging {
    async fn watermark(&self) -> Result<Timestamp, InboxError> {
        Ok(self.watermark.lock().unwrap_or(Timestamp::from_millis(1_709_674_800_000)))
    }

    async fn keep_watermark(&self, watermark: Timestamp) -> Result<(), InboxError> {
        *self.watermark.lock() = Some(watermark);
        Ok(())
    }

    async fn page(&self, page: Page) -> Result<Vec<Snapshot>, CallError> {
        let is_first = page.number == 1 && page.since < Timestamp::from_millis(1_709_674_812_000);
        Ok(if is_first { rows(&[(1, "Tue, 05 Mar 2024 21:40:12 +0000")]) } else { Vec::new() })
    }

    async fn take(&self, rows: Vec<Row>) -> Result<usize, InboxError> {
        Ok(rows.len())
    }

    async fn take_again(&self, rows: Vec<Row>) -> Result<Vec<ObjectId>, InboxError> {
        self.again.fetch_add(1, Ordering::Relaxed);
        Ok(rows.into_iter().map(|row| row.snapshot.id).collect())
    }

    async fn look_for_passed(&self, _: Vec<ObjectId>) -> Result<usize, PollError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_row_of_which_another_state_was_delivered_is_handed_on_a_few_times_more() {
    let mut poll = Poll::new(Lagging::default(), PageSize::new(100));
    let until = Timestamp::from_millis(1_800_000_000_000);
    assert_eq!(poll.once(until).await.expect("a list").missed, 1);
    for _ in 0..10 {
        assert_eq!(poll.once(until).await.expect("a list").missed, 0);
    }
    assert_eq!(poll.walk().again.load(Ordering::Relaxed), u32::from(MOST_AGAIN));
}
