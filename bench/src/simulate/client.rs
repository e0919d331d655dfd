//! One agent's day at its places: each call finds a permit in its isolate, in the
//! place's object, or at the core, by the edge's own arithmetic
//! (`agentidp_verify::place` and `::permits`), while messages are lost and objects
//! and isolates begin anew. What it counts is kept in a [`Tally`].

use agentidp_verify::lease::{Figure, Lease, MOST_SETTLEMENTS, Question, Refusal, share};
use agentidp_verify::limit::Window;
use agentidp_verify::permits::Permits;
use agentidp_verify::place::{Need, Place};

use super::assumptions::{
    AT_PLACES, HIBERNATES_MS, ISOLATE_RESTARTS, ISOLATES, LOST, OBJECT_RESTARTS, REFUSED_MS,
    SETTLE_AFTER_MS, WINDOW_MS,
};
use super::chance::Chance;
use super::tally::Tally;
use super::traffic::Call;

/// The rule of `edge/src/permits.rs`: how many calls an isolate asks for.
const LARGEST_BLOCK: u64 = 512;
const SOON_MS: u64 = 250;

/// What an isolate holds of the client.
#[derive(Clone, Copy, Default)]
struct Pool {
    permits: Option<Permits>,
    size: u64,
    leased_ms: Option<u64>,
}

/// The client's object at one place.
#[derive(Default)]
struct Site {
    place: Place,
    pools: [Pool; ISOLATES],
    /// Until when the object believes the core's refusal.
    refused: Option<u64>,
    used_ms: u64,
    alarm_ms: Option<u64>,
    leases: u64,
}

/// The core's row of a lease that is not settled.
struct Row {
    lease_id: String,
    granted: u64,
}

/// The client, everywhere.
pub(super) struct Client<'a> {
    limit: u64,
    weight: f64,
    chance: Chance,
    tally: &'a mut Tally,
    sites: [Site; AT_PLACES.len()],
    /// The core's: what is debited of the window.
    window: u64,
    debited: u64,
    rows: Vec<Row>,
    admitted: u64,
    refused: u64,
}

impl<'a> Client<'a> {
    pub(super) fn new(limit: u64, weight: f64, seed: u64, tally: &'a mut Tally) -> Self {
        Self {
            limit,
            weight,
            chance: Chance::new(seed),
            tally,
            sites: Default::default(),
            window: 0,
            debited: 0,
            rows: Vec::new(),
            admitted: 0,
            refused: 0,
        }
    }

    /// Makes one call.
    pub(super) fn call(&mut self, call: Call) {
        self.alarms(call.at_ms);
        let window = Window::at(call.at_ms, WINDOW_MS);
        if window.index != self.window {
            self.end_window();
            self.window = window.index;
        }
        self.tally.calls += self.weight;
        let limit = Some(self.limit);
        let pool = &mut self.sites[call.place].pools[call.isolate];
        if let Some(permits) = &mut pool.permits {
            if permits.allow(window, limit, None) {
                if permits.spend().is_some() {
                    self.admit();
                }
                return;
            }
            // What was not spent is lost: the place takes it for used.
            self.tally.lost += permits.left as f64 * self.weight;
            pool.permits = None;
        }
        let block = self.block(call, window);
        let Some(mut permits) = block else {
            return;
        };
        if self.chance.happens(ISOLATE_RESTARTS) {
            self.tally.lost += permits.left as f64 * self.weight;
            self.tally.unknown += self.weight;
            return;
        }
        if permits.allow(window, limit, None) && permits.spend().is_some() {
            self.admit();
        }
        self.sites[call.place].pools[call.isolate].permits = Some(permits);
    }

    fn admit(&mut self) {
        self.admitted += 1;
        self.tally.admitted += self.weight;
    }

    /// The object's answer; none where it refuses or does not know.
    fn block(&mut self, call: Call, window: Window) -> Option<Permits> {
        let site = &mut self.sites[call.place];
        let pool = &mut site.pools[call.isolate];
        let soon = pool
            .leased_ms
            .is_some_and(|then| call.at_ms - then < SOON_MS);
        pool.size = if soon { pool.size * 2 } else { pool.size / 2 };
        pool.size = pool.size.clamp(1, LARGEST_BLOCK);
        pool.leased_ms = Some(call.at_ms);
        let need = Need {
            client_id: "client".to_owned(),
            org_id: "org".to_owned(),
            window,
            limit: Some(self.limit),
            dead_until: None,
            wanted: pool.size,
        };
        self.tally.object_requests += self.weight;
        if call.at_ms - site.used_ms > HIBERNATES_MS {
            site.refused = None;
            self.tally.rows_read += self.weight;
        }
        site.used_ms = call.at_ms;
        if site.refused.is_some_and(|until| call.at_ms < until) {
            self.refuse();
            return None;
        }
        if let Some(permits) = site.place.hand_out(&need) {
            self.write(1);
            return Some(permits);
        }
        site.leases += 1;
        let question = site.place.ask(&need, site.leases.to_string());
        let is_set = site.alarm_ms.is_some_and(|alarm| alarm > window.ends_ms());
        if !is_set {
            let later_ms = (self.chance.unit() * window.length_ms as f64 / 2.0) as u64;
            site.alarm_ms = Some(window.ends_ms() + SETTLE_AFTER_MS + later_ms);
        }
        self.write(if is_set { 2 } else { 3 });
        self.ask_core(call, &need, question)
    }

