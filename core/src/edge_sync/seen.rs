//! When edges last asked for the feed, to the minute. The feed only notes it; what
//! was noted is written with the other chores, off the path of any request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::clock::{Now, from_unix_s};
use crate::ids::EdgeId;

/// How coarse it is.
const COARSENESS: time::Duration = time::Duration::minutes(1);

/// Edges that were seen, and wait to be written: one entry for each, with the time
/// in Unix seconds.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashMap<EdgeId, u64>>);

impl Seen {
    /// Notes that an edge is there at `now`, unless `last` is within the minute.
    pub(super) fn note(&self, edge_id: EdgeId, last: Option<OffsetDateTime>, now: Now) {
        if last.is_none_or(|last| now.timestamp() >= last + COARSENESS) {
            self.noted().entry(edge_id).or_insert(now.s());
        }
    }

    /// Writes what was noted. It has one caller at a time.
    ///
    /// # Errors
    /// The database's; then it is still noted.
    pub(crate) async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let noted: Vec<(EdgeId, u64)> = self.noted().iter().map(|(id, at)| (*id, *at)).collect();
        if noted.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = noted.iter().map(|(id, _)| id.0).collect();
        let times: Vec<_> = noted.iter().map(|(_, at)| from_unix_s(*at)).collect();
        // Whoever holds a row's lock changes it: that row waits for its next time.
        sqlx::query!(
            "WITH seen AS (
                 SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS s (id, at)
             ), free AS (
                 SELECT edge_id FROM edges
                  WHERE edge_id IN (SELECT id FROM seen)
                    FOR UPDATE SKIP LOCKED
             )
             UPDATE edges SET last_seen_at = greatest(last_seen_at, seen.at)
               FROM seen JOIN free ON free.edge_id = seen.id
              WHERE edges.edge_id = seen.id",
            &ids,
            &times,
        )
        .execute(connection)
        .await?;
        let mut kept = self.noted();
        for (id, _) in noted {
            kept.remove(&id);
        }
        Ok(())
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<EdgeId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_noted_once_a_minute() {
        let seen = Seen::default();
        let id = EdgeId::new(Now::from_ms(0), &mut rand::rng());
        let at = |s: u64| Now::from_ms(s * 1_000);
        seen.note(id, Some(at(1_000).timestamp()), at(1_059));
        assert!(seen.noted().is_empty());
        seen.note(id, Some(at(1_000).timestamp()), at(1_060));
        seen.note(id, Some(at(1_000).timestamp()), at(1_061));
        assert_eq!(seen.noted().clone(), HashMap::from([(id, 1_060)]));
        seen.noted().clear();
        seen.note(id, None, at(5));
        assert_eq!(seen.noted().get(&id), Some(&5));
    }
}
