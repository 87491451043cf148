//! Which addresses a URL that came through an API or a page may lead to: public ones, and networks that the operator
//! has opened (`ALLOWED_PRIVATE_NETWORKS`). Literal addresses are checked before a call, names on every connect,
//! using the very addresses that are then connected to: neither a redirect nor DNS can lead to a private address.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The addresses that may be called.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    allowed: Arc<[IpNet]>,
}

/// An address that may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateAddress;

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is private to the relay's own network")
    }
}

impl Error for PrivateAddress {}

impl AddressPolicy {
    /// Permits public addresses, and those of these networks.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed: allowed.into() }
    }

    /// Whether the operator has opened the network of this address.
    pub fn is_opened(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|network| network.contains(&address))
    }

    /// Whether this address may be called.
    pub fn permits(&self, address: IpAddr) -> bool {
        self.is_opened(address) || is_public(address)
    }

    /// The address of a host that needs no DNS: a literal one, or `localhost`.
    pub fn literal(url: &Url) -> Option<IpAddr> {
        match url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                let is_local =
                    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
                is_local.then_some(Ipv4Addr::LOCALHOST.into())
            }
        }
    }

    /// Checks a URL's host as far as is possible without DNS.
    ///
    /// # Errors
    /// [`PrivateAddress`] for a literal address that may not be called.
    pub fn check_literal(&self, url: &Url) -> Result<(), PrivateAddress> {
        match Self::literal(url) {
            Some(address) if !self.permits(address) => Err(PrivateAddress),
            _ => Ok(()),
        }
    }

    /// Resolves a URL's host to all its addresses.
    ///
    /// # Errors
    /// [`LookupError`]: the name does not resolve, or one of its addresses may not be called.
    pub async fn look_up(&self, url: &Url) -> Result<Vec<IpAddr>, LookupError> {
        if let Some(address) = Self::literal(url) {
            return if self.permits(address) { Ok(vec![address]) } else { Err(LookupError::Private) };
        }
        let host = url.host_str().ok_or(LookupError::NoAddress)?;
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|_| LookupError::NoAddress)?;
        let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        match addresses.iter().all(|address| self.permits(*address)) {
            _ if addresses.is_empty() => Err(LookupError::NoAddress),
            true => Ok(addresses),
            false => Err(LookupError::Private),
        }
    }
}

/// Why a host's addresses may not or cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name does not resolve.
    #[error("the host's name does not exist")]
    NoAddress,
    /// The host resolves to an address that may not be called.
    #[error("the host leads to a private, loopback or link-local address")]
    Private,
}

/// Resolves names, and refuses those with an address that may not be called.
impl Resolve for AddressPolicy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let some = !found.is_empty();
            let permitted: Vec<SocketAddr> = found.into_iter().filter(|address| policy.permits(address.ip())).collect();
            if permitted.is_empty() && some {
                return Err(PrivateAddress.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is public (IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // An IPv6 address that embeds an IPv4 address is as public as that one.
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] | [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x100, 0, 0, 0, ..] => false,
        [0x2002, high, low, ..] => embedded(high, low),
        // Global unicast is 2000::/3; everything else is special.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str]) -> AddressPolicy {
        AddressPolicy::new(networks.iter().map(|network| network.parse().expect("a network")).collect())
    }

    #[test]
    fn only_public_addresses_are_permitted() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("172.32.0.1", true),
            ("2606:4700::1111", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("192.0.0.8", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("fe80::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::7f00:1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("64:ff9b:1::808:808", false),
            ("2002:7f00:1::", false),
            ("2002:a00:1::", false),
            ("2001:db8::1", false),
            ("2001:0:1::1", false),
        ] {
            assert_eq!(policy(&[]).permits(address.parse().expect("an address")), public, "{address}");
        }
    }

    #[test]
    fn opened_networks_are_permitted_and_no_others() {
        let opened = policy(&["127.0.0.0/8", "fd00::/8"]);
        for (address, permitted) in
            [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("fd00::1", true), ("10.0.0.1", false), ("::1", false)]
        {
            assert_eq!(opened.permits(address.parse().expect("an address")), permitted, "{address}");
        }
    }

    #[test]
    fn odd_spellings_of_a_literal_address_are_seen_through() {
        for url in [
            "https://127.1/",
            "https://0x7f.0.0.1/",
            "https://2130706433/",
            "https://017700000001/",
            "https://[::ffff:7f00:1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://[::]/",
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(policy(&[]).check_literal(&url), Err(PrivateAddress), "{url}");
        }
        let named = Url::parse("https://shop.example/").expect("a URL");
        assert_eq!(policy(&[]).check_literal(&named), Ok(()));
    }
}
