//! What an isolate spends: calls out of a lease, handed out by the place.

use serde::{Deserialize, Serialize};

use crate::lease::{Figure, Refusal};
use crate::limit::{Spent, Window};

/// A block of calls of one client. They end with their window, and when an entry
/// of the feed ends their lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permits {
    /// The window.
    pub window: Window,
    /// The limit of the tokens that they are for.
    pub limit: Option<u64>,
    /// When the lease was granted, Unix seconds.
    pub iat: u64,
    /// How many are left.
    pub left: u64,
    /// The client's minute; `debited` counts what was handed out before and these.
    pub minute: Option<Figure>,
    /// The tenant's day; the same.
    pub day: Option<Figure>,
}

/// One call that was counted: what its limits have left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// The client's minute.
    pub minute: Option<Spent>,
    /// The tenant's day.
    pub day: Option<Spent>,
}

/// What the place answers an isolate with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Calls.
    Permits(Permits),
    /// There are none.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The client's minute.
        minute: Option<Figure>,
        /// The tenant's day.
        day: Option<Figure>,
    },
    /// Nobody knows: the core cannot be reached.
    Unknown,
}

impl Permits {
    /// Whether there is one for a call in `now` under `limit`, of a lease that no
    /// entry up to `dead_until` (Unix seconds) ends.
    pub fn allow(&self, now: Window, limit: Option<u64>, dead_until: Option<u64>) -> bool {
        self.left > 0
            && self.window == now
            && self.limit == limit
            && dead_until.is_none_or(|dead| self.iat > dead)
    }

    /// Makes one call, where there is one.
    pub fn spend(&mut self) -> Option<Counted> {
        self.left = self.left.checked_sub(1)?;
        let left = self.left;
        Some(Counted {
            minute: self.minute.map(|figure| figure.without(left)),
            day: self.day.map(|figure| figure.without(left)),
        })
    }

    /// Adds later ones. What is of another window or limit, or dead, is given up.
    pub fn add(&mut self, later: Self, dead_until: Option<u64>) {
        let mut sum = later;
        if self.allow(later.window, later.limit, dead_until) {
            sum.left += self.left;
            // What is older dies no later.
            sum.iat = later.iat.min(self.iat);
        }
        *self = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(left: u64, iat: u64) -> Permits {
        Permits {
            window: Window::at(420_000, 60_000),
            limit: Some(100),
            iat,
            left,
            minute: Some(Figure {
                limit: 100,
                debited: 10,
                ends_ms: 480_000,
            }),
            day: None,
        }
    }

    #[test]
    fn permits_are_for_one_window_and_one_limit() {
        let permits = block(1, 5);
        let now = permits.window;
        assert!(permits.allow(now, Some(100), None));
        assert!(!permits.allow(Window::at(480_000, 60_000), Some(100), None));
        assert!(!permits.allow(Window::at(360_000, 60_000), Some(100), None));
        assert!(!permits.allow(now, Some(99), None));
        assert!(!permits.allow(now, None, None));
        assert!(!block(0, 5).allow(now, Some(100), None));
    }

    #[test]
    fn an_entry_ends_what_was_leased_up_to_it() {
        let permits = block(1, 5);
        assert!(permits.allow(permits.window, Some(100), Some(4)));
        assert!(!permits.allow(permits.window, Some(100), Some(5)));
    }

    #[test]
    fn what_remains_counts_down_with_each_call() {
        let mut permits = block(3, 5);
        let remaining: Vec<u64> = std::iter::from_fn(|| permits.spend())
            .filter_map(|counted| Some(counted.minute?.remaining()))
            .collect();
        assert_eq!(remaining, [92, 91, 90]);
    }

    #[test]
    fn blocks_of_one_window_join_and_others_take_the_place() {
        let mut permits = block(2, 5);
        permits.add(block(3, 9), Some(4));
        assert_eq!((permits.left, permits.iat), (5, 5));
        let later = Permits {
            window: Window::at(480_000, 60_000),
            ..block(1, 9)
        };
        permits.add(later, None);
        assert_eq!(permits, later);
        permits.add(block(3, 9), None);
        permits.add(block(1, 12), Some(9));
        assert_eq!((permits.left, permits.iat), (1, 12));
    }
}
