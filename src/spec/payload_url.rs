//! Checks a One Tribe payload URL that was typed by a merchant or came through an API: its form and its host only. No
//! DNS lookup and no call is made; addresses are checked when it is called (`http::AddressPolicy`).

use std::{fmt, str::FromStr};

use url::{Host, Url};

use crate::http::{AddressPolicy, PrivateAddress};

/// Longest payload URL that is accepted; real ones have about 100 characters.
const MAX_LENGTH: usize = 2048;

/// The hosts that a payload URL may use (`ONE_TRIBE_HOSTS`): names, `*.` names, addresses. The port does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTribeHosts(Vec<HostPattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    /// Exactly this name or address.
    Exactly(Host),
    /// Any name below this one.
    Below(String),
}

/// An entry of `ONE_TRIBE_HOSTS` is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// There is no entry.
    #[error("names no host")]
    Empty,
    /// This entry is not a name, a `*.` name or an address.
    #[error("{0:?} is not a host: give names, names that begin with *. or addresses, without scheme, port and path")]
    NotAHost(String),
}

impl HostPattern {
    fn parse(entry: &str) -> Option<Self> {
        let (name, is_wildcard) = entry.strip_prefix("*.").map_or((entry, false), |name| (name, true));
        // IPv6 addresses have brackets in a URL, and none elsewhere.
        let name = match name.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => name.to_owned(),
        };
        let is_odd = |c: char| c.is_whitespace() || "*/?#@%\\".contains(c);
        if name.contains(is_odd) || name.starts_with('.') || name.ends_with('.') {
            return None;
        }
        match (Host::parse(&name).ok()?, is_wildcard) {
            (Host::Domain(name), true) => Some(Self::Below(name)),
            (_, true) => None,
            (host, false) => Some(Self::Exactly(host)),
        }
    }

    fn matches(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::Exactly(Host::Domain(own)), Host::Domain(name)) => own == name,
            (Self::Exactly(Host::Ipv4(own)), Host::Ipv4(address)) => own == address,
            (Self::Exactly(Host::Ipv6(own)), Host::Ipv6(address)) => own == address,
            (Self::Below(own), Host::Domain(name)) => name
                .strip_suffix(own.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|below| !below.is_empty()),
            _ => false,
        }
    }
}

impl OneTribeHosts {
    /// The hosts in these entries.
    ///
    /// # Errors
    /// [`HostsError`]: the first invalid entry, or that there is none.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, HostsError> {
        let read = |entry: &str| HostPattern::parse(entry).ok_or_else(|| HostsError::NotAHost(entry.to_owned()));
        let patterns = entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty()).map(read);
        let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
        if patterns.is_empty() { Err(HostsError::Empty) } else { Ok(Self(patterns)) }
    }

    /// Whether a URL with this host is One Tribe's.
    pub fn matches(&self, host: &Host<&str>) -> bool {
        self.0.iter().any(|pattern| pattern.matches(host))
    }
}

/// Parses entries separated by commas.
impl FromStr for OneTribeHosts {
    type Err = HostsError;

    fn from_str(list: &str) -> Result<Self, HostsError> {
        Self::new(list.split(','))
    }
}

/// One Tribe's own hosts: `onetribeglobal.com,*.onetribeglobal.com`.
impl Default for OneTribeHosts {
    fn default() -> Self {
        let own = "onetribeglobal.com".to_owned();
        Self(vec![HostPattern::Exactly(Host::Domain(own.clone())), HostPattern::Below(own)])
    }
}

/// The entries as in the variable, for messages.
impl fmt::Display for OneTribeHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            match pattern {
                HostPattern::Exactly(host) => write!(f, "{host}")?,
                HostPattern::Below(name) => write!(f, "*.{name}")?,
            }
        }
        Ok(())
    }
}

