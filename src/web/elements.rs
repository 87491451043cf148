//! The Cloud Elements API: authentication, routing, and answers and errors in the vendor's form. Each module below is
//! one group of routes; `crate::elements` knows what requests and configurations mean.

mod events;
mod hubs;
mod instances;
mod route;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    guard::GuardContext,
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use bytes::Bytes;
use serde_json::Value;
use url::form_urlencoded;

use super::{
    RETRY_AFTER, Relay,
    bodies::{BodyError, Sender},
    requests,
};
use crate::{
    connection::Connection,
    directory::DirectoryError,
    elements::{
        authorization::{Authorization, token_digest},
        catalog::{ELEMENTS, Element},
        error::{ApiError, new_request_id},
    },
    humanize,
    inbox::{ConnectionState, InboxError},
    spec::{InstanceSpec, Origin},
};
use route::{FIRST_SEGMENTS, PREFIX, Route, Target};

/// The largest body that is read.
const MAX_BODY: usize = 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("elements-request-id");
const ERROR: HeaderName = HeaderName::from_static("elements-error");
const RETURNED_COUNT: HeaderName = HeaderName::from_static("elements-returned-count");
const TOTAL_COUNT: HeaderName = HeaderName::from_static("elements-total-count");
const NEXT_PAGE: HeaderName = HeaderName::from_static("elements-next-page-token");
const INSTANCE_ID: HeaderName = HeaderName::from_static("elements-element-instance-id");

/// The routes; none if the API is not configured.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let scope = |path: &str| web::scope(path).guard_if_served();
    config.service(scope(PREFIX));
    for segment in FIRST_SEGMENTS {
        config.service(scope(&format!("/{segment}")));
    }
}

trait Served {
    fn guard_if_served(self) -> Self;
}