    fn ask_core(&mut self, call: Call, need: &Need, question: Question) -> Option<Permits> {
        self.tally.question(call.at_ms, self.weight);
        let lost = self.chance.happens(LOST);
        let settle = self.sites[call.place].place.to_settle(MOST_SETTLEMENTS);
        let settle = settle.to_vec();
        let heard = !lost || self.chance.happens(0.5);
        let lease = heard.then(|| {
            let used = settle.iter().map(|one| (one.lease_id.clone(), one.used));
            let used: Vec<(String, u64)> = used.collect();
            self.settle(call.place, &used);
            self.grant(call, question)
        });
        let restarts = self.chance.happens(OBJECT_RESTARTS);
        let before = restarts && self.chance.happens(0.5);
        let place = &mut self.sites[call.place].place;
        let lease = match lease {
            Some(lease) if !lost && !before => lease,
            _ => {
                place.lose();
                self.tally.unknown += self.weight;
                return None;
            }
        };
        let granted = lease.granted;
        place.take(lease);
        place.settled(&settle);
        let handed_out = place.hand_out(need);
        match handed_out {
            Some(permits) if restarts => {
                // Written down, and gone on the way.
                self.tally.lost += permits.left as f64 * self.weight;
                self.tally.unknown += self.weight;
                None
            }
            Some(permits) => Some(permits),
            None => {
                debug_assert_eq!(granted, 0, "a lease with calls hands some out");
                let until = (call.at_ms + REFUSED_MS).min(need.window.ends_ms());
                self.sites[call.place].refused = Some(until);
                self.refuse();
                None
            }
        }
    }

    /// The core's side of a question.
    fn grant(&mut self, call: Call, question: Question) -> Lease {
        let left = self.limit.saturating_sub(self.debited);
        let granted = share(Some(left), question.wanted);
        self.debited += granted;
        self.tally.debited += granted as f64 * self.weight;
        self.tally.leases += self.weight;
        if granted > 0 {
            self.rows.push(Row {
                lease_id: format!("{}/{}", call.place, question.lease_id),
                granted,
            });
        }
        Lease {
            iss: String::new(),
            aud: String::new(),
            iat: call.at_ms / 1000,
            exp: 0,
            window_ms: WINDOW_MS,
            granted,
            minute: Some(Figure {
                limit: self.limit,
                debited: self.debited,
                ends_ms: Window::at(call.at_ms, WINDOW_MS).ends_ms(),
            }),
            day: None,
            refused: (granted == 0).then_some(Refusal::Minute),
            question,
        }
    }

    fn settle(&mut self, place: usize, used: &[(String, u64)]) {
        for (lease_id, used) in used {
            self.tally.settlements += self.weight;
            let name = format!("{place}/{lease_id}");
            if let Some(at) = self.rows.iter().position(|row| row.lease_id == name) {
                let row = self.rows.swap_remove(at);
                self.tally.returned += row.granted.saturating_sub(*used) as f64 * self.weight;
            }
        }
    }

    /// The alarms that are due: what is left of windows that are over is settled.
    fn alarms(&mut self, now_ms: u64) {
        for place in 0..self.sites.len() {
            let site = &mut self.sites[place];
            let Some(due_ms) = site.alarm_ms.filter(|due| *due <= now_ms) else {
                continue;
            };
            site.alarm_ms = None;
            site.place.close_ended(due_ms);
            let settle = site.place.to_settle(MOST_SETTLEMENTS).to_vec();
            self.tally.object_requests += self.weight;
            self.tally.alarms += self.weight;
            self.tally.rows_read += self.weight;
            self.write(1);
            if !settle.is_empty() {
                self.tally.settling(due_ms, self.weight);
                let used = settle.iter().map(|one| (one.lease_id.clone(), one.used));
                let used: Vec<(String, u64)> = used.collect();
                self.settle(place, &used);
                self.sites[place].place.settled(&settle);
                self.write(1);
            }
        }
    }

    fn write(&mut self, rows: u32) {
        self.tally.rows_written += f64::from(rows) * self.weight;
    }

    fn refuse(&mut self) {
        self.refused += 1;
        self.tally.refused += self.weight;
    }

    /// Looks at what the window has come to.
    fn end_window(&mut self) {
        let limit = self.limit;
        self.tally.windows += self.weight;
        self.tally.over += self.admitted.saturating_sub(limit);
        self.tally.over += self.debited.saturating_sub(limit);
        if self.refused > 0 {
            let missing = limit.saturating_sub(self.admitted).min(self.refused);
            self.tally.spent_windows += self.weight;
            self.tally.refused_below += missing as f64 * self.weight;
        }
        (self.debited, self.admitted, self.refused) = (0, 0, 0);
    }

    /// The day is over: everything that is still open is settled.
    pub(super) fn end(mut self) {
        self.alarms(u64::MAX);
        self.end_window();
        let pools = self.sites.iter().flat_map(|site| site.pools);
        let left: u64 = pools
            .filter_map(|pool| pool.permits)
            .map(|of| of.left)
            .sum();
        self.tally.lost += left as f64 * self.weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_asks_until_it_is_refused_is_admitted_up_to_its_limit_everywhere() {
        let mut tally = Tally::default();
        let mut client = Client::new(100, 1.0, 3, &mut tally);
        for window in 0..50 {
            for at in 0..600 {
                client.call(Call {
                    at_ms: window * WINDOW_MS + at * 90,
                    place: (at % 3) as usize,
                    isolate: (at % 7) as usize,
                });
            }
        }
        client.end();
        assert_eq!(tally.over, 0);
        assert_eq!(tally.calls, 30_000.0);
        let answered = tally.admitted + tally.refused + tally.unknown;
        assert_eq!(answered, tally.calls);
        assert!(tally.admitted > 4_900.0 && tally.admitted <= 5_000.0);
        // Whatever was debited was admitted, came back, or was lost.
        let away = tally.admitted + tally.returned + tally.lost;
        assert!(away <= tally.debited, "{away} {}", tally.debited);
    }
}