/// What is wrong with a payload URL. Contains nothing of the URL itself: any part of it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadUrlProblem {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It has more than 2,048 characters.
    #[error("is longer than 2,048 characters")]
    TooLong,
    /// It is not a URL: it has no scheme or host, or has spaces or line breaks within.
    #[error("is not a URL (https://…)")]
    NotAUrl,
    /// The scheme is not https, and not plain http to an address that the operator has opened.
    #[error("must begin with https://")]
    NotHttps,
    /// There is a user or a password before the host.
    #[error("must not hold a user or password before the host")]
    UserInfo,
    /// There is a fragment (`#`).
    #[error("must not hold a # part")]
    Fragment,
    /// The host is an address of the relay's own network.
    #[error("names a private, loopback or link-local address")]
    PrivateAddress,
    /// The host is not in `ONE_TRIBE_HOSTS`.
    #[error("names a host that is not One Tribe's (see ONE_TRIBE_HOSTS)")]
    ForeignHost,
    /// There is only a host name, or a path that was cut off before the merchant's token.
    #[error("is cut off: a payload URL ends with the merchant's own token")]
    CutOff,
}

/// Paths of One Tribe's payload URLs without the merchant's token.
const CUT_OFF: [&str; 4] =
    ["", "/direct/webhook", "/direct/webhook/big-commerce", "/direct/webhook/big-commerce/order"];

/// Checks a payload URL, ignoring white space around it, and returns it in normal form.
///
/// # Errors
/// The first [`PayloadUrlProblem`].
pub fn check_payload_url(text: &str, hosts: &OneTribeHosts, policy: &AddressPolicy) -> Result<Url, PayloadUrlProblem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(PayloadUrlProblem::Empty);
    }
    if text.len() > MAX_LENGTH {
        return Err(PayloadUrlProblem::TooLong);
    }
    // The parser would drop line breaks and read a backslash as a slash: the URL would differ from the one that the
    // person sees.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(PayloadUrlProblem::NotAUrl);
    }
    let url = Url::parse(text).map_err(|_| PayloadUrlProblem::NotAUrl)?;
    // A browser reads `https:host` and `https:///host` in the same way, but they hide the host from a reader.
    let authority = text.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let (Some(host), Some(authority)) = (url.host(), authority.filter(|authority| !authority.is_empty())) else {
        return Err(if url.has_host() { PayloadUrlProblem::NotAUrl } else { scheme_problem(&url) });
    };
    check_scheme(&url, policy)?;
    if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
        return Err(PayloadUrlProblem::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(PayloadUrlProblem::Fragment);
    }
    policy.check_literal(&url).map_err(|PrivateAddress| PayloadUrlProblem::PrivateAddress)?;
    if !hosts.matches(&host) {
        return Err(PayloadUrlProblem::ForeignHost);
    }
    // A URL without its end is a common mistake when pasting. An address of the operator's own network may have any
    // path.
    let is_own = AddressPolicy::literal(&url).is_some();
    if !is_own && CUT_OFF.contains(&url.path().trim_end_matches('/')) && url.query().is_none() {
        return Err(PayloadUrlProblem::CutOff);
    }
    Ok(url)
}

fn scheme_problem(url: &Url) -> PayloadUrlProblem {
    if url.scheme() == "https" { PayloadUrlProblem::NotAUrl } else { PayloadUrlProblem::NotHttps }
}

