//! The words of the status page in one place, so that other languages can follow `user.locale`. What is said about the
//! connection's health comes from `health`.

macro_rules! texts {
    ($($name:ident: $english:literal,)*) => {
        /// The words of the status page in one language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Texts { $(pub $name: &'static str,)* }

        /// English.
        pub static ENGLISH: Texts = Texts { $($name: $english,)* };
    };
}

texts! {
    title: "One Tribe",
    what_to_do: "What to do",
    also: "Also",
    since: "Since",
    as_of: "As of",
    check: "Check Integration",
    update: "Update Integration",
    update_hint: "Update Integration repairs the webhooks.",
    resend: "Resend",
    resend_all: "Resend all failed",
    try_now: "Try now",
    resume: "Resume",
    pause: "Pause",
    pause_hint: "New orders are kept and wait until you resume.",
    recent_orders: "Recent orders",
    no_orders: "No order has come yet. A new order appears here within moments.",
    search: "Order number",
    search_button: "Find",
    search_hint: "Did an order arrive?",
    not_found: "has not been seen here. A new order is seen within moments, at the latest at the next poll.",
    not_a_number: "That is not an order number.",
    more_orders: "Show more",
    order: "Order",
    open_order: "opens the order in the store, in a new tab",
    forwarded: "Forwarded",
    waiting: "Waiting",
    trying: "Tried again",
    failed: "Failed",
    gone: "Not in the store",
    skipped: "Not forwarded",
    skipped_why: "Orders with this status are not forwarded.",
    gone_why: "The store does not know this order any more.",
    next_try: "next try",
    last_webhook: "Last webhook",
    last_forwarded: "Last order forwarded",
    waiting_now: "Under way or waiting",
    failed_now: "Failed",
    none_yet: "none yet",
    oldest: "the oldest for",
    gone_now: "no longer in the store",
    numbers: "At a glance",
    unreadable: "The list of orders cannot be read now.",
    chart: "Orders forwarded",
    table: "The same as a table",
    checks: "Checks",
    good: "Good",
    look: "Look",
    bad: "Failed",
    skip: "Not checked",
    settings: "Settings",
    details: "Technical details",
    payload_title: "Connect to One Tribe",
    payload_change: "Change the payload URL",
    payload_label: "One Tribe payload URL",
    payload_hint: "Copy it from your One Tribe account. It begins with https://. Nothing is sent to it when you save.",
    payload_save: "Save",
    payload_connect: "Connect",
    backfill_title: "Forward past orders",
    backfill_hint: "Orders placed before the connection can be forwarded once. First they are counted; nothing is sent.",
    backfill_since: "Placed on or after",
    backfill_count: "Count them",
    backfill_start: "Forward them",
    backfill_decline: "No past orders",
    times_utc: "Times are UTC.",
}
