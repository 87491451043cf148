//! Where a shop's REST API is, and how its addresses are built. Pure.
//!
//! There are three forms (WordPress, "Routes and Endpoints"): `/wp-json/…` with pretty permalinks,
//! `/index.php/wp-json/…` without URL rewriting, and `/?rest_route=/…` with plain permalinks. WooCommerce before 11.1
//! authenticates only requests whose address contains the literal text `wp-json/wc/`, so the last form includes it
//! unescaped.

use url::{Url, form_urlencoded};

use crate::http::{CallError, Failure};

/// The namespace of the API that is used.
pub const NAMESPACE: &str = "wc/v3";

/// Makes WooCommerce check the credentials of a request with `rest_route`.
const AUTHENTICATION_MARK: &str = "wp-json/wc/";

/// How a shop writes its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permalinks {
    /// Routes below `/wp-json/`.
    Pretty,
    /// Routes below `/index.php/wp-json/`.
    IndexPhp,
    /// Routes in `/?rest_route=/`; WooCommerce's own page for connecting by one click does not work then.
    Plain,
}

/// Query parameters, not yet escaped.
pub type Query = Vec<(String, String)>;

/// Where a shop's REST API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestRoot {
    /// The shop's front page; the path ends in a slash.
    site: Url,
    base: Base,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    /// Routes are appended to this address, which ends in a slash.
    Path(Url),
    /// Routes are a parameter of this address.
    Parameter(Url),
}

impl RestRoot {
    /// The root `/wp-json/` below the shop's address.
    pub fn pretty(site: &Url) -> Self {
        Self { base: Base::Path(below(site, "wp-json/")), site: site.clone() }
    }

    /// The root `/index.php/wp-json/` below the shop's address.
    pub fn index_php(site: &Url) -> Self {
        Self { base: Base::Path(below(site, "index.php/wp-json/")), site: site.clone() }
    }

    /// The root `/?rest_route=/` at the shop's address.
    pub fn plain(site: &Url) -> Self {
        Self { base: Base::Parameter(site.clone()), site: site.clone() }
    }

