//! The forms with which an operator adds a connection: BigCommerce, WooCommerce by one click, WooCommerce with pasted
//! keys.
//!
//! Forms with credentials are sent as JSON to `POST /connections` by the page's script (see `settings`); the
//! one-click form is a plain post to `POST /woocommerce/connect`.

use maud::{Markup, html};

use super::texts::ENGLISH;

/// A field: its name, its label, its type, a hint.
type Field = (&'static str, &'static str, &'static str, &'static str);

const NAME: &str = "As you want to find it in the list.";
const SHOP: &str = "As shoppers know it, with https://.";
const PAYLOAD_URL: &str = "Copied from the merchant's One Tribe account.";

static BIGCOMMERCE: [Field; 5] = [
    ("name", "Name", "text", NAME),
    ("source.store_hash", "Store hash", "text", "The part after stores/ in the API path."),
    ("source.access_token", "Access token", "password", "Of an API account with the scope Orders: read-only."),
    ("source.client_secret", "Client secret", "password", "Of the same API account; it verifies webhooks."),
    ("destination.url", ENGLISH.payload_label, "url", PAYLOAD_URL),
];

static WOOCOMMERCE: [Field; 5] = [
    ("name", "Name", "text", NAME),
    ("source.url", "Shop address", "url", SHOP),
    (
        "source.consumer_key",
        "Consumer key",
        "password",
        "Of keys with Read/Write (WooCommerce, Settings, Advanced, REST API).",
    ),
    ("source.consumer_secret", "Consumer secret", "password", "Of the same keys."),
    ("destination.url", ENGLISH.payload_label, "url", PAYLOAD_URL),
];

static ONE_CLICK: [Field; 3] = [
    ("shop", "Shop address", "url", SHOP),
    ("name", "Name", "text", NAME),
    ("destination", ENGLISH.payload_label, "url", PAYLOAD_URL),
];

/// The section with all forms, unfolded while there is no connection.
pub(super) fn add(root: &str, cannot: Option<&str>, has_one_click: bool, is_first: bool) -> Markup {
    html! {
        details id="add" class="card" open[is_first] {
            summary { h2 { "Add a connection" } }
            @match cannot {
                Some(reason) => { p { (super::parts::prose(reason)) } }
                None => {
                    noscript { p class="error" { "Forms with credentials need the page's script. Without it, use POST /connections or onetribe-relay connections add." } }
                    (kind("add-bigcommerce", "BigCommerce store", is_first, &json(root, "bigcommerce", &BIGCOMMERCE)))
                    @if has_one_click {
                        (kind("add-shop", "WooCommerce shop, by one click", false, &one_click(root)))
                    }
                    (kind("add-woocommerce", "WooCommerce shop, with keys", false, &json(root, "woocommerce", &WOOCOMMERCE)))
                }
            }
        }
    }
}

fn kind(id: &str, title: &str, is_open: bool, form: &Markup) -> Markup {
    html! { details id=(id) class="setting" open[is_open] { summary { h3 { (title) } } (form) } }
}

fn json(root: &str, kind: &'static str, fields: &[Field]) -> Markup {
    html! {
        form method="post" action={ (root) "connections" } data-json="POST" data-then={ (root) "connections/{id}/integration" } class="fields" {
            input type="hidden" name="source.kind" value=(kind);
            input type="hidden" name="destination.kind" value="one_tribe";
            (inputs(kind, fields))
            p class="muted" { (ENGLISH.credentials_hint) }
            p class="error" role="alert" hidden {}
            button type="submit" class="first" { "Add" }
        }
    }
}

fn one_click(root: &str) -> Markup {
    html! {
        form method="post" action={ (root) "woocommerce/connect" } class="fields" {
            (inputs("shop", &ONE_CLICK))
            p class="muted" { "You are sent to the shop, where an administrator approves. The shop then sends its keys here. Shops with plain permalinks cannot do this: use keys." }
            button type="submit" class="first" { "Go to the shop" }
        }
    }
}

fn inputs(prefix: &str, fields: &[Field]) -> Markup {
    html! {
        @for (name, label, kind, hint) in fields {
            @let id = format!("{prefix}-{}", name.replace('.', "-"));
            label for=(id) { (label) }
            input id=(id) name=(name) type=(kind) required autocomplete="off" spellcheck="false" aria-describedby={ (id) "-hint" };
            p id={ (id) "-hint" } class="muted" { (hint) }
        }
    }
}
