//! Looks for a shop's REST API: at the usual place, at the one in the front page's `Link` header, and at those of
//! shops without URL rewriting. Sends no credentials.

use std::time::{Duration, Instant};

use reqwest::{
    Method, Response,
    header::{self, HeaderMap},
};
use serde_json::Value;
use url::Url;

use super::{
    Code, Refusal, Shop, Shops,
    root::{self, NAMESPACE, RestRoot},
};
use crate::http::{CallError, Failure, json_start, read_body};

/// How long before an API that was not found is looked for again.
const SEARCH_PAUSE: Duration = Duration::from_secs(20);
/// The largest index that is read: shops that cannot shorten it list every plugin's routes.
const MAX_INDEX: usize = 8 * 1024 * 1024;

/// What was found at one place.
enum Place {
    Api,
    /// The site has another host name, or must be called by `https`.
    Moved(Url),
    Nothing(CallError),
    /// There is no answer, at least not now: other places on the same host would not answer either.
    Unreachable(CallError),
}

impl Shop {
    /// Where the API is; looks for it if that is not known.
    pub(super) async fn root(&self) -> Result<RestRoot, CallError> {
        if let Some(root) = self.known_root()? {
            return Ok(root);
        }
        let _search = self.search.lock().await;
        if let Some(root) = self.known_root()? {
            return Ok(root);
        }
        let found = self.shops.find_root(&self.site).await;
        let mut state = self.state.lock();
        match found {
            Ok(root) => {
                state.root = Some(root.clone());
                state.not_found = None;
                Ok(root)
            }
            Err(error) => {
                state.not_found = Some((Instant::now(), error));
                drop(state);
                self.gate.answered(Err(error), Instant::now(), rand::random());
                Err(error)
            }
        }
    }

    fn known_root(&self) -> Result<Option<RestRoot>, CallError> {
        let state = self.state.lock();
        match (&state.root, &state.not_found) {
            (Some(root), _) => Ok(Some(root.clone())),
            // A shop that could not be reached may be back at any moment, but one without an API will not have one a
            // second later.
            (None, Some((at, error))) if at.elapsed() < SEARCH_PAUSE && is_page(error) => Err(*error),
            (None, _) => Ok(None),
        }
    }

    /// Forgets where the API is, or that it was not found.
    pub fn forget_root(&self) {
        let mut state = self.state.lock();
        (state.root, state.not_found) = (None, None);
    }
}

fn is_page(error: &CallError) -> bool {
    matches!(error.failure, Failure::Html(_))
}

impl Shops {
    /// Finds the REST API of the shop with this front page (see [`root::front_page`]).
    ///
    /// # Errors
    /// What was found instead of an API; [`Failure::Html`] with 404 if there is none.
    pub async fn find_root(&self, site: &Url) -> Result<RestRoot, CallError> {
        let mut site = site.clone();
        let mut has_moved = false;
        loop {
            match self.search(&site).await {
                Err(Place::Moved(other)) if !has_moved => (site, has_moved) = (other, true),
                Err(Place::Nothing(error) | Place::Unreachable(error)) => return Err(error),
                Err(Place::Moved(_) | Place::Api) => return Err(Failure::Html(404).into()),
                Ok(root) => return Ok(root),
            }
        }
    }

    async fn search(&self, site: &Url) -> Result<RestRoot, Place> {
        let mut worst = None;
        let pretty = RestRoot::pretty(site);
        if self.is_api(&pretty, &mut worst).await? {
            return Ok(pretty);
        }
        let linked = self.linked_root(site).await.filter(|linked| *linked != pretty);
        for root in linked.into_iter().chain([RestRoot::index_php(site), RestRoot::plain(site)]) {
            if self.is_api(&root, &mut worst).await? {
                return Ok(root);
            }
        }
        Err(Place::Nothing(worst.unwrap_or_else(|| Failure::Html(404).into())))
    }

    /// Whether there is an API. The first failure that says more than "not found" is kept in `worst`.
    async fn is_api(&self, root: &RestRoot, worst: &mut Option<CallError>) -> Result<bool, Place> {
        match self.look_at(root).await {
            Place::Api => Ok(true),
            Place::Nothing(error) => {
                let says_more = !matches!(error.failure.status(), Some(200..=399 | 404 | 410) | None);
                if says_more {
                    worst.get_or_insert(error);
                }
                Ok(false)
            }
            ends => Err(ends),
        }
    }

    /// Whether the API is at this place: by the index of its namespace, or where that is not to be had, by the list of
    /// namespaces in the site's own index.
    async fn look_at(&self, root: &RestRoot) -> Place {
        let found = self.look_at_index(root, NAMESPACE, "namespace").await;
        let Place::Nothing(error) = &found else { return found };
        if !matches!(error.failure.status(), Some(404)) {
            return found;
        }
        match self.look_at_index(root, "", "namespaces").await {
            Place::Api => Place::Api,
            _ => found,
        }
    }

