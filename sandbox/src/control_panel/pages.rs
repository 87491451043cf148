//! The control panel's pages, kept plain: the list of stores, one store with its apps, and the app in a frame.

use actix_web::http::header::{ContentType, LOCATION};
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::app::{InstallOptions, UninstallOptions, User};
use super::state::{State, with_payload};
use crate::order::status_name;
use crate::store::StoreSim;

/// How many of a store's orders are shown.
const LISTED_ORDERS: usize = 20;

/// The status of an order that was just paid for: Awaiting Fulfillment.
const PLACED_STATUS: u8 = 11;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/", web::get().to(stores))
        .route("/store/{hash}", web::get().to(store))
        .route("/store/{hash}/install", web::get().to(install))
        .route("/store/{hash}/open", web::get().to(open))
        .route("/store/{hash}/uninstall", web::post().to(uninstall))
        .route("/store/{hash}/orders", web::post().to(place_order))
        .default_service(web::to(|| async { HttpResponse::NotFound().finish() }));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(title: &str, body: &str) -> HttpResponse {
    let title = escape(title);
    let html = format!(
        r#"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color-scheme: light dark }}
form {{ display: inline }} button {{ font: inherit; padding: .3rem .8rem }}
iframe {{ border: 1px solid #888; width: 100%; height: 44rem; background: Canvas }}
</style></head><body><p>Simulated BigCommerce control panel</p><h1>{title}</h1>{body}</body></html>"#
    );
    HttpResponse::Ok().insert_header(ContentType::html()).body(html)
}

/// A page with a single message.
pub(super) fn notice(text: &str) -> HttpResponse {
    page(text, "")
}

/// A page with a link for each store, which starts an install.
pub(super) fn store_choice(state: &State) -> HttpResponse {
    page("Which store shall get the app?", &list_of_stores(state, |hash| format!("?store={hash}")))
}

fn list_of_stores(state: &State, link: impl Fn(&str) -> String) -> String {
    let item = |store: &StoreSim| {
        let (hash, name) = (&store.config().hash, escape(&store.config().name));
        format!(r#"<li><a href="{}">{name}</a> ({})</li>"#, escape(&link(hash)), escape(hash))
    };
    let items: String = state.farm.stores().iter().map(item).collect();
    format!("<ul>{items}</ul>")
}

async fn stores(state: web::Data<State>) -> HttpResponse {
    page("Stores", &list_of_stores(&state, |hash| format!("/store/{hash}")))
}

fn apps(state: &State, hash: &str) -> String {
    let name = escape(&state.app().name);
    let get = |action: &str, label: &str| {
        format!(r#"<form action="/store/{hash}/{action}"><button id="{action}">{label}</button></form> "#)
    };
    let buttons = if state.is_installed(hash) {
        format!(
            r#"{}{}<form method="post" action="/store/{hash}/uninstall"><button id="uninstall">Uninstall</button></form>"#,
            get("open", "Open"),
            get("install", "Install again"),
        )
    } else {
        get("install", "Install")
    };
    format!("<h2>Apps</h2><p>{name}: {buttons}</p>")
}

fn orders(store: &StoreSim, hash: &str) -> String {
    let listed = store.orders();
    let item = |order: &crate::order::Order| {
        format!("<li>Order {}, {}, revision {}</li>", order.id, status_name(order.status_id), order.revision)
    };
    let items: String = listed.iter().rev().take(LISTED_ORDERS).map(item).collect();
    format!(
        r#"<h2>Orders ({})</h2><form method="post" action="/store/{hash}/orders"><button id="place-order">Place order</button></form><ul>{items}</ul>"#,
        listed.len()
    )
}

async fn store(state: web::Data<State>, hash: web::Path<String>) -> HttpResponse {
    let Some(store) = state.farm.store(&hash) else { return HttpResponse::NotFound().finish() };
    let hash = escape(&hash);
    let body = format!(r#"<p><a href="/">All stores</a></p>{}{}"#, apps(&state, &hash), orders(&store, &hash));
    page(&store.config().name, &body)
}

/// The page that shows the app in a frame.
fn framed(state: &State, store: &StoreSim, url: &str) -> HttpResponse {
    let (hash, name) = (escape(&store.config().hash), escape(&state.app().name));
    let body = format!(
        r#"<p><a href="/store/{hash}">Back to the store</a>
<form method="post" action="/store/{hash}/orders" target="orders"><button id="place-order">Place order</button></form>
<iframe name="orders" hidden title="What placing an order shows"></iframe></p>
<iframe id="app" name="app" title="{name}" src="{}"></iframe>"#,
        escape(url)
    );
    page(&format!("{} in {}", state.app().name, store.config().name), &body)
}

async fn install(state: web::Data<State>, hash: web::Path<String>) -> HttpResponse {
    let Some(store) = state.farm.store(&hash) else { return HttpResponse::NotFound().finish() };
    framed(&state, &store, &state.install_url(&hash, &InstallOptions::default()))
}

#[derive(Deserialize)]
struct OpenedBy {
    user: Option<i64>,
    locale: Option<String>,
}

async fn open(state: web::Data<State>, hash: web::Path<String>, by: web::Query<OpenedBy>) -> HttpResponse {
    let Some(store) = state.farm.store(&hash) else { return HttpResponse::NotFound().finish() };
    let mut user = User::default();
    user.id = by.user.unwrap_or(user.id);
    user.locale = by.locale.clone().unwrap_or(user.locale);
    let jwt = state.jwt(&hash, &user).sign();
    framed(&state, &store, &with_payload(&state.app().load_callback, &jwt))
}

async fn uninstall(state: web::Data<State>, hash: web::Path<String>) -> HttpResponse {
    let Some(store) = state.farm.store(&hash) else { return HttpResponse::NotFound().finish() };
    // BigCommerce ignores the app's answer.
    let _ = state.uninstall(&store, UninstallOptions::default()).await;
    back_to(&hash)
}

async fn place_order(state: web::Data<State>, hash: web::Path<String>) -> HttpResponse {
    let Some(store) = state.farm.store(&hash) else { return HttpResponse::NotFound().finish() };
    store.place_order_as(None, PLACED_STATUS);
    back_to(&hash)
}

fn back_to(hash: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, format!("/store/{hash}"))).finish()
}
