//! What no request waits for: uses that were noted are written, ends are counted,
//! and what nobody needs any more is deleted.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use crate::app::App;
use crate::clock::Now;
use crate::database::Database;
use crate::{credentials, edge_sync, tenants};

/// How often there are chores.
const EVERY: Duration = Duration::from_secs(15);
/// How long a round of them may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// In which of so many rounds, from the first on, deletions are due: an hour's.
const TIDY_EVERY: u32 = 240;
/// How long deletions may take.
const TIDY_PATIENCE: Duration = Duration::from_secs(60);
/// How long deletions of tenants may take in a round; what is left has the next.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// What counts as close to its end.
const SOON: time::Duration = time::Duration::days(7);

/// Keeps house until the process ends.
pub(crate) async fn keep_house(app: Arc<App>) {
    for round in 0_u32.. {
        log(in_time(PATIENCE, chores(&app)).await);
        log(in_time(END_PATIENCE, tenants::end_due(&app)).await);
        if round.is_multiple_of(TIDY_EVERY) {
            log(in_time(TIDY_PATIENCE, tidy(&app.database, Now::read())).await);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Writes the uses that were noted, before the process ends.
pub(crate) async fn write_uses(app: &App) {
    let written = async {
        let mut connection = app.database.connection().await?;
        app.uses.write(&mut connection).await?;
        app.seen.write(&mut connection).await
    };
    log(in_time(PATIENCE, written).await);
}

async fn in_time(
    patience: Duration,
    work: impl Future<Output = Result<(), sqlx::Error>>,
) -> Result<(), sqlx::Error> {
    tokio::time::timeout(patience, work)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn log(outcome: Result<(), sqlx::Error>) {
    if let Err(error) = outcome {
        tracing::error!("Unexpected pg pool error {error}");
    }
}

/// Writes the uses that were noted, and counts what ends soon.
async fn chores(app: &App) -> Result<(), sqlx::Error> {
    // First: who floods while the database is away is forgotten too.
    app.addresses.tidy();
    let mut connection = app.database.connection().await?;
    app.uses.write(&mut connection).await?;
    app.seen.write(&mut connection).await?;
    edge_sync::forget_reports(&mut connection, Now::read()).await?;
    let now = Now::read().timestamp();
    let ending = credentials::count_ending(&mut *connection, now, now + SOON).await?;
    app.metrics.credentials_expiring_soon.set(ending);
    Ok(())
}

/// Deletes what no cursor, no token and no counter needs: changes that every
/// replica saw long ago, entries that no living token can fall under and nobody
/// can lift, marks of periods that are over, edges' leases, refusals of long ago,
/// and answers that nobody repeats any more.
async fn tidy(database: &Database, now: Now) -> Result<(), sqlx::Error> {
    let day_ago = now.timestamp() - time::Duration::days(1);
    let mut connection = database.connection().await?;
    let connection: &mut PgConnection = &mut connection;
    sqlx::query!("DELETE FROM client_changes WHERE changed_at < $1", day_ago)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "DELETE FROM revocations
          WHERE expires_at < $1
            AND (kind IN ('token', 'grant') OR lifted_at IS NOT NULL
                 OR NOT EXISTS (SELECT FROM tenants t WHERE t.org_id = revocations.org_id))",
        day_ago,
    )
    .execute(&mut *connection)
    .await?;
    edge_sync::forget_old(&mut *connection, now).await?;
    sqlx::query!("DELETE FROM counter_marks WHERE ends_at < $1", day_ago)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM edge_leases WHERE ends_at < $1", day_ago)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "DELETE FROM idempotency_keys WHERE created_at < $1",
        day_ago
    )
    .execute(&mut *connection)
    .await
    .map(|_| ())
}
