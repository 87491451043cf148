//! One request to the shop, from its address to its answer: route, faults, credentials and work, in this order.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::json;
use url::form_urlencoded;

use super::answers::{front_page, page};
use super::auth::authenticate;
use super::config::{KeyRights, RestState, ShopConfig, ShopPermalinks};
use super::key::ShopKey;
use super::list::Params;
use super::rest_error::RestError;
use super::state::State;
use super::{hooks, key_page, list, resources};
use crate::answer::{Answer, Ticket, respond};
use crate::fault::{Action, Fault, Operation};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    FrontPage,
    /// A route of the REST API, without leading and trailing slashes.
    Rest(String),
    Authorize,
    Granted,
    Nothing,
}

impl Target {
    fn of(config: &ShopConfig, path: &str, params: &Params) -> Self {
        let param = |name| list::param(params, name);
        let Some(path) = path.strip_prefix(&config.folder) else { return Self::Nothing };
        if matches!(path, "" | "/" | "/index.php") {
            return match (param("rest_route"), param("wc-auth-route")) {
                (Some(route), _) => Self::Rest(route.trim_matches('/').to_owned()),
                (None, Some("authorize")) => Self::Authorize,
                (None, Some("access_granted")) => Self::Granted,
                _ => Self::FrontPage,
            };
        }
        let (path, is_through_index) = match path.strip_prefix("/index.php") {
            Some(rest) => (rest, true),
            None => (path, false),
        };
        let is_known = match config.permalinks {
            ShopPermalinks::Pretty => true,
            ShopPermalinks::IndexPhp => is_through_index,
            ShopPermalinks::Plain => false,
        };
        match path {
            _ if !is_known => Self::Nothing,
            "/wc-auth/v1/authorize" => Self::Authorize,
            "/wc-auth/v1/access_granted" => Self::Granted,
            path => match path.strip_prefix("/wp-json") {
                Some(route) if route.is_empty() || route.starts_with('/') => {
                    Self::Rest(route.trim_matches('/').to_owned())
                }
                _ => Self::Nothing,
            },
        }
    }

    fn operation(&self) -> (Operation, Option<i64>) {
        let Self::Rest(route) = self else { return (Operation::Any, None) };
        match route.strip_prefix("wc/v3/").map(|route| route.split_once('/').unwrap_or((route, ""))) {
            Some(("orders", "")) => (Operation::OrderList, None),
            Some(("orders", id)) => (Operation::OrderSingle, id.parse().ok()),
            Some(("webhooks", _)) => (Operation::Hooks, None),
            _ => (Operation::Any, None),
        }
    }
}

/// Writes the status into the record once the answer is sent.
struct RecordTicket {
    state: web::Data<State>,
    index: Option<usize>,
}

impl Ticket for RecordTicket {
    fn answered(self, status: u16) {
        if let Some(index) = self.index {
            self.state.record.answered(index, status);
        }
    }
}

impl Drop for RecordTicket {
    fn drop(&mut self) {
        self.state.barrier.changed();
    }
}

pub(super) async fn serve(state: web::Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let params: Params = form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
    let target = Target::of(&state.config(), request.path(), &params);
    let (operation, id) = target.operation();
    let index = state.record.begin(operation, || (request.method().to_string(), request.uri().to_string()));
    let ticket = RecordTicket { state: state.clone(), index };
    state.barrier.changed();
    let fault = state.faults.take(operation, id, request.method().as_str());
    let asked = Asked { state: &state, request: &request, params: &params, body: &body };
    let answer = asked.answer_under(fault.as_ref(), &target, id).await;
    respond(answer, fault.as_ref(), ticket)
}

struct Asked<'a> {
    state: &'a State,
    request: &'a HttpRequest,
    params: &'a Params,
    body: &'a [u8],
}

impl Asked<'_> {
    async fn answer_under(&self, fault: Option<&Fault>, target: &Target, id: Option<i64>) -> Answer {
        let Some(fault) = fault else { return self.answer(target).await };
        if let Some(refusal) = Answer::of_fault(fault) {
            return refusal;
        }
        match &fault.action {
            // `respond` cuts the connection or sends something else, so this answer is never sent.
            Action::Drop => return Answer::empty(200),
            Action::NotJson | Action::Oversized { .. } => return Answer::json(200, "{}"),
            Action::AnotherOrder => return resources::order(self.state, id.unwrap_or_default().wrapping_add(1)),
            Action::Hold => self.state.faults.hold(&self.state.barrier).await,
            Action::Slow(time) => tokio::time::sleep(*time).await,
            _ => {}
        }
        let answer = self.answer(target).await;
        if fault.action == Action::HoldAnswer {
            self.state.faults.hold(&self.state.barrier).await;
        }
        answer
    }

    async fn answer(&self, target: &Target) -> Answer {
        match target {
            Target::FrontPage => front_page(self.state),
            Target::Authorize => key_page::authorize(self.state, self.params),
            Target::Granted => key_page::grant(self.state, self.params).await,
            Target::Nothing => page(404, "Page not found"),
            Target::Rest(route) => self.rest(route).await,
        }
    }

    async fn rest(&self, route: &str) -> Answer {
        let rest = self.state.config().rest;
        if rest == RestState::Closed {
            return RestError::CLOSED.answer();
        }
        let has_api = rest == RestState::Open;
        match route {
            "" => self.index(has_api),
            "wc/v3" if has_api => {
                let index = json!({ "namespace": "wc/v3", "routes": { "/wc/v3": {} } });
                resources::answer_with_fields(200, &index, self.params)
            }
            route => match route.strip_prefix("wc/v3/") {
                Some(route) if has_api => self.api(route).await,
                _ => RestError::NO_ROUTE.answer(),
            },
        }
    }

    fn index(&self, has_api: bool) -> Answer {
        let home = self.state.home();
        let namespaces = if has_api { vec!["oembed/1.0", "wc/v3", "wp/v2"] } else { vec!["oembed/1.0", "wp/v2"] };
        let index = json!({
            "name": "Sandbox shop", "description": "", "url": home, "home": home, "gmt_offset": "0",
            "namespaces": namespaces, "authentication": [], "routes": {},
        });
        resources::answer_with_fields(200, &index, self.params)
    }

    /// A route below WooCommerce's own namespace.
    async fn api(&self, route: &str) -> Answer {
        let key = match self.permitted() {
            Ok(key) => key,
            Err(error) => return error.answer(),
        };
        let (resource, rest) = route.split_once('/').unwrap_or((route, ""));
        if resource == "orders"
            && let Some((id, part)) = rest.split_once('/')
        {
            return resources::part_of_order(self.state, id.parse().unwrap_or_default(), part);
        }
        let id = if rest.is_empty() { None } else { Some(rest.parse::<i64>()) };
        let Ok(id) = id.transpose() else { return RestError::NO_ROUTE.answer() };
        let (state, method) = (self.state, self.request.method());
        match resource {
            "webhooks" => hooks::serve(state, method, id, self.params, self.body, &key.consumer_key).await,
            "orders" => resources::orders(state, method, id, self.params, self.body),
            resource => resources::others(state, method, resource, id, self.params),
        }
    }

    fn permitted(&self) -> Result<ShopKey, RestError> {
        let key = authenticate(self.state, self.request, self.params)?.ok_or(RestError::cannot_view(false))?;
        match key.rights {
            KeyRights::Demoted => Err(RestError::cannot_view(true)),
            KeyRights::Read if self.request.method() != Method::GET => Err(RestError::READ_ONLY),
            _ => Ok(key),
        }
    }
}
