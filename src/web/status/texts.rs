//! The texts of the status page, and of notices that lead back to it, in one place, so that other languages can
//! follow `user.locale`. Texts about the connection's health come from `health`.

macro_rules! texts {
    ($($name:ident: $english:literal,)*) => {
        /// The texts of the status page in one language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Texts { $(pub $name: &'static str,)* }

        /// The English texts.
        pub static ENGLISH: Texts = Texts { $($name: $english,)* };
    };
}

/// A text with its placeholders replaced: `{order}` by the value of `order`.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::with_capacity(text.len() + 16), text);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        filled.push_str(before);
        filled.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = after;
    }
    filled + rest
}

texts! {
    title: "One Tribe",
    what_to_do: "What to do",
    also: "Also",
    since: "Since",
    as_of: "As of",
    check: "Check Integration",
    update: "Update Integration",
    update_hint: "Update Integration repairs how your store tells of orders.",
    resend: "Resend",
    resend_all: "Resend all failed",
    try_now: "Try now",
    resume: "Resume",
    pause: "Pause",
    pause_hint: "New orders are kept and wait until you resume.",
    recent_orders: "Recent orders",
    no_orders: "No order has come yet.",
    no_orders_hint: "A new order appears here within moments.",
    search: "Order number",
    search_button: "Find",
    search_hint: "Did an order arrive?",
    not_found: "has not been seen here. A new order is seen within moments, or when the relay next looks for missed ones.",
    not_a_number: "That is not an order number.",
    more_orders: "Show more",
    order: "Order",
    open_order: "opens the order in the store, in a new tab",
    forwarded: "Forwarded",
    waiting: "Waiting",
    trying: "Being tried again",
    failed: "Failed",
    gone: "Not in the store",
    skipped: "Not forwarded",
    skipped_why: "Orders with this status are not forwarded.",
    gone_why: "The store does not know this order any more.",
    next_try: "next try",
    changed: "changed",
    under_way: "on its way now",
    refused_why: "{destination} refused it ({seen}).",
    not_taken_why: "{destination} did not take it ({seen}).",
    unknown_why: "{store} does not know it (yet). It is looked for again.",
    not_given_why: "{store} did not give it ({seen}).",
    order_resent: "Order {order} is fetched again and sent.",
    none_resent: "There is no failed order to send again.",
    orders_resent: "{orders} being tried again.",
    hooks_busy: "The webhooks are being changed by another relay or command just now. Look again in a minute.",
    hooks_late: "The webhooks could not be put right in time. Click Update Integration again in a minute.",
    hooks_failed: "The webhooks could not be put right: {error}.",
    hooks_well: "Nothing had to be put right: the webhooks were as they should be.",
    hooks_made: "made",
    hooks_switched_on: "switched on again",
    hooks_put_right: "put right",
    last_webhook: "Last heard from store",
    last_forwarded: "Last order forwarded",
    waiting_now: "Under way or waiting",
    failed_now: "Failed",
    none_yet: "none yet",
    oldest: "the oldest came",
    gone_now: "no longer in the store",
    numbers: "At a glance",
    unreadable: "The list of orders cannot be read now.",
    chart: "Orders forwarded",
    table: "The same as a table",
    checks: "Checks",
    all_good: "All {count} checks are good",
    good: "Good",
    look: "Warning",
    bad: "Failed",
    skip: "Not checked",
    see_top: "See the top of the page.",
    settings: "Settings",
    details: "Technical details",
    payload_title: "Connect to One Tribe",
    payload_change: "Change the payload URL",
    payload_label: "One Tribe payload URL",
    payload_hint: "Copy it from your One Tribe account. It begins with https://. Nothing is sent to it when you save.",
    payload_save: "Save",
    payload_connect: "Connect",
    backfill_title: "Forward past orders",
    backfill_hint: "Orders from before the connection can be forwarded once. First they are counted; nothing is sent.",
    backfill_since: "Placed or changed on or after",
    backfill_count: "Count them",
    backfill_counted: "{orders} placed or changed on or after {since} can be forwarded. Orders that One Tribe has already are not sent again.",
    backfill_start: "Forward them",
    backfill_decline: "No past orders",
    all_connections: "All connections",
    done: "Done",
    done_what: "The request has been taken.",
    done_back: "Back to the status page",
    no_page: "There is no page here",
    no_page_why: "The address may be mistyped, or the page may have moved.",
    no_page_button: "This address takes what a button of the status page sends.",
    not_possible: "That did not work",
    to_status: "Go to the status page",
    password: "Password needed",
    password_what: "This page shows how your store's connection to One Tribe is doing. It opens with a password; the user name does not matter.",
    password_how: "If you do not have the password, ask whoever runs the relay for you. If you run it: it is the value of `ADMIN_TOKEN`.",
    password_again: "Reload the page to be asked again.",
    not_done: "That did not work ({seen}). Try again in a moment.",
    unreachable: "The relay cannot be reached. Try again in a moment.",
    credentials_hint: "Credentials are tried first, kept encrypted, and shown to nobody again.",
    credentials_empty: "What is left empty stays as it is.",
    table_from: "From",
    table_forwarded: "Forwarded",
    table_waiting: "Waiting at most",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_filled_and_what_is_filled_in_is_not_read_again() {
        let said = fill("{a} and {b}, {a}{c}.", &[("a", "{b}"), ("b", "2")]);
        assert_eq!(said, "{b} and 2, {b}.");
        assert_eq!(fill("no blanks", &[]), "no blanks");
    }
}