    async fn look_at_index(&self, root: &RestRoot, route: &str, field: &str) -> Place {
        let fields = [("_fields".to_owned(), field.to_owned())];
        let asked = match root.url(route, &fields) {
            Ok(url) => url,
            Err(error) => return Place::Nothing(error),
        };
        let response = match self.ask(&asked).await {
            Ok(response) => response,
            Err(error) => return Place::Unreachable(error),
        };
        if response.status().is_redirection() {
            let error = CallError::of_status(&response);
            return moved_site(root.site(), &asked, response.headers()).map_or(Place::Nothing(error), Place::Moved);
        }
        if response.status().is_success() {
            let status = response.status().as_u16();
            return match read_body(response, MAX_INDEX).await {
                Ok(body) if is_index(&body) => Place::Api,
                Ok(_) => Place::Nothing(Failure::Html(status).into()),
                Err(error) => Place::Unreachable(error),
            };
        }
        let error = CallError::of_status(&response);
        let body = read_body(response, super::refusal::MAX_ERROR).await.unwrap_or_default();
        let refusal = Refusal::read(error, &body);
        match refusal.error.failure {
            // An API that requires a login is an API.
            Failure::Status(401 | 403) if refusal.code != Code::Other => Place::Api,
            Failure::Status(status) | Failure::Html(status) if status == 429 || status >= 500 => {
                Place::Unreachable(refusal.error)
            }
            _ => Place::Nothing(refusal.error),
        }
    }

    /// The root that the front page links to.
    async fn linked_root(&self, site: &Url) -> Option<RestRoot> {
        let response = self.ask(site).await.ok()?;
        let links = response.headers().get_all(header::LINK);
        let link = links.iter().filter_map(|link| link.to_str().ok()).find_map(api_link)?;
        RestRoot::from_link(site, &site.join(&link).ok()?)
    }

    async fn ask(&self, url: &Url) -> Result<Response, CallError> {
        let request = self.http.guarded(Method::GET, url.clone(), self.timeout)?;
        Ok(request.send().await?)
    }
}

/// Whether a body is the index of the API's namespace, or of a site that has it.
fn is_index(body: &[u8]) -> bool {
    let index: Option<Value> = serde_json::from_slice(json_start(body)).ok();
    index.is_some_and(|index| {
        let is_named = index["namespaces"].as_array().is_some_and(|all| all.iter().any(|name| name == NAMESPACE));
        is_named || index["namespace"] == NAMESPACE
    })
}

/// The front page of the same site under another host name or scheme, if the redirect leads there.
fn moved_site(site: &Url, asked: &Url, headers: &HeaderMap) -> Option<Url> {
    let target = asked.join(headers.get(header::LOCATION)?.to_str().ok()?).ok()?;
    if !root::is_same_site(site, &target) || target.origin() == asked.origin() {
        return None;
    }
    let mut moved = site.clone();
    moved.set_scheme(target.scheme()).ok()?;
    moved.set_host(target.host_str()).ok()?;
    Some(moved)
}

/// The target of `rel="https://api.w.org/"` in a `Link` header (WordPress, "Discovery").
fn api_link(header: &str) -> Option<String> {
    header.split('<').skip(1).find_map(|link| {
        let (target, rest) = link.split_once('>')?;
        rest.contains("https://api.w.org/").then(|| target.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apis_link_is_found_among_others() {
        let header = r#"<https://shop.example/feed/>; rel="alternate", <https://shop.example/index.php?rest_route=/>; rel="https://api.w.org/""#;
        assert_eq!(api_link(header).as_deref(), Some("https://shop.example/index.php?rest_route=/"));
        for other in ["", "<", "<a", "<a>; rel=shortlink", ">;rel=\"https://api.w.org/\""] {
            assert_eq!(api_link(other), None, "{other}");
        }
    }

    #[test]
    fn a_redirect_to_the_same_site_is_followed_by_name() {
        let site = Url::parse("http://shop.example/blog/").expect("a URL");
        let asked = Url::parse("http://shop.example/blog/wp-json/wc/v3").expect("a URL");
        let moved = |to: &'static str| {
            let headers = HeaderMap::from_iter([(header::LOCATION, header::HeaderValue::from_static(to))]);
            moved_site(&site, &asked, &headers).map(String::from)
        };
        assert_eq!(moved("https://www.shop.example/x").as_deref(), Some("https://www.shop.example/blog/"));
        for elsewhere in ["https://evil.example/", "/blog/login", "http://shop.example/blog/wp-json/wc/v3/", "ftp://a/"]
        {
            assert_eq!(moved(elsewhere), None, "{elsewhere}");
        }
    }
}
