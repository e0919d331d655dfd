//! What an address may do before anybody has authenticated: so many requests a
//! second, and far fewer that fail to. `TRUSTED_PROXIES` decides which address
//! that is; one of IPv6 stands for its /64, which is what one customer has.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use governor::NotUntil;
use governor::clock::{Clock as _, DefaultClock, QuantaInstant};
use governor::middleware::NoOpMiddleware;
use ipnet::IpNet;
use tower_governor::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;

use agentidp_verify::Rejected;
use agentidp_verify::limit::Spent;

use crate::clock::Now;
use crate::config::AddressLimits;
use crate::error::Failure;
use crate::failures::Failures;

/// The address that a request is from, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// The limits by address.
pub struct Addresses {
    limits: AddressLimits,
    requests: Arc<GovernorConfig<ByAddress, NoOpMiddleware>>,
    failures: Failures,
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Addresses").field(&self.limits).finish()
    }
}

impl Addresses {
    /// The limits, with nothing spent.
    pub fn new(limits: AddressLimits) -> Self {
        let period = Duration::from_secs(1) / limits.requests_per_second.get();
        let requests = GovernorConfigBuilder::default()
            .key_extractor(ByAddress)
            .period(period.max(Duration::from_nanos(1)))
            .burst_size(limits.burst.get())
            .finish()
            .unwrap_or_else(|| unreachable!("neither number is zero"));
        Self {
            limits,
            requests: Arc::new(requests),
            failures: Failures::new(limits.failures_per_minute),
        }
    }

    /// Counts a request, unless its address has spent its requests, or waits
    /// because its credentials have failed too often.
    ///
    /// # Errors
    /// 429, with the time to wait.
    pub(crate) fn admit(&self, address: CountedAddress) -> Result<(), Failure> {
        if let Some(left) = self.failures.wait(address.0, Instant::now()) {
            let limit = self.limits.failures_per_minute.get();
            return Err(refusal(limit, left));
        }
        let counted = self.requests.limiter().check_key(&address.0);
        counted.map_err(|spent| refusal(self.limits.burst.get(), left(&spent)))
    }

    /// Counts credentials that failed.
    pub(crate) fn failed(&self, address: CountedAddress) {
        self.failures.note(address.0, Instant::now());
    }

    /// Forgets the addresses that have nothing spent.
    pub(crate) fn tidy(&self) {
        self.requests.limiter().retain_recent();
    }
}

/// How long until there is room for one more.
fn left(spent: &NotUntil<QuantaInstant>) -> Duration {
    spent.wait_time_from(DefaultClock::default().now())
}

fn refusal(limit: u32, left: Duration) -> Failure {
    let limit = u64::from(limit);
    let retry_after_s = left.as_secs() + 1;
    let spent = Spent {
        limit,
        used: limit + 1,
        ends_ms: Now::read().ms() + retry_after_s * 1_000,
    };
    Failure::Rejected(Rejected::RateLimited {
        spent,
        retry_after_s,
    })
}

/// What a request counts for: its address, or the /64 of one of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountedAddress(IpAddr);

impl CountedAddress {
    /// Of a request that [`client_address`] was asked of.
    pub(crate) fn of<T>(request: &axum::http::Request<T>) -> Self {
        let known = request.extensions().get::<ClientAddress>();
        Self(counted_as(
            known.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |known| known.0),
        ))
    }
}

/// An address of IPv4, or the /64 of one of IPv6.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
    }
}

/// By what tower_governor counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByAddress;

impl KeyExtractor for ByAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &axum::http::Request<T>) -> Result<IpAddr, GovernorError> {
        Ok(CountedAddress::of(request).0)
    }
}

/// The address of a request that came from `peer`: behind trusted proxies the
/// nearest one in `X-Forwarded-For` that is none of them. What such a header says
/// from anybody else is nothing.
pub(crate) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> ClientAddress {
    let mut nearest = peer.to_canonical();
    if !trusts(trusted, nearest) {
        return ClientAddress(nearest);
    }
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let hops = values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
    for hop in hops {
        let Some(address) = read(hop.trim()) else {
            break;
        };
        nearest = address;
        if !trusts(trusted, address) {
            break;
        }
    }
    ClientAddress(nearest)
}

/// Whether `address` is a trusted proxy's.
pub(crate) fn trusts(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// An address as proxies write it: bare, or with a port.
fn read(hop: &str) -> Option<IpAddr> {
    let bare = hop.parse::<IpAddr>().ok();
    let with_port = || {
        hop.parse::<std::net::SocketAddr>()
            .ok()
            .map(|socket| socket.ip())
    };
    bare.or_else(with_port)
        .map(|address| address.to_canonical())
}

/// Reads `TRUSTED_PROXIES`: addresses and networks, separated by commas.
pub(crate) fn networks(text: &str) -> Option<Vec<IpNet>> {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| {
            let address = || item.parse::<IpAddr>().ok().map(IpNet::from);
            item.parse::<IpNet>().ok().or_else(address)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = networks(trusted).unwrap();
        client_address(peer.parse().unwrap(), &headers, &trusted)
            .0
            .to_string()
    }

    #[test]
    fn a_header_counts_only_from_a_trusted_proxy_and_only_up_to_the_first_stranger() {
        assert_eq!(
            address("198.51.100.7", &["203.0.113.9"], ""),
            "198.51.100.7"
        );
        let proxies = "10.0.0.0/8, 192.0.2.1";
        assert_eq!(
            address("10.1.1.1", &["203.0.113.9"], proxies),
            "203.0.113.9"
        );
        assert_eq!(
            address("10.1.1.1", &["6.6.6.6, 203.0.113.9", "192.0.2.1"], proxies),
            "203.0.113.9"
        );
        assert_eq!(address("10.1.1.1", &[], proxies), "10.1.1.1");
        assert_eq!(
            address("10.1.1.1", &["203.0.113.9, junk"], proxies),
            "10.1.1.1"
        );
        assert_eq!(
            address("::ffff:10.1.1.1", &["[2001:db8::1]:443"], proxies),
            "2001:db8::1"
        );
    }

    #[test]
    fn an_address_of_ipv6_counts_for_its_network_and_a_mapped_one_for_its_ipv4() {
        let of = |text: &str| {
            let mut request = Request::new(axum::body::Body::empty());
            let address = text.parse().unwrap();
            request.extensions_mut().insert(ClientAddress(address));
            CountedAddress::of(&request).0.to_string()
        };
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
    }
}