fn check_scheme(url: &Url, policy: &AddressPolicy) -> Result<(), PayloadUrlProblem> {
    let is_opened = || AddressPolicy::literal(url).is_some_and(|address| policy.is_opened(address));
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_opened() => Ok(()),
        _ => Err(PayloadUrlProblem::NotHttps),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked(text: &str, hosts: &str, opened: &[&str]) -> Result<String, PayloadUrlProblem> {
        let policy = AddressPolicy::new(opened.iter().map(|network| network.parse().expect("a network")).collect());
        let hosts = hosts.parse().expect("hosts");
        check_payload_url(text, &hosts, &policy).map(String::from)
    }

    fn by_default(text: &str) -> Result<String, PayloadUrlProblem> {
        checked(text, &OneTribeHosts::default().to_string(), &[])
    }

    #[test]
    fn one_tribes_urls_are_taken_in_their_normal_form() {
        for (text, url) in [
            (
                "https://staging-api.onetribeglobal.com/direct/webhook/big-commerce/order/bOpx",
                "https://staging-api.onetribeglobal.com/direct/webhook/big-commerce/order/bOpx",
            ),
            ("  https://onetribeglobal.com/a\n", "https://onetribeglobal.com/a"),
            ("HTTPS://API.OneTribeGlobal.COM/A", "https://api.onetribeglobal.com/A"),
            ("https://api.onetribeglobal.com:443/a", "https://api.onetribeglobal.com/a"),
            ("https://api.onetribeglobal.com:8443/a?b=c", "https://api.onetribeglobal.com:8443/a?b=c"),
            ("https://a.b.onetribeglobal.com/x@y", "https://a.b.onetribeglobal.com/x@y"),
            ("https://onetribe%67lobal.com/a", "https://onetribeglobal.com/a"),
            ("https://ｏnetribeglobal.com/a", "https://onetribeglobal.com/a"),
            ("https://onetribeglobal.com/a/../b", "https://onetribeglobal.com/b"),
            ("https://onetribeglobal.com/?token=x", "https://onetribeglobal.com/?token=x"),
        ] {
            assert_eq!(by_default(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        use PayloadUrlProblem::*;
        let long = format!("https://onetribeglobal.com/{}", "a".repeat(MAX_LENGTH));
        for (text, problem) in [
            ("", Empty),
            (" \t\n", Empty),
            (long.as_str(), TooLong),
            ("onetribeglobal.com/a", NotAUrl),
            ("bOpx", NotAUrl),
            ("//onetribeglobal.com/a", NotAUrl),
            ("https://", NotAUrl),
            ("https:onetribeglobal.com/a", NotAUrl),
            ("https:///onetribeglobal.com/a", NotAUrl),
            ("https://onetribe global.com/a", NotAUrl),
            ("https://onetribeglobal.com/a\nb", NotAUrl),
            ("https://onetribeglobal.com\\@evil.example/a", NotAUrl),
            ("https:\\\\onetribeglobal.com\\a", NotAUrl),
            ("https://onetribeglobal.com:99999/a", NotAUrl),
            ("https://[::1/a", NotAUrl),
            ("http://onetribeglobal.com/a", NotHttps),
            ("ftp://onetribeglobal.com/a", NotHttps),
            ("javascript:alert(1)", NotHttps),
            ("data:text/plain,a", NotHttps),
            ("file:///etc/passwd", NotHttps),
            ("http://127.0.0.1/a", NotHttps),
            ("https://user@onetribeglobal.com/a", UserInfo),
            ("https://user:pass@onetribeglobal.com/a", UserInfo),
            ("https://:pass@onetribeglobal.com/a", UserInfo),
            ("https://@onetribeglobal.com/a", UserInfo),
            ("https://onetribeglobal.com@evil.example/a", UserInfo),
            ("https://onetribeglobal.com%40evil.example/a", NotAUrl),
            ("https://onetribeglobal.com/a#b", Fragment),
            ("https://onetribeglobal.com/a#", Fragment),
            ("https://127.0.0.1/a", PrivateAddress),
            ("https://127.1/a", PrivateAddress),
            ("https://2130706433/a", PrivateAddress),
            ("https://0x7f.1/a", PrivateAddress),
            ("https://localhost/a", PrivateAddress),
            ("https://[::1]/a", PrivateAddress),
            ("https://[::ffff:10.0.0.1]/a", PrivateAddress),
            ("https://169.254.169.254/latest/meta-data", PrivateAddress),
            ("https://8.8.8.8/a", ForeignHost),
            ("https://evil.example/a", ForeignHost),
            ("https://evilonetribeglobal.com/a", ForeignHost),
            ("https://onetribeglobal.com.evil.example/a", ForeignHost),
            ("https://onetribeglobal.com./a", ForeignHost),
            ("https://.onetribeglobal.com/a", ForeignHost),
            ("https://onetribeglobal.co/a", ForeignHost),
            ("https://оnetribeglobal.com/a", ForeignHost),
            ("https://onetribeglobal.com", CutOff),
            ("https://api.onetribeglobal.com/", CutOff),
            ("https://onetribeglobal.com/direct/webhook/", CutOff),
            ("https://onetribeglobal.com/direct/webhook/big-commerce/order", CutOff),
            ("https://onetribeglobal.com/direct/webhook/big-commerce/order/", CutOff),
        ] {
            assert_eq!(by_default(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn opened_networks_take_plain_http_for_hosts_that_are_listed() {
        let (hosts, opened) = ("127.0.0.1, ::1, 10.1.2.3, onetribeglobal.com", ["127.0.0.0/8", "::1/128"]);
        for (text, problem) in [
            ("http://127.0.0.1:4711/a", None),
            ("https://127.0.0.1/a", None),
            ("http://127.0.0.1:4711", None),
            ("https://onetribeglobal.com/direct", None),
            ("http://[::1]:80/a", None),
            ("http://127.0.0.2/a", Some(PayloadUrlProblem::ForeignHost)),
            ("http://localhost/a", Some(PayloadUrlProblem::ForeignHost)),
            ("http://10.1.2.3/a", Some(PayloadUrlProblem::NotHttps)),
            ("https://10.1.2.3/a", Some(PayloadUrlProblem::PrivateAddress)),
            ("http://onetribeglobal.com/a", Some(PayloadUrlProblem::NotHttps)),
        ] {
            assert_eq!(checked(text, hosts, &opened).err(), problem, "{text}");
        }
    }

    #[test]
    fn lists_of_hosts_are_read_and_shown() {
        for (list, shown) in [
            ("onetribeglobal.com,*.onetribeglobal.com", "onetribeglobal.com, *.onetribeglobal.com"),
            (" OneTribe.example , ,*.A.example", "onetribe.example, *.a.example"),
            ("127.0.0.1,::1,[fd00::1]", "127.0.0.1, [::1], [fd00::1]"),
            ("bücher.example", "xn--bcher-kva.example"),
        ] {
            let hosts: OneTribeHosts = list.parse().expect("hosts");
            assert_eq!(hosts.to_string(), shown);
            assert_eq!(shown.parse(), Ok(hosts));
        }
        assert_eq!(OneTribeHosts::default().to_string().parse(), Ok(OneTribeHosts::default()));
        for list in ["", ",", " , "] {
            assert_eq!(list.parse::<OneTribeHosts>(), Err(HostsError::Empty), "{list}");
        }
        for entry in [
            "*",
            "*.",
            "*.*.example",
            "a.*.example",
            "*example",
            "*.127.0.0.1",
            "https://onetribeglobal.com",
            "onetribeglobal.com:443",
            "127.0.0.1:80",
            "[::1]:80",
            "onetribeglobal.com/",
            "a b",
            "a@b",
            "a%2eb",
            ".onetribeglobal.com",
            "onetribeglobal.com.",
        ] {
            let list = format!("onetribeglobal.com,{entry}");
            assert_eq!(list.parse::<OneTribeHosts>(), Err(HostsError::NotAHost(entry.to_owned())), "{entry}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_always_names_one_tribe_over_https(text in "(https?:)?[/\\\\]{0,3}[ -~]{0,40}") {
            if let Ok(url) = by_default(&text) {
                let url = Url::parse(&url).expect("a URL");
                let host = url.host_str().expect("a host");
                prop_assert!(host == "onetribeglobal.com" || host.ends_with(".onetribeglobal.com"));
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            }
        }

        #[test]
        fn any_name_before_one_tribes_stays_a_name_below_it(below in "[ -~]{1,20}") {
            if let Ok(url) = by_default(&format!("https://{below}onetribeglobal.com/a")) {
                let host = Url::parse(&url).expect("a URL").host_str().expect("a host").to_owned();
                prop_assert!(host == "onetribeglobal.com" || host.ends_with(".onetribeglobal.com"));
            }
        }
    }
}
