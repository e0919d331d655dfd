//! When credentials were last used, to the minute. The token endpoint only notes
//! a use, at most one a minute for each credential; what was noted is written by
//! the follower, off the path of any request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::PgConnection;

use crate::clock::from_unix_s;
use crate::ids::CredentialId;

/// How coarse it is, in seconds.
const COARSENESS_S: u64 = 60;
/// How many uses may wait to be written; more are forgotten.
const MOST_NOTED: usize = 100_000;

/// The last use of one credential, Unix seconds; 0 for none that is known.
#[derive(Debug, Default)]
pub struct LastUse(AtomicU64);

/// The uses that wait to be written.
#[derive(Debug, Default)]
pub struct Uses(Mutex<Vec<(CredentialId, u64)>>);

impl Uses {
    /// Notes a use at `now_s` (Unix seconds), unless one was noted within the
    /// minute.
    pub(crate) fn note(&self, credential_id: CredentialId, last: &LastUse, now_s: u64) {
        let before = last.0.load(Ordering::Relaxed);
        if now_s < before + COARSENESS_S {
            return;
        }
        // Of several at once, one notes it.
        let swapped = last
            .0
            .compare_exchange(before, now_s, Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_err() {
            return;
        }
        let mut noted = self.noted();
        if noted.len() < MOST_NOTED {
            noted.push((credential_id, now_s));
        }
    }

    /// Writes what was noted. It has one caller at a time.
    ///
    /// # Errors
    /// The database's; then, or where this is dropped, it is still noted.
    pub(crate) async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let noted = self.noted().clone();
        if noted.is_empty() {
            return Ok(());
        }
        write(connection, &noted).await?;
        // What was noted meanwhile stands behind it.
        self.noted().drain(..noted.len());
        Ok(())
    }

    fn noted(&self) -> MutexGuard<'_, Vec<(CredentialId, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever holds a row's lock changes it: that row waits for its next use.
async fn write(
    connection: &mut PgConnection,
    uses: &[(CredentialId, u64)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = uses.iter().map(|(id, _)| id.0).collect();
    let times: Vec<_> = uses.iter().map(|(_, at)| from_unix_s(*at)).collect();
    sqlx::query!(
        "WITH used AS (
             SELECT id, max(at) AS at FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, at) GROUP BY id
         ), free AS (
             SELECT credential_id FROM credentials
              WHERE credential_id IN (SELECT id FROM used)
                FOR UPDATE SKIP LOCKED
         )
         UPDATE credentials SET last_used_at = greatest(last_used_at, used.at)
           FROM used JOIN free ON free.credential_id = used.id
          WHERE credentials.credential_id = used.id",
        &ids,
        &times,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let uses = Uses::default();
        let last = LastUse::default();
        let id = CredentialId::new(Now::from_ms(0), &mut rand::rng());
        for at in [1_000, 1_001, 1_059, 1_060, 1_061] {
            uses.note(id, &last, at);
        }
        assert_eq!(*uses.0.lock().unwrap(), [(id, 1_000), (id, 1_060)]);
    }
}
