//! Counting in groups: whatever waits is counted with one round trip, a counter
//! that several wait for once, while the next group gathers. Everybody learns what
//! the counters had come to with its own use, as if it had been alone.

use std::collections::HashMap;

use redis::ErrorKind;
use redis::aio::ConnectionManager;
use tokio::sync::{mpsc, oneshot};

use super::redis::{EPOCH, left_ms};
use super::{Counted, HotError, Tick};
use crate::clock::Now;

/// How many calls one round trip counts at most.
const LARGEST_GROUP: usize = 256;
/// How many calls may wait; one more is refused at once.
const LONGEST_QUEUE: usize = 4_096;

struct Waiting {
    ticks: Vec<Tick>,
    now: Now,
    counted: oneshot::Sender<Result<Counted, HotError>>,
}

/// The way into the group.
pub(super) struct Group(mpsc::Sender<Waiting>);

impl Group {
    /// Starts the one task that counts.
    pub(super) fn start(connection: ConnectionManager) -> Self {
        let (queue, waiting) = mpsc::channel(LONGEST_QUEUE);
        tokio::spawn(count_groups(connection, waiting));
        Self(queue)
    }

    /// Counts one use on each counter.
    pub(super) async fn count(&self, ticks: &[Tick], now: Now) -> Result<Counted, HotError> {
        let (counted, outcome) = oneshot::channel();
        let waiting = Waiting {
            ticks: ticks.to_vec(),
            now,
            counted,
        };
        let full = |_| HotError::from((ErrorKind::Client, "too many wait to be counted"));
        self.0.try_send(waiting).map_err(full)?;
        let gone = |_| HotError::from((ErrorKind::Client, "nobody counts any more"));
        outcome.await.map_err(gone)?
    }
}

async fn count_groups(mut connection: ConnectionManager, mut queue: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    while queue.recv_many(&mut group, LARGEST_GROUP).await > 0 {
        // Whoever has gone was answered already, and uses nothing.
        group.retain(|waiting| !waiting.counted.is_closed());
        let outcome = count(&mut connection, &group).await;
        match outcome {
            Ok(counted) => {
                for (waiting, counted) in group.drain(..).zip(counted) {
                    let _ = waiting.counted.send(Ok(counted));
                }
            }
            Err(error) => {
                for waiting in group.drain(..) {
                    let _ = waiting.counted.send(Err(error.clone()));
                }
            }
        }
    }
}

/// A counter with the uses that are counted on it.
struct Counter<'a> {
    key: &'a str,
    uses: u64,
    left_ms: i64,
}

/// Counts all of them with one pipeline; an answer for each, in their order.
async fn count(
    connection: &mut ConnectionManager,
    group: &[Waiting],
) -> Result<Vec<Counted>, HotError> {
    let mut counters: Vec<Counter<'_>> = Vec::new();
    let mut places = HashMap::new();
    // Of each tick, in order: its counter, and the how manieth use it is there.
    let mut turns = Vec::new();
    for Waiting { ticks, now, .. } in group {
        for tick in ticks {
            let place = *places.entry(tick.key.as_str()).or_insert(counters.len());
            if place == counters.len() {
                counters.push(Counter {
                    key: &tick.key,
                    uses: 0,
                    left_ms: left_ms(tick.expires_ms, *now),
                });
            }
            counters[place].uses += 1;
            turns.push((place, counters[place].uses));
        }
    }
    let mut pipe = redis::pipe();
    for counter in &counters {
        pipe.incr(counter.key, counter.uses);
        pipe.pexpire(counter.key, counter.left_ms).ignore();
    }
    pipe.get(EPOCH);
    let mut answers: Vec<Option<u64>> = pipe.query_async(connection).await?;
    let epoch = answers.pop().flatten();
    let mut turns = turns.into_iter().map(|(place, turn)| {
        let total = answers.get(place).copied().flatten().unwrap_or(u64::MAX);
        total.saturating_sub(counters[place].uses - turn)
    });
    Ok(group
        .iter()
        .map(|waiting| Counted {
            values: turns.by_ref().take(waiting.ticks.len()).collect(),
            epoch,
        })
        .collect())
}
