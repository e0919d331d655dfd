//! How many connections a listener has open: in all, as many as it was given, and
//! of one address a third of that, so that no single one keeps all others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use rustix::process::{Resource, getrlimit};

use crate::addresses::{counted_as, trusts};

/// How many connections are open at a time, where there are files enough; the next
/// one waits.
const MOST_CONNECTIONS: usize = 12_000;
/// How many files stay free for the stores and whatever else is opened.
const SPARE_FILES: usize = 256;

/// How many connections there may be where the machine allows so many files.
pub(crate) fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    files.saturating_sub(SPARE_FILES).clamp(1, MOST_CONNECTIONS)
}

/// The connections of each address (of IPv6: of each /64). Those of a trusted proxy
/// are its clients', and not counted.
#[derive(Clone)]
pub(crate) struct Places {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most_of_an_address: usize,
}

impl Places {
    /// Among `most` connections.
    pub(crate) fn among(most: usize) -> Self {
        Self {
            taken: Arc::default(),
            most_of_an_address: most.div_ceil(3),
        }
    }

    /// A place for a connection from `peer`, unless its address has all it may have.
    pub(crate) fn take(&self, peer: IpAddr, trusted: &[IpNet]) -> Option<Place> {
        if trusts(trusted, peer) {
            return Some(Place(None));
        }
        let address = counted_as(peer);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count == self.most_of_an_address {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place(Some((self.clone(), address))))
    }
}

/// One connection's place; given back when it is dropped.
pub(crate) struct Place(Option<(Places, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((places, address)) = &self.0 else {
            return;
        };
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_back_what_it_leaves() {
        let places = Places::among(10);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let mut held: Vec<Place> = (0..4).map(|_| places.take(one, &[]).unwrap()).collect();
        assert!(places.take(neighbour, &[]).is_none());
        assert!(places.take("203.0.113.9".parse().unwrap(), &[]).is_some());
        assert!(
            places
                .take(one, &["2001:db8::/32".parse().unwrap()])
                .is_some()
        );
        held.pop();
        held.push(places.take(neighbour, &[]).unwrap());
        drop(held);
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
