//! The English texts.

use super::{FormTexts, InstallTexts, LoadTexts, Message, PageTexts, PayloadUrlTexts, Texts};
use crate::humanize::count;

pub(super) const TEXTS: Texts =
    Texts { install: INSTALL, load: LOAD, payload_url: PAYLOAD_URL, form: FORM, page: PAGE };

const INSTALL: InstallTexts = InstallTexts {
    spent_code: Message {
        title: "This installation link has been used already",
        what: "BigCommerce gives a link that works once and only for a short time. This one has been used or has \
               expired. If you installed the app a moment ago, it is installed.",
        cure: "In your BigCommerce control panel, go to Apps, My Apps, and open One Tribe. If it is not listed there, \
               install it again.",
    },
    refused: Message {
        title: "BigCommerce refused the installation",
        what: "BigCommerce did not accept this app's own credentials, so nothing has been connected. The cause lies \
               with the app, not with your store.",
        cure: "Please tell One Tribe's support. Once it is put right, install the app again.",
    },
    missing_scope: Message {
        title: "The app may not read orders",
        what: "The permission that BigCommerce has given does not include reading orders, so nothing can be forwarded \
               and nothing has been connected.",
        cure: "Uninstall the app in your BigCommerce control panel, install it again, and confirm the permission \
               to read orders. If it is not among those asked for, please tell One Tribe's support.",
    },
    login_down: Message {
        title: "BigCommerce's login server cannot be reached",
        what: "The installation needs an answer from BigCommerce's login server, and there was none that could be \
               used. Nothing has been connected.",
        cure: "Wait a few minutes, then install the app again from your control panel.",
    },
    login_slow: Message {
        title: "BigCommerce's login server did not answer in time",
        what: "The installation needs an answer from BigCommerce's login server, and it took too long. Nothing has \
               been connected.",
        cure: "Wait a few minutes, then install the app again from your control panel.",
    },
    bad_answer: Message {
        title: "BigCommerce's answer could not be read",
        what: "BigCommerce accepted the installation, but its answer named no store or gave no access. Nothing has \
               been connected.",
        cure: "Install the app again from your control panel. If this page comes again, please tell One Tribe's \
               support.",
    },
    incomplete_request: Message {
        title: "This address is for installations only",
        what: "It was opened without the code, scope and context that BigCommerce sends along with an installation.",
        cure: "Install or open the app from your BigCommerce control panel, under Apps.",
    },
    not_kept: Message {
        title: "The connection could not be saved",
        what: "BigCommerce accepted the installation, but it could not be saved here. Nothing has been connected.",
        cure: "Wait a few minutes, then install the app again from your control panel.",
    },
    no_address: Message {
        title: "The app is not ready yet",
        what: "Its address on the internet has not been set, so it could not ask BigCommerce for access. Nothing has \
               been connected.",
        cure: "Please tell One Tribe's support that PUBLIC_URL is missing. Once it is set, install the app again.",
    },
};

const LOAD: LoadTexts = LoadTexts {
    not_genuine: Message {
        title: "This page was not opened from BigCommerce",
        what: "The address lacks a valid signature of BigCommerce's, so nothing can be shown.",
        cure: "Open the app from your BigCommerce control panel, under Apps, My Apps.",
    },
    expired: Message {
        title: "This page has expired",
        what: "BigCommerce's signature on it is more than a day old.",
        cure: "Open the app again from your BigCommerce control panel, under Apps, My Apps.",
    },
    not_yet_valid: Message {
        title: "BigCommerce's signature is not valid yet",
        what: "Its time lies ahead of this server's clock.",
        cure: "Wait a minute, then open the app again from your control panel. If this page comes again, please tell \
               One Tribe's support.",
    },
    install_again: Message {
        title: "This store is not connected",
        what: "The app was uninstalled, or its installation was never finished. Opening it cannot mend that: only an \
               installation gives access to the store's orders.",
        cure: "Uninstall the app in your BigCommerce control panel if it is still listed there, then install it again. \
               Orders that were placed in between are found and forwarded.",
    },
};

const PAYLOAD_URL: PayloadUrlTexts = PayloadUrlTexts {
    empty: "Paste the payload URL that One Tribe has given you.",
    too_long: "This is longer than any payload URL of One Tribe's. Copy the payload URL again, and nothing else.",
    not_a_url: "This is not a complete web address. Copy the whole payload URL, beginning with https://, without \
                spaces or line breaks in it.",
    not_https: "The payload URL must begin with https://.",
    user_info: "The payload URL must not hold a user name or password before the host (the part with an @). Copy it \
                again as One Tribe shows it.",
    fragment: "The payload URL must not hold a # and anything after it. Copy it again as One Tribe shows it.",
    private_address: "This address leads into a private network, so it cannot be One Tribe's payload URL.",
    foreign_host,
    cut_off: "This is only the beginning of a payload URL. Copy all of it: it ends with a long code of your own.",
};

const FORM: FormTexts = FormTexts {
    expired: Message {
        title: "This page was open for more than an hour",
        what: "For safety its buttons work for an hour only. Nothing has been changed.",
        cure: "Open the app again from your BigCommerce control panel and repeat what you did.",
    },
    wrong_token: Message {
        title: "This form could not be accepted",
        what: "It does not belong to a page that was opened for this store and user. Nothing has been changed.",
        cure: "Open the app again from your BigCommerce control panel and repeat what you did.",
    },
    other_site: Message {
        title: "This form was sent from another website",
        what: "Only the app's own page may send it. Nothing has been changed.",
        cure: "Open the app from your BigCommerce control panel.",
    },
    uninstalled: Message {
        title: "The app has been uninstalled",
        what: "This store is no longer connected. Nothing has been changed.",
        cure: "Install the app again from your BigCommerce control panel.",
    },
    not_saved: Message {
        title: "This could not be saved",
        what: "Nothing has been changed.",
        cure: "Wait a few minutes, then open the app again from your BigCommerce control panel and repeat what you did.",
    },
};

const PAGE: PageTexts = PageTexts {
    payload_url_saved: "The payload URL is saved.",
    paused_help: "Orders are still noted and wait. They are forwarded once you resume.",
    backfill_started: "They are on their way. Each one shows up among the recent orders.",
    backfill_declined: "Past orders are left alone. Only orders from the installation on are forwarded.",
    backfill_running: |orders| match orders {
        0 => "Past orders are being looked for.".to_owned(),
        _ => format!("Past orders are being forwarded: {} found so far.", n(orders)),
    },
    backfill_at_least: |orders| {
        format!("There are too many to count at once: at least {} can be forwarded.", n(orders))
    },
    backfill_not_counted: "The store could not be read just now, so nothing was counted. Try again in a minute.",
    backfill_bad_date: "Give a date in the past, for example 2026-01-31.",
};

fn n(orders: u64) -> String {
    count(orders, "order")
}

fn foreign_host(hosts: &str) -> String {
    format!("This address is not One Tribe's. A payload URL's host is one of: {hosts}. Copy it again from One Tribe.")
}
