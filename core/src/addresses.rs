//! What an address may do before anybody has authenticated: so many requests a
//! second, and far fewer that fail to. `TRUSTED_PROXIES` decides which address
//! that is; one of IPv6 stands for its /64, which is what one customer has.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use governor::middleware::NoOpMiddleware;
use ipnet::IpNet;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use agentidp_verify::Rejected;
use agentidp_verify::limit::Spent;

use crate::app::App;
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

    /// The layer that counts requests.
    pub(crate) fn layer(&self) -> GovernorLayer<ByAddress, NoOpMiddleware, Body> {
        GovernorLayer::new(Arc::clone(&self.requests)).error_handler(|error| {
            let wait_s = match error {
                GovernorError::TooManyRequests { wait_time, .. } => wait_time,
                GovernorError::UnableToExtractKey | GovernorError::Other { .. } => 0,
            };
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.extensions_mut().insert(Refused { wait_s });
            response
        })
    }

    /// Forgets the addresses that have nothing spent.
    pub(crate) fn tidy(&self) {
        self.requests.limiter().retain_recent();
    }
}

/// What the layer leaves for [`by_address`] to put into words.
#[derive(Clone, Copy)]
struct Refused {
    wait_s: u64,
}

/// Refuses an address that has spent its requests, or whose credentials have
/// failed too often, before anything is looked at.
pub(crate) async fn by_address(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let address = of(&request);
    let limits = app.addresses.limits;
    if let Some(left) = app.addresses.failures.wait(address, Instant::now()) {
        let limit = limits.failures_per_minute.get();
        return refusal(limit, left.as_secs() + 1).into_response_at(&path);
    }
    let mut response = next.run(request).await;
    if let Some(Refused { wait_s }) = response.extensions_mut().remove() {
        return refusal(limits.burst.get(), wait_s + 1).into_response_at(&path);
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        app.addresses.failures.note(address, Instant::now());
    }
    response
}

fn refusal(limit: u32, retry_after_s: u64) -> Failure {
    let limit = u64::from(limit);
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

/// By what the limits count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByAddress;

impl KeyExtractor for ByAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &axum::http::Request<T>) -> Result<IpAddr, GovernorError> {
        Ok(of(request))
    }
}

/// The address, or its network, that a request counts for.
fn of<T>(request: &axum::http::Request<T>) -> IpAddr {
    let address = request.extensions().get::<ClientAddress>();
    counted_as(address.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |known| known.0))
}

/// An address of IPv4, or the /64 of one of IPv6.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
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
            let mut request = Request::new(Body::empty());
            let address = text.parse().unwrap();
            request.extensions_mut().insert(ClientAddress(address));
            super::of(&request).to_string()
        };
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
    }
}
