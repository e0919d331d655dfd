//! What a place keeps of one client: its leases, from the question to the
//! settlement. Whoever holds it writes it down before acting on what it says:
//! before a question is sent, before calls are handed out, before a settlement is
//! sent. So a place that begins anew in the middle loses calls, and never makes
//! one twice.

use serde::{Deserialize, Serialize};

use crate::lease::{Figure, LARGEST, Lease, Question, SHARES, Settlement};
use crate::limit::Window;
use crate::permits::Permits;

/// The calls of a place's first question.
const FIRST: u64 = 16;
/// How many leases are held at a time: a client may have tokens of several limits.
const MOST_HELD: usize = 4;
/// How many settlements wait for a core that does not answer. What is beyond them
/// stays debited.
const MOST_CLOSED: usize = 256;

/// What a call needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The client.
    pub client_id: String,
    /// Its tenant.
    pub org_id: String,
    /// The window that it is now, by the core's clock.
    pub window: Window,
    /// The token's requests a minute, as far as the feed leaves them.
    pub limit: Option<u64>,
    /// Leases that were granted up to then are dead, Unix seconds: the latest entry
    /// of the feed that names the client or its tenant.
    pub dead_until: Option<u64>,
    /// How many calls the isolate would take.
    pub wanted: u64,
}

/// A lease with calls to hand out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    lease: Lease,
    left: u64,
}

/// One client at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    held: Vec<Held>,
    /// What is spent no more and not known to be settled.
    closed: Vec<Settlement>,
    /// The question that is under way.
    asked: Option<Question>,
    /// How many calls the last question wanted, and in which window.
    size: u64,
    size_window: u64,
}

impl Place {
    /// Goes on from what was written down. A question that was under way is lost:
    /// its answer belongs to nobody any more.
    pub fn resume(mut self) -> Self {
        self.lose();
        self
    }

    /// Hands calls out, where a lease has some: a share of what the lease and the
    /// limits have left, which shrinks to one.
    pub fn hand_out(&mut self, need: &Need) -> Option<Permits> {
        self.close_all_but(need);
        let held = self
            .held
            .iter_mut()
            .find(|held| held.left > 0 && held.lease.question.limit == need.limit)?;
        let beyond = [held.lease.minute, held.lease.day]
            .into_iter()
            .flatten()
            .map(Figure::left)
            .min()
            .unwrap_or(LARGEST);
        let share = (held.left.saturating_add(beyond) / SHARES).max(1);
        let calls = need.wanted.clamp(1, share).min(held.left);
        held.left -= calls;
        // What others see as left is what this lease has not handed out, too.
        let figure = |figure: Figure| Figure {
            debited: figure.debited.saturating_sub(held.left),
            ..figure
        };
        Some(Permits {
            window: held.lease.window(),
            limit: need.limit,
            iat: held.lease.iat,
            left: calls,
            minute: held.lease.minute.map(figure),
            day: held.lease.day.map(figure),
        })
    }

    /// The question for another lease, under a new name. One at a time.
    pub fn ask(&mut self, need: &Need, lease_id: String) -> Question {
        self.lose();
        let again = self.size_window == need.window.index;
        self.size = match (self.size, again) {
            (0, _) => FIRST,
            // The last one is used up, and the window is not over.
            (size, true) => (size * 2).min(LARGEST),
            (size, false) => (size / 2).max(FIRST),
        };
        self.size_window = need.window.index;
        let question = Question {
            lease_id,
            client_id: need.client_id.clone(),
            org_id: need.org_id.clone(),
            window: need.window.index,
            limit: need.limit,
            wanted: self.size.max(need.wanted),
        };
        self.asked = Some(question.clone());
        question
    }

    /// Takes the answer to the question that is under way; any other is refused.
    /// The signature has been checked.
    pub fn take(&mut self, lease: Lease) -> bool {
        if self.asked.as_ref() != Some(&lease.question) {
            return false;
        }
        self.asked = None;
        if lease.granted == 0 {
            return true;
        }
        if self.held.len() == MOST_HELD {
            let oldest = self.held.remove(0);
            self.close(&oldest);
        }
        self.held.push(Held {
            left: lease.granted,
            lease,
        });
        true
    }

    /// The question's answer will not come, or is not taken: nothing of that lease
    /// was used, if there is one.
    pub fn lose(&mut self) {
        if let Some(question) = self.asked.take() {
            self.keep_closed(Settlement {
                lease_id: question.lease_id,
                used: 0,
            });
        }
    }

    /// Closes what is of another window, dead, or used up.
    pub fn close_all_but(&mut self, need: &Need) {
        let alive = |held: &Held| {
            held.left > 0
                && held.lease.window() == need.window
                && need.dead_until.is_none_or(|dead| held.lease.iat > dead)
        };
        self.close_where(|held| !alive(held));
    }

    /// Closes what has ended by `now_ms` (Unix milliseconds).
    pub fn close_ended(&mut self, now_ms: u64) {
        self.close_where(|held| held.lease.window().ends_ms() <= now_ms);
    }

    /// What is to be settled, the oldest first, at most `most`.
    pub fn to_settle(&self, most: usize) -> &[Settlement] {
        &self.closed[..self.closed.len().min(most)]
    }

    /// The core has these.
    pub fn settled(&mut self, settled: &[Settlement]) {
        self.closed.retain(|closed| !settled.contains(closed));
    }

    /// Whether nothing is held, asked or to be settled.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.closed.is_empty() && self.asked.is_none()
    }

    fn close_where(&mut self, ended: impl Fn(&Held) -> bool) {
        let (gone, held) = std::mem::take(&mut self.held).into_iter().partition(ended);
        self.held = held;
        let gone: Vec<Held> = gone;
        for held in &gone {
            self.close(held);
        }
    }

    fn close(&mut self, held: &Held) {
        self.keep_closed(Settlement {
            lease_id: held.lease.question.lease_id.clone(),
            used: held.lease.granted - held.left,
        });
    }

    fn keep_closed(&mut self, settlement: Settlement) {
        if self.closed.len() == MOST_CLOSED {
            self.closed.remove(0);
        }
        self.closed.push(settlement);
    }
}
