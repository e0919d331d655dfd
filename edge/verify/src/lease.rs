//! Leases: calls that the core has counted before a place of the edge admits
//! them. A lease is for one client, one limit and one window, at one place. The core
//! debits it from the client's minute and from the tenant's day at once; the place
//! spends it, and settles it once, by its id: what was not used comes back into
//! the minute and the day that it was debited from, while those last. What can be
//! lost is an unspent call, never a call too many, since nobody admits a call that
//! was not debited before.

use serde::{Deserialize, Serialize};

use crate::limit::{Spent, Window};

/// How much of what is left one lease takes at most: one part of so many.
pub const SHARES: u64 = 8;
/// The most calls that one lease has.
pub const LARGEST: u64 = 4_096;
/// The most settlements that one request carries.
pub const MOST_SETTLEMENTS: usize = 32;

/// How many calls of `left` a lease gets that asks for `wanted`: a share, which
/// shrinks to one as `left` does; none where nothing is left. `None` is no limit.
pub fn share(left: Option<u64>, wanted: u64) -> u64 {
    let wanted = wanted.min(LARGEST);
    left.map_or(wanted, |left| wanted.min((left / SHARES).max(1)).min(left))
}

/// What a place asks the core for: `POST /api/v1/edge/leases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A lease; none where something is settled and nothing wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// Leases that are spent no more, at most [`MOST_SETTLEMENTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settle: Vec<Settlement>,
}

/// What the core answers with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The lease, signed: a [`crate::statement::LEASE`] with [`Lease`] as its claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// For whom a place wants how many calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The place's own name for the lease, a UUID that it never uses again.
    pub lease_id: String,
    /// The client, as its token names it.
    pub client_id: String,
    /// Its tenant.
    pub org_id: String,
    /// The number of the window, of the core's length.
    pub window: u64,
    /// The requests a minute of the client's token; none where it has no limit.
    pub limit: Option<u64>,
    /// How many calls, at least one.
    pub wanted: u64,
}

/// How much of a lease was used. The place spends nothing of it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// Which lease.
    pub lease_id: String,
    /// How many of its calls were handed out.
    pub used: u64,
}

/// What has been debited of a limit, this lease included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// Calls.
    pub limit: u64,
    /// The same.
    pub debited: u64,
    /// When the limit's period ends, Unix milliseconds.
    pub ends_ms: u64,
}

impl Figure {
    /// What is left for other leases.
    pub const fn left(self) -> u64 {
        self.limit.saturating_sub(self.debited)
    }

    /// The limit after `calls` of the debited ones have not been made yet.
    pub const fn without(self, calls: u64) -> Spent {
        Spent {
            limit: self.limit,
            used: self.debited.saturating_sub(calls),
            ends_ms: self.ends_ms,
        }
    }

    /// The limit as whoever is refused by it sees it.
    pub const fn refused(self) -> Spent {
        Spent {
            limit: self.limit,
            used: self.limit.saturating_add(1),
            ends_ms: self.ends_ms,
        }
    }
}

/// Why a lease has no calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The client's minute is spent.
    Minute,
    /// The tenant's day is.
    Day,
    /// The client or its tenant is suspended, or not there.
    OutOfService,
}

/// A lease, as the core signs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The issuer.
    pub iss: String,
    /// The `edge_id` of the place that asked.
    pub aud: String,
    /// When it was granted, Unix seconds. Entries of the feed up to then that name
    /// its client or tenant are known to it; a later one ends it.
    pub iat: u64,
    /// The end of its window, Unix seconds, rounded up.
    pub exp: u64,
    /// What was asked.
    pub question: Question,
    /// The window's length, milliseconds.
    pub window_ms: u64,
    /// How many calls were debited.
    pub granted: u64,
    /// The client's minute; none where it has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<Figure>,
    /// The tenant's day; none where it has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Figure>,
    /// Why nothing was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

impl Lease {
    /// The window that it ends with.
    pub const fn window(&self) -> Window {
        Window {
            index: self.question.window,
            length_ms: self.window_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_shrinks_to_one_and_to_none() {
        assert_eq!(share(Some(100), 64), 12);
        assert_eq!(share(Some(100), 5), 5);
        assert_eq!(share(Some(7), 64), 1);
        assert_eq!(share(Some(1), 64), 1);
        assert_eq!(share(Some(0), 64), 0);
        assert_eq!(share(None, 64), 64);
        assert_eq!(share(None, u64::MAX), LARGEST);
        assert_eq!(share(Some(u64::MAX), u64::MAX), LARGEST);
    }

    #[test]
    fn shares_that_are_taken_one_after_another_come_to_the_limit() {
        let (mut left, mut leases) = (1_000, 0);
        while left > 0 {
            left -= share(Some(left), 64);
            leases += 1;
        }
        assert!(leases < 60, "{leases}");
    }
}
