//! One compilation, or one replay, at a time, and every tenant its turn: whoever has
//! many waiting waits for the others' between them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

/// How many of one tenant may wait.
const OF_ONE: usize = 4;
/// How many tenants may wait.
const TENANTS: usize = 256;

/// Too many wait already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Who waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    busy: bool,
    of: HashMap<Uuid, VecDeque<oneshot::Sender<Turn>>>,
    /// The tenants in `of`, whoever is next first.
    order: VecDeque<Uuid>,
}

/// The right to go on, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Queue);

impl Queue {
    /// Waits for a turn of `whose`.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn turn(&self, whose: Uuid) -> Result<Turn, Full> {
        let receiver = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.busy {
                waiting.busy = true;
                return Ok(Turn(self.clone()));
            }
            let tenants = waiting.of.len();
            match waiting.of.get_mut(&whose) {
                Some(own) => {
                    // Those who went away take no place.
                    own.retain(|sender| !sender.is_closed());
                    if own.len() >= OF_ONE {
                        return Err(Full);
                    }
                }
                None if tenants >= TENANTS => return Err(Full),
                None => waiting.order.push_back(whose),
            }
            let (sender, receiver) = oneshot::channel();
            waiting.of.entry(whose).or_default().push_back(sender);
            receiver
        };
        receiver.await.map_err(|_| Full)
    }

    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(whose) = waiting.order.pop_front() {
            let Some(mut own) = waiting.of.remove(&whose) else {
                continue;
            };
            let next = std::iter::from_fn(|| own.pop_front()).find(|sender| !sender.is_closed());
            if !own.is_empty() {
                waiting.of.insert(whose, own);
                waiting.order.push_back(whose);
            }
            if next.is_some() {
                return next;
            }
        }
        waiting.busy = false;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(next) = self.0.next() {
            // One that went away in this moment drops it, which passes it on.
            let _ = next.send(Turn(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAVY: Uuid = Uuid::from_u128(1);
    const LIGHT: Uuid = Uuid::from_u128(2);

    /// Lets everybody who can go on do so.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn tenants_take_turns_and_one_has_no_more_than_four_waiting() {
        let queue = Queue::default();
        let first = queue.turn(HEAVY).await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for whose in [HEAVY, HEAVY, HEAVY, HEAVY, LIGHT, LIGHT] {
            let (queue, served) = (queue.clone(), Arc::clone(&served));
            tasks.push(tokio::spawn(async move {
                let turn = queue.turn(whose).await.unwrap();
                served.lock().unwrap().push(whose);
                drop(turn);
            }));
            settle().await;
        }
        assert_eq!(queue.turn(HEAVY).await.unwrap_err(), Full);
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        let order = served.lock().unwrap().clone();
        assert_eq!(order, [HEAVY, LIGHT, HEAVY, LIGHT, HEAVY, HEAVY]);
        drop(queue.turn(LIGHT).await.unwrap());
    }

    #[tokio::test]
    async fn whoever_goes_away_holds_nobody_up() {
        let queue = Queue::default();
        let first = queue.turn(HEAVY).await.unwrap();
        for _ in 0..20 {
            let (asker, queue) = (queue.clone(), queue.clone());
            let gone = tokio::spawn(async move { asker.turn(HEAVY).await });
            settle().await;
            gone.abort();
            let _ = gone.await;
            drop(queue);
        }
        let last = tokio::spawn({
            let queue = queue.clone();
            async move { queue.turn(LIGHT).await.map(drop) }
        });
        settle().await;
        drop(first);
        last.await.unwrap().unwrap();
        assert!(!queue.0.lock().unwrap().busy);
    }
}
