//! Makes one call: finds the API first, authenticates, and reads the whole answer. Keys go in the query only after it
//! has been proven that the web server removes the header with them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{
    Method, Response,
    header::{self, HeaderMap},
};
use url::Url;

use super::{
    AuthMode, Code, Operation, Permit, Refusal, Shop,
    auth::Keys,
    refusal::MAX_ERROR,
    root::{NAMESPACE, Query, RestRoot},
};
use crate::{
    clock::Timestamp,
    http::{CallError, Failure, number, read_body},
};

/// The largest list that is accepted.
pub(super) const MAX_LIST: usize = 32 * 1024 * 1024;
/// The pause between tests of whether the header is removed.
const HEADER_PAUSE: Duration = Duration::from_secs(600);

/// A request to the API.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub operation: Operation,
    pub method: Method,
    /// The route below `wc/v3/`, such as `orders/218`.
    pub route: &'a str,
    pub query: Query,
    /// The body, as JSON.
    pub body: Option<Vec<u8>>,
    /// The largest answer that is accepted.
    pub limit: usize,
}

impl<'a> Ask<'a> {
    pub fn get(operation: Operation, route: &'a str, query: Query, limit: usize) -> Self {
        Self { operation, method: Method::GET, route, query, body: None, limit }
    }
}

/// A successful answer.
pub(super) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The value of `X-WP-Total`: how many rows there are in all.
    pub fn total(&self) -> Option<u64> {
        number(&self.headers, "x-wp-total")
    }

    /// The value of `X-WP-TotalPages`: how many pages there are.
    pub fn pages(&self) -> Option<u64> {
        number(&self.headers, "x-wp-totalpages")
    }
}

impl Shop {
    /// Makes one call under a permit. Any 2xx is a success. It may take more than one request: before the first, the
    /// API is looked for; after a refusal, it may be tested whether the header is removed.
    pub(super) async fn call(&self, _permit: &Permit, ask: &Ask<'_>) -> Result<Reply, Refusal> {
        let root = match self.root().await {
            Ok(root) => root,
            Err(error) => {
                self.observe(ask.operation, Err(error.failure));
                return Err(error.into());
            }
        };
        let auth = self.state.lock().auth;
        let first = self.send(&root, auth, &self.keys, ask).await;
        let Err(refusal) = first else { return first };
        if refusal.may_have_moved() {
            self.state.lock().root = None;
        }
        let is_unseen = refusal.status() == Some(401) && refusal.code != Code::Authentication;
        if auth != AuthMode::Basic || !is_unseen || !self.is_header_stripped(&root).await {
            return Err(refusal);
        }
        self.send(&root, AuthMode::QueryKeys, &self.keys, ask).await
    }

    /// Whether the `Authorization` header does not reach WordPress, which is so if it knows the key when that comes
    /// in the query. The test uses a wrong secret, so that nothing that opens the shop gets into its logs. Concurrent
    /// calls share one test.
    async fn is_header_stripped(&self, root: &RestRoot) -> bool {
        let _search = self.search.lock().await;
        {
            let mut state = self.state.lock();
            if state.auth == AuthMode::QueryKeys {
                return true;
            }
            if state.header_tried.is_some_and(|tried| tried.elapsed() < HEADER_PAUSE) {
                return false;
            }
            state.header_tried = Some(Instant::now());
        }
        let is_stripped = self.knows_key_in_query(root).await;
        if is_stripped {
            self.use_query_keys();
        }
        is_stripped
    }

    pub(super) fn use_query_keys(&self) {
        self.state.lock().auth = AuthMode::QueryKeys;
        let shop = self.site.host_str().unwrap_or_default();
        tracing::warn!(
            shop,
            "{shop}: its web server takes the Authorization header away, so the keys go in the query, into its access log"
        );
    }

    /// Whether WooCommerce accepts keys in the query, and knows this one.
    pub(super) async fn knows_key_in_query(&self, root: &RestRoot) -> bool {
        let seen = self.send(root, AuthMode::QueryKeys, &self.keys.with_wrong_secret(), &smallest_read()).await;
        seen.is_err_and(|refusal| refusal.code == Code::Authentication)
    }

    /// Sends one request and reads the whole answer.
    pub(super) async fn send(
        &self,
        root: &RestRoot,
        auth: AuthMode,
        keys: &Keys,
        ask: &Ask<'_>,
    ) -> Result<Reply, Refusal> {
        let url = root.url(&format!("{NAMESPACE}/{}", ask.route), &ask.query)?;
        let outcome = match self.request(url, auth, keys, ask).await {
            Ok(response) => self.read(response, ask).await,
            Err(error) => Err(error.into()),
        };
        self.observe(
            ask.operation,
            outcome.as_ref().map(|reply| reply.status).map_err(|refusal| refusal.error.failure),
        );
        outcome
    }

    async fn request(&self, mut url: Url, auth: AuthMode, keys: &Keys, ask: &Ask<'_>) -> Result<Response, CallError> {
        let added = match auth {
            AuthMode::Basic => Vec::new(),
            AuthMode::QueryKeys => keys.as_query(),
            AuthMode::OAuth => keys.sign_now(&ask.method, &url),
        };
        add(&mut url, &added);
        let http = &self.shops.http;
        let mut request =
            http.guarded(ask.method.clone(), url, self.shops.timeout)?.header(header::ACCEPT, "application/json");
        if auth == AuthMode::Basic {
            request = request.basic_auth(keys.key.expose(), Some(keys.secret.expose()));
        }
        if let Some(body) = &ask.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        Ok(request.send().await?)
    }

    async fn read(&self, response: Response, ask: &Ask<'_>) -> Result<Reply, Refusal> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok()).map(Timestamp::from);
        let outcome = if response.status().is_success() {
            read_body(response, ask.limit).await.map(|body| Reply { status, headers, body }).map_err(Refusal::from)
        } else {
            let error = CallError::of_status(&response);
            let body = read_body(response, MAX_ERROR).await.unwrap_or_default();
            Err(Refusal::read(error, &body))
        };
        self.learn(ask.operation, outcome.as_ref().map(|reply| reply.status).map_err(|refusal| *refusal), date);
        outcome
    }

    fn observe(&self, operation: Operation, outcome: Result<u16, Failure>) {
        // Webhooks may work even if orders do not.
        if operation != Operation::Hooks {
            self.state.lock().reach.observed(outcome.err(), Timestamp::now());
        }
        if let Some(observer) = &self.shops.observer {
            observer(operation, outcome);
        }
    }
}

/// Reads one order's id: proves that the keys may read orders, and returns nothing personal.
pub(super) fn smallest_read() -> Ask<'static> {
    let query = [("per_page", "1"), ("_fields", "id")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Ask::get(Operation::Orders, "orders", query, MAX_LIST)
}

/// Appends parameters; those already there stay as they are.
fn add(url: &mut Url, added: &[(String, String)]) {
    if added.is_empty() {
        return;
    }
    let mut query = url.query().map(|query| format!("{query}&")).unwrap_or_default();
    let pairs: Vec<String> = added
        .iter()
        .map(|(name, value)| format!("{}={}", super::auth::percent(name), super::auth::percent(value)))
        .collect();
    query.push_str(&pairs.join("&"));
    url.set_query(Some(&query));
}
