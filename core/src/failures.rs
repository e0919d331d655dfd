//! Credentials that failed, by address: a debt that time pays off, so many
//! failures a minute. Who owes a whole minute waits; what fails beside it, on
//! connections that were let through together, is owed too.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

/// How many addresses' debts are remembered.
const MOST_DEBTORS: usize = 100_000;
/// What may be owed at once.
const CREDIT: Duration = Duration::from_secs(60);
/// What is owed at most, so that an address that many share comes back.
const LARGEST_DEBT: Duration = Duration::from_secs(600);

/// The debts.
pub(crate) struct Failures {
    /// What one failure costs.
    share: Duration,
    /// When each address will have paid.
    debts: Cache<IpAddr, Arc<Mutex<Instant>>>,
}

impl Failures {
    /// No debts yet.
    pub(crate) fn new(a_minute: NonZeroU32) -> Self {
        Self {
            share: CREDIT / a_minute.get(),
            debts: Cache::new(MOST_DEBTORS),
        }
    }

    /// How long `address` waits until it may fail again, if it has to.
    pub(crate) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let debt = self.debts.get(&address)?;
        let paid = *debt.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = paid.saturating_duration_since(now);
        owed.checked_sub(CREDIT - self.share)
            .filter(|left| !left.is_zero())
    }

    /// Credentials of `address` failed.
    pub(crate) fn note(&self, address: IpAddr, now: Instant) {
        let none = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(now)));
        let Ok(debt) = self.debts.get_or_insert_with(&address, none);
        let mut paid = debt.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = ((*paid).max(now) + self.share).min(now + LARGEST_DEBT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn failures(a_minute: u32) -> Failures {
        Failures::new(NonZeroU32::new(a_minute).unwrap())
    }

    /// Fails whenever it may, in steps of 10 ms; says how often.
    fn fail_for(failures: &Failures, begun: Instant, seconds: u64) -> u32 {
        let steps = (0..seconds * 100).map(|step| begun + Duration::from_millis(step * 10));
        let mut failed = 0;
        for now in steps {
            while failures.wait(ADDRESS, now).is_none() {
                failures.note(ADDRESS, now);
                failed += 1;
            }
        }
        failed
    }

    #[test]
    fn so_many_fail_at_once_and_in_every_minute_after_it() {
        let (failures, begun) = (failures(7), Instant::now());
        assert_eq!(fail_for(&failures, begun, 1), 7);
        let later = begun + Duration::from_secs(1);
        let failed = fail_for(&failures, later, 600);
        assert!((69..=70).contains(&failed), "{failed}");
    }

    #[test]
    fn what_fails_side_by_side_is_waited_for_up_to_a_bound() {
        let (failures, now) = (failures(60), Instant::now());
        for _ in 0..90 {
            failures.note(ADDRESS, now);
        }
        assert_eq!(failures.wait(ADDRESS, now), Some(Duration::from_secs(31)));
        for _ in 0..100_000 {
            failures.note(ADDRESS, now);
        }
        assert_eq!(
            failures.wait(ADDRESS, now),
            Some(LARGEST_DEBT - CREDIT + failures.share)
        );
        let other = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        assert_eq!(failures.wait(other, now), None);
        assert_eq!(failures.wait(ADDRESS, now + LARGEST_DEBT), None);
    }
}
