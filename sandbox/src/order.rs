//! The order object as BigCommerce sends it, rendered fast enough for benchmarks from a template, and read back. The
//! template is the fixture `order.json`, the order object on One Tribe's integration page.

use bytes::Bytes;
use jiff::Timestamp;

/// The order object on One Tribe's integration page, unchanged.
pub const FIXTURE: &str = include_str!("../fixtures/order.json");

/// The light payload on the same page, unchanged.
pub const PAYLOAD_FIXTURE: &str = include_str!("../fixtures/payload.json");

/// The names of the order statuses by id (BigCommerce, "Order statuses").
pub const STATUSES: [&str; 15] = [
    "Incomplete",
    "Pending",
    "Shipped",
    "Partially Shipped",
    "Refunded",
    "Cancelled",
    "Declined",
    "Awaiting Payment",
    "Awaiting Pickup",
    "Awaiting Shipment",
    "Completed",
    "Awaiting Fulfillment",
    "Manual Verification Required",
    "Disputed",
    "Partially Refunded",
];

/// The fields in which simulated orders differ. Times are unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The order's id.
    pub id: i64,
    /// 1 when placed, one more with each change; carried in `staff_notes`.
    pub revision: u64,
    /// Index into [`STATUSES`].
    pub status_id: u8,
    /// `date_created`
    pub created: i64,
    /// `date_modified`
    pub modified: i64,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Id,
    Revision,
    StatusId,
    Status,
    Created,
    Modified,
}

/// The parts of the fixture that vary, in order: the text before, the text to replace, what replaces it.
const SLOTS: [(&str, &str, Slot); 13] = [
    ("\"id\": ", "218", Slot::Id),
    ("\"date_created\": \"", "Tue, 05 Mar 2019 21:40:11 +0000", Slot::Created),
    ("\"date_modified\": \"", "Mon, 11 Mar 2019 15:17:25 +0000", Slot::Modified),
    ("\"status_id\": ", "7", Slot::StatusId),
    ("\"status\": \"", "Awaiting Payment", Slot::Status),
    ("\"staff_notes\": \"", "", Slot::Revision),
    ("/orders/", "218", Slot::Id),
    ("/orders/", "218", Slot::Id),
    ("/orders/", "218", Slot::Id),
    ("/orders/", "218", Slot::Id),
    ("/orders/", "218", Slot::Id),
    ("/orders/", "218", Slot::Id),
    ("\"custom_status\": \"", "Awaiting Payment", Slot::Status),
];

/// The fixture, cut at the parts that vary.
#[derive(Debug)]
pub struct Template {
    pieces: Vec<(String, Slot)>,
    tail: String,
}

impl Template {
    /// The template for one store.
    pub fn new(store_hash: &str) -> Self {
        let mut rest = FIXTURE.trim_end();
        let mut pieces = Vec::with_capacity(SLOTS.len());
        let here = |text: &str| text.replace("<your-store-hash>", store_hash);
        for (before, replaced, slot) in SLOTS {
            let at = rest.find(&format!("{before}{replaced}")).expect("the fixture holds every slot, in this order");
            let cut = at + before.len();
            pieces.push((here(&rest[..cut]), slot));
            rest = &rest[cut + replaced.len()..];
        }
        Self { pieces, tail: here(rest) }
    }

    /// The order object.
    pub fn render(&self, order: &Order) -> Bytes {
        let mut out = String::with_capacity(FIXTURE.len() + 128);
        self.render_into(order, &mut out);
        out.into()
    }

    /// Appends the order object to `out`.
    pub fn render_into(&self, order: &Order, out: &mut String) {
        use std::fmt::Write;
        for (piece, slot) in &self.pieces {
            out.push_str(piece);
            match slot {
                Slot::Status => out.push_str(status_name(order.status_id)),
                Slot::Id => write!(out, "{}", order.id).expect("a String takes any text"),
                Slot::Revision => write!(out, "revision {}", order.revision).expect("a String takes any text"),
                Slot::StatusId => write!(out, "{}", order.status_id).expect("a String takes any text"),
                Slot::Created => push_rfc2822(order.created, out),
                Slot::Modified => push_rfc2822(order.modified, out),
            }
        }
        out.push_str(&self.tail);
    }
}

/// A status's name; empty for a status that BigCommerce does not have.
pub fn status_name(status_id: u8) -> &'static str {
    STATUSES.get(usize::from(status_id)).copied().unwrap_or_default()
}

/// `Tue, 05 Mar 2019 21:40:11 +0000`
pub fn rfc2822(unix_seconds: i64) -> String {
    let mut out = String::with_capacity(31);
    push_rfc2822(unix_seconds, &mut out);
    out
}

fn push_rfc2822(unix_seconds: i64, out: &mut String) {
    use std::fmt::Write;
    let time = Timestamp::from_second(unix_seconds).unwrap_or_default();
    write!(out, "{}", time.strftime("%a, %d %b %Y %H:%M:%S +0000")).expect("the format is a valid one");
}

/// Reads `(id, revision)` from an order object of a BigCommerce store or a WooCommerce shop. `None` if the body is
/// neither.
pub fn revision_of(body: &[u8]) -> Option<(i64, u64)> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, after_id) = text.split_once("\"id\":")?;
    let notes = ["\"staff_notes\":", "\"customer_note\":"];
    let (_, after_notes) = notes.iter().find_map(|name| {
        after_id.split_once(name).filter(|(_, after)| after.trim_start().starts_with("\"revision "))
    })?;
    let revision = after_notes.trim_start().strip_prefix("\"revision ")?;
    Some((leading_number(after_id.trim_start())?, leading_number(revision)?))
}

fn leading_number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const ORDER: Order =
        Order { id: 9001, revision: 3, status_id: 11, created: 1_551_822_011, modified: 1_552_317_445 };

    #[test]
    fn the_object_is_the_fixture_but_for_what_varies() {
        let mut rendered: Value = serde_json::from_slice(&Template::new("abcde").render(&ORDER)).expect("JSON");
        let fixture: Value = serde_json::from_str(FIXTURE).expect("JSON");
        assert_eq!(rendered["id"], 9001);
        assert_eq!(rendered["status"], "Awaiting Fulfillment");
        assert_eq!(rendered["date_created"], "Tue, 05 Mar 2019 21:40:11 +0000");
        assert_eq!(rendered["date_modified"], "Mon, 11 Mar 2019 15:17:25 +0000");
        assert_eq!(rendered["products"]["resource"], "/orders/9001/products");
        assert_eq!(rendered["coupons"]["url"], "https://api.bigcommerce.com/stores/abcde/v2/orders/9001/coupons");
        assert_eq!(rendered["billing_address"]["zip"], 78108);
        let varying =
            ["id", "status_id", "status", "custom_status", "staff_notes", "products", "shipping_addresses", "coupons"];
        for field in varying {
            rendered[field] = fixture[field].clone();
        }
        assert_eq!(rendered, fixture);
    }

    #[test]
    fn a_sink_reads_back_what_was_rendered() {
        assert_eq!(revision_of(&Template::new("abcde").render(&ORDER)), Some((9001, 3)));
        assert_eq!(revision_of(FIXTURE.as_bytes()), None);
        assert_eq!(revision_of(b"\xff not an order"), None);
    }

    #[test]
    fn days_have_two_digits() {
        assert_eq!(rfc2822(1_551_822_011), "Tue, 05 Mar 2019 21:40:11 +0000");
    }
}