    /// The root that a front page gives in its `Link` header. `None` if it is on another site.
    pub fn from_link(site: &Url, link: &Url) -> Option<Self> {
        if !is_same_site(site, link) {
            return None;
        }
        let mut base = link.clone();
        base.set_query(None);
        base.set_fragment(None);
        if link.query_pairs().any(|(name, _)| name == "rest_route") {
            return Some(Self { base: Base::Parameter(base), site: site.clone() });
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Some(Self { base: Base::Path(base), site: site.clone() })
    }

    /// How the shop writes its addresses.
    pub fn permalinks(&self) -> Permalinks {
        match &self.base {
            Base::Path(base) if base.path().contains("/index.php/") => Permalinks::IndexPhp,
            Base::Path(_) => Permalinks::Pretty,
            Base::Parameter(_) => Permalinks::Plain,
        }
    }

    /// The shop's front page.
    pub fn site(&self) -> &Url {
        &self.site
    }

    /// The address of a route such as `wc/v3/orders`; of the index for an empty route.
    ///
    /// # Errors
    /// [`Failure::Broken`] for a route that would lead elsewhere.
    pub fn url(&self, route: &str, query: &[(String, String)]) -> Result<Url, CallError> {
        if !is_safe(route) {
            return Err(Failure::Broken.into());
        }
        let (mut url, mut text) = match &self.base {
            Base::Path(base) => (base.join(route).map_err(|_| Failure::Broken)?, String::new()),
            Base::Parameter(base) => (base.clone(), format!("rest_route=/{route}&x={AUTHENTICATION_MARK}")),
        };
        for (name, value) in query {
            if !text.is_empty() {
                text.push('&');
            }
            text.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            text.push('=');
            text.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        }
        url.set_query((!text.is_empty()).then_some(&text));
        Ok(url)
    }
}

/// A shop's address as that of a front page: without query and fragment, and with a path that ends in a slash.
pub fn front_page(address: &str) -> Option<Url> {
    let mut url = Url::parse(address.trim()).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    url.host_str().filter(|host| !host.is_empty())?;
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

/// Whether credentials for one address may be sent to another: the host must be the same except for `www.`, and
/// `https` must not become `http`.
pub fn is_same_site(site: &Url, other: &Url) -> bool {
    let host = |url: &Url| {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        host.strip_prefix("www.").map_or(host.clone(), str::to_owned)
    };
    let is_as_safe = other.scheme() == "https" || (other.scheme() == "http" && site.scheme() == "http");
    let is_same_port = site.port() == other.port();
    let has_credentials = !other.username().is_empty() || other.password().is_some();
    is_as_safe && is_same_port && !has_credentials && host(site) == host(other)
}

/// Whether a route has no characters that could end a path, a parameter or a segment.
fn is_safe(route: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_.~-".contains(&b);
    route.bytes().all(plain) && !route.starts_with('/') && !route.split('/').any(|part| part == ".." || part == ".")
}

fn below(site: &Url, path: &str) -> Url {
    let mut url = site.clone();
    url.set_path(&format!("{}/{path}", site.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(address: &str) -> Url {
        front_page(address).expect("an address")
    }

    fn query(pairs: &[(&str, &str)]) -> Query {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_form_has_its_addresses() {
        let (shop, folder) = (site("https://shop.example"), site("https://shop.example/blog"));
        let asked = query(&[("status", "any"), ("after", "2026-11-26T10:00:00"), ("s", "a b&c")]);
        for (root, expected) in [
            (RestRoot::pretty(&shop), "https://shop.example/wp-json/wc/v3/orders?"),
            (RestRoot::index_php(&folder), "https://shop.example/blog/index.php/wp-json/wc/v3/orders?"),
            (RestRoot::plain(&shop), "https://shop.example/?rest_route=/wc/v3/orders&x=wp-json/wc/&"),
            (RestRoot::plain(&folder), "https://shop.example/blog/?rest_route=/wc/v3/orders&x=wp-json/wc/&"),
        ] {
            let url = root.url("wc/v3/orders", &asked).expect("a route");
            assert_eq!(url.as_str(), format!("{expected}status=any&after=2026-11-26T10%3A00%3A00&s=a+b%26c"));
        }
        assert_eq!(RestRoot::pretty(&shop).url("", &[]).expect("the index").as_str(), "https://shop.example/wp-json/");
    }

    #[test]
    fn a_link_header_is_followed_within_the_site_alone() {
        let shop = site("https://shop.example");
        let link = |text: &str| RestRoot::from_link(&shop, &Url::parse(text).expect("a URL"));
        assert_eq!(link("https://shop.example/wp-json/"), Some(RestRoot::pretty(&shop)));
        assert_eq!(
            link("https://shop.example/index.php?rest_route=/").map(|r| r.permalinks()),
            Some(Permalinks::Plain)
        );
        let other = link("https://www.shop.example/api/").expect("the same site");
        assert_eq!(other.url("wc/v3", &[]).expect("a route").as_str(), "https://www.shop.example/api/wc/v3");
        for foreign in [
            "https://evil.example/wp-json/",
            "http://shop.example/wp-json/",
            "https://shop.example:8443/wp-json/",
            "https://a:b@shop.example/wp-json/",
            "https://shop.example.evil.example/wp-json/",
        ] {
            assert_eq!(link(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn no_route_leads_elsewhere() {
        let shop = site("https://shop.example/blog/");
        for root in [RestRoot::pretty(&shop), RestRoot::plain(&shop)] {
            for route in
                ["//evil.example/", "https://evil.example", "wc/v3/../../x", "wc/v3/a?b", "wc/v3/a&b", "a b", "ä"]
            {
                assert!(root.url(route, &[]).is_err(), "{route}");
            }
        }
    }
}
