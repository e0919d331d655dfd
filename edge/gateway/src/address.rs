//! Whose address a request came from, as far as limits by address go.

use std::net::{IpAddr, Ipv6Addr};

/// The caller's address, out of a header that whoever stands before the edge sets.
/// Of a list the last is taken, which that one wrote; a port is left out. `None`
/// for what is no address.
pub fn read(header: &str) -> Option<IpAddr> {
    let last = header.rsplit(',').next()?.trim();
    let bare = match last.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        // An IPv4 address with a port; an IPv6 address has more than one colon.
        None if last.matches(':').count() == 1 => last.split(':').next()?,
        None => last,
    };
    bare.parse().ok()
}

/// What is counted together: an IPv4 address, or the /64 of an IPv6 one, which is
/// what one customer has at the least.
pub fn counted_as(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_of_a_list_counts_and_an_ipv6_one_by_its_64() {
        for (header, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:5000", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(counted_as(read(header).unwrap()), expected, "{header}");
        }
        for header in ["", "unknown", "192.0.2", "192.0.2.1,", "[::1", "a:b:c"] {
            let bracketless = header == "[::1";
            assert_eq!(read(header).is_some(), bracketless, "{header}");
        }
    }
}