impl Served for actix_web::Scope {
    fn guard_if_served(self) -> Self {
        self.guard(is_served as fn(&GuardContext<'_>) -> bool).default_service(web::to(serve))
    }
}

fn is_served(context: &GuardContext<'_>) -> bool {
    let relay = context.app_data::<web::Data<Arc<Relay>>>();
    relay.is_some_and(|relay| relay.services.settings.elements.is_some())
}

/// The authenticated caller, who knows the user's secret, and either the organisation's or the token of an instance.
struct Caller {
    /// The instance of the `Element` token, if one was given.
    instance: Option<Arc<Connection>>,
    /// Whether the organisation's secret was given.
    is_organization: bool,
}

/// An authenticated request.
struct Call<'a> {
    relay: &'a Relay,
    request: &'a HttpRequest,
    caller: Caller,
}

async fn serve(request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let id = new_request_id();
    let mut response = match answer(&request, payload, &relay).await {
        Ok(response) => response,
        Err(error) => refusal(&error, &id),
    };
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn refusal(error: &ApiError, id: &str) -> HttpResponse {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = super::json(status, &error.body(id));
    let headers = response.headers_mut();
    headers.insert(ERROR, HeaderValue::from_static("true"));
    if status == StatusCode::UNAUTHORIZED && error.provider_message.is_none() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("User"));
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

async fn answer(request: &HttpRequest, payload: web::Payload, relay: &Relay) -> Result<HttpResponse, ApiError> {
    let path = route::without_prefix(request.path());
    let no_route = || ApiError::not_found("this resource is not served here");
    let route = Route::of(path).ok_or_else(no_route)?;
    if route == Route::Hub && request.method() != Method::GET {
        return Err(ApiError::not_found("hub resources can be read only"));
    }
    let call = Call { relay, request, caller: caller(request, relay)? };
    requests::mark_proven(request);
    let method = request.method().as_str();
    match (method, route) {
        ("POST", Route::Instances) => instances::create(&call, payload, None).await,
        ("POST", Route::InstancesOf(element)) => instances::create(&call, payload, Some(&element)).await,
        ("GET", Route::Instances) => instances::list(&call),
        ("PUT" | "PATCH", Route::Instances) => instances::change(&call, payload, &Target::Token).await,
        ("DELETE", Route::Instances) => instances::end(&call, &Target::Token).await,
        ("GET", Route::Instance(target)) => instances::show(&call, &target),
        ("PUT" | "PATCH", Route::Instance(target)) => instances::change(&call, payload, &target).await,
        ("DELETE", Route::Instance(target)) => instances::end(&call, &target).await,
        ("PUT" | "DELETE", Route::Enabled(target)) => instances::enable(&call, &target, method == "PUT").await,
        ("GET", Route::Configuration(target)) => instances::configuration(&call, &target),
        ("GET", Route::Events(target)) => events::list(&call, &target).await,
        ("GET", Route::Event(target, id)) => events::show(&call, &target, &id).await,
        ("PUT", Route::Deliveries) => events::release_queue(&call).await,
        ("GET", Route::Elements) => Ok(listed(ELEMENTS.iter().map(Element::listed).collect())),
        ("GET", Route::Element(element)) => show_element(&element),
        ("GET", Route::Ping) => hubs::ping(&call).await,
        ("GET", Route::Hub) => hubs::read(&call, path).await,
        // The vendor has other routes at these paths, which are not offered here.
        (
            _,
            Route::Deliveries | Route::InstancesOf(_) | Route::Configuration(_) | Route::Elements | Route::Element(_),
        ) => Err(no_route()),
        _ => Err(ApiError::new(405, format!("{method} is not possible here"))),
    }
}

/// Authenticates the caller.
///
/// # Errors
/// 401 for wrong or missing secrets, and for the token of an instance that has ended.
fn caller(request: &HttpRequest, relay: &Relay) -> Result<Caller, ApiError> {
    let settings = relay.services.settings.elements.as_ref().ok_or_else(ApiError::unauthorized)?;
    let header = request.headers().get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let authorization = header.and_then(Authorization::parse).ok_or_else(ApiError::unauthorized)?;
    let token = authorization.check(&settings.user_secret, &settings.organization_secret)?;
    let instance = match token {
        None => None,
        Some(token) => {
            let found = relay.services.catalog.by_token_digest(&token_digest(token));
            Some(found.filter(|connection| is_instance(connection)).ok_or_else(ApiError::unauthorized)?)
        }
    };
    Ok(Caller { instance, is_organization: authorization.organization.is_some() })
}

fn is_instance(connection: &Connection) -> bool {
    connection.origin == Origin::Instance
        && connection.state != ConnectionState::Disconnected
        && connection.link.is_some()
}

impl Call<'_> {
    /// The instance that a request is about.
    ///
    /// # Errors
    /// 404 if there is none; 401 if only a token could tell which, and there is none; 403 if it is not the token's
    /// instance and the caller has shown nothing but the token.
    fn instance(&self, target: &Target) -> Result<Arc<Connection>, ApiError> {
        let nobody = |id: &dyn std::fmt::Display| ApiError::not_found(format!("No instance found with ID {id}"));
        match target {
            Target::Token => self.caller.instance.clone().ok_or_else(|| {
                ApiError::new(
                    401,
                    "the Authorization header says no `Element <token>`, nor does the path name an instance",
                )
            }),
            Target::Nobody(id) => Err(nobody(id)),
            Target::Id(id) => {
                let own = self.caller.instance.as_ref().map(|instance| instance.id);
                if !self.caller.is_organization && own != Some(*id) {
                    return Err(ApiError::new(403, "this token is another instance's"));
                }
                let found = self.relay.services.connection(*id).filter(|connection| is_instance(connection));
                found.ok_or_else(|| nobody(id))
            }
        }
    }

    /// The first value of a query parameter.
    fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.request.query_string().as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// All values of a query parameter that may be repeated.
    fn parameters(&self, names: &[&str]) -> Vec<String> {
        let pairs = form_urlencoded::parse(self.request.query_string().as_bytes());
        pairs.filter(|(key, _)| names.contains(&key.as_ref())).map(|(_, value)| value.into_owned()).collect()
    }

    /// The parameter `pageSize`, if given.
    fn page_size(&self) -> Result<Option<u32>, ApiError> {
        let read = |text: String| {
            let size = text.trim().parse().ok().filter(|size| (1..=1000).contains(size));
            size.ok_or_else(|| ApiError::invalid("pageSize", "a whole number from 1 to 1000 is needed"))
        };
        self.parameter("pageSize").map(read).transpose()
    }

    async fn body(&self, payload: web::Payload) -> Result<Bytes, ApiError> {
        let read = self.relay.bodies.read(Sender::Client, self.request.headers(), payload, MAX_BODY).await;
        read.map(|body| body.bytes.clone()).map_err(|error| match error {
            BodyError::TooLarge => ApiError::new(413, "the body is larger than 1 MiB"),
            BodyError::Incomplete => ApiError::new(408, "the body did not come whole, or not in time"),
            BodyError::Crowded => ApiError::new(503, "too many bodies are being read; try again"),
        })
    }
}

fn show_element(key_or_id: &str) -> Result<HttpResponse, ApiError> {
    let element = Element::find(key_or_id);
    let element =
        element.ok_or_else(|| ApiError::not_found(format!("No element found with ID {}", printable(key_or_id))))?;
    Ok(super::json(StatusCode::OK, &element.listed()))
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// A list, with its length in the headers.
fn listed(items: Vec<Value>) -> HttpResponse {
    let count = items.len();
    let mut response = super::json(StatusCode::OK, &items);
    set_count(&mut response, RETURNED_COUNT, count as u64);
    response
}

fn set_count(response: &mut HttpResponse, name: HeaderName, count: u64) {
    response.headers_mut().insert(name, HeaderValue::from(count));
}

/// The settings from the client, if the connection is an instance.
fn spec_of(connection: &Connection) -> Option<&InstanceSpec> {
    connection.link.as_ref()?.spec.instance.as_ref()
}

impl From<InboxError> for ApiError {
    /// The details go to the log.
    fn from(error: InboxError) -> Self {
        tracing::error!(%error, "a request could not be answered: {error}");
        Self::new(503, "the database cannot be used at the moment")
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Refused(failure) => {
                Self::refused_by_store("the store refuses the credentials", humanize::failure(failure))
            }
            DirectoryError::Unreachable(failure) => Self {
                status: 502,
                message: "the store cannot be asked whether it takes the credentials; try again".to_owned(),
                provider_message: Some(humanize::failure(failure)),
            },
            DirectoryError::BadAddress => Self::invalid("store.url", "the store's address cannot be used"),
            DirectoryError::Unknown(id) | DirectoryError::Disconnected(id) => {
                Self::not_found(format!("No instance found with ID {id}"))
            }
            DirectoryError::Duplicate(_)
            | DirectoryError::EnvironmentsOwn(_)
            | DirectoryError::Overtaken(_)
            | DirectoryError::Incomplete(_) => Self::new(409, error.to_string()),
            DirectoryError::Keyring(_) => Self::new(500, error.to_string()),
            DirectoryError::Inbox(error) => error.into(),
        }
    }
}
