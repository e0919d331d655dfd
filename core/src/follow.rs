//! Keeps this process true to what is on disk, by cursors and without a database
//! session: what other replicas changed is forgotten here, and what the hot store
//! should hold is put there. It also writes and deletes what no request waits for.

use std::sync::Arc;
use std::time::Duration;

use agentidp_verify::feed::Kind;
use sqlx::PgConnection;

use crate::app::App;
use crate::clock::Now;
use crate::credentials;
use crate::database::Database;
use crate::ids::{AgentId, OrgId};
use crate::revocations;

/// How often the changes are looked at.
const EVERY: Duration = Duration::from_millis(250);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often uses are written and ends are counted.
const CHORES_EVERY: Duration = Duration::from_secs(15);
/// How often what nobody needs any more is deleted, in rounds of chores: an hour.
const TIDY_EVERY: u32 = 240;
/// How long a deletion may take.
const TIDY_PATIENCE: Duration = Duration::from_secs(60);
/// What counts as close to its end.
const SOON: time::Duration = time::Duration::days(7);
/// How many revocations are looked at together.
const MOST_ENTRIES: i64 = 1_000;

/// Follows until the process ends.
pub async fn follow(app: Arc<App>) {
    // Side by side: no chore delays the news of a change.
    tokio::join!(hear(&app), keep_house(&app));
}

async fn hear(app: &App) {
    let mut cursor = None;
    let mut marked = Marked::default();
    let mut lost = false;
    loop {
        let looked = tokio::time::timeout(PATIENCE, look(&app.database, cursor)).await;
        match looked {
            Ok(Ok((head, changes))) => {
                if lost || cursor.is_none() {
                    // What happened meanwhile is not known.
                    app.clients.forget_all();
                }
                for change in changes {
                    forget(app, change);
                }
                lost = false;
                cursor = Some(head);
                // What fails here fails for every request, which says so.
                let _ = tokio::time::timeout(PATIENCE, mark(app, &mut marked, head)).await;
            }
            failed => {
                if !lost {
                    let why = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "no answer in time".to_owned(),
                    };
                    tracing::error!("Unexpected pg pool error {why}");
                }
                lost = true;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn keep_house(app: &App) {
    for round in 1_u32.. {
        log(in_time(PATIENCE, chores(app)).await);
        if round.is_multiple_of(TIDY_EVERY) {
            log(in_time(TIDY_PATIENCE, tidy(&app.database, Now::read())).await);
        }
        tokio::time::sleep(CHORES_EVERY).await;
    }
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

type Change = (Option<OrgId>, Option<AgentId>);

/// The changes after `cursor`, and the number of the last.
async fn look(database: &Database, cursor: Option<i64>) -> Result<(i64, Vec<Change>), sqlx::Error> {
    let mut connection = database.connection().await?;
    // The head first: whatever has a number up to it is visible.
    let head = sqlx::query_scalar!("SELECT seq FROM change_head")
        .fetch_one(&mut *connection)
        .await?;
    let Some(cursor) = cursor.filter(|cursor| *cursor != head) else {
        return Ok((head, Vec::new()));
    };
    let changes = sqlx::query!(
        r#"SELECT org_id AS "org_id: OrgId", agent_id AS "agent_id: AgentId"
             FROM client_changes
            WHERE seq > $1 AND seq <= $2
            ORDER BY seq"#,
        cursor,
        head,
    )
    .fetch_all(&mut *connection)
    .await?;
    let changes = changes.into_iter().map(|row| (row.org_id, row.agent_id));
    Ok((head, changes.collect()))
}

fn forget(app: &App, change: Change) {
    match change {
        (Some(org_id), agent_id) => app.clients.forget(org_id, agent_id),
        // A tier's numbers or its module.
        (None, _) => app.clients.forget_all(),
    }
}

/// How far `revoked:<jti>` was derived from the rows.
#[derive(Default)]
struct Marked {
    /// In the store that began then; nothing is marked in another one.
    epoch: u64,
    seq: u64,
}

/// Marks the tokens that were revoked since, or, in a store that has lost
/// everything, all that are revoked.
async fn mark(app: &App, marked: &mut Marked, head: i64) -> Result<(), crate::Failure> {
    let now = Now::read();
    let counted = app.hot.count(&[], now).await?;
    let epoch = match counted.epoch {
        Some(epoch) => epoch,
        None => app.ledger.adopt(app).await?,
    };
    if marked.epoch != epoch {
        *marked = Marked { epoch, seq: 0 };
    }
    while marked.seq < head.unsigned_abs() {
        let mut connection = app.database.connection().await?;
        let entries = revocations::after(&mut *connection, marked.seq, MOST_ENTRIES, now).await?;
        drop(connection);
        let last = entries.last().map(|(seq, _)| *seq);
        for (_, entry) in entries
            .into_iter()
            .filter(|(_, entry)| entry.kind == Kind::Token)
        {
            let expires_ms = entry.expires_at.saturating_mul(1_000);
            app.hot
                .mark(&revocations::key(&entry.id), expires_ms, now)
                .await?;
        }
        marked.seq = last.unwrap_or(head.unsigned_abs());
    }
    Ok(())
}

/// Writes the uses that were noted, before the process ends.
pub(crate) async fn write_uses(app: &App) {
    let written = async {
        let mut connection = app.database.connection().await?;
        app.uses.write(&mut connection).await
    };
    log(in_time(PATIENCE, written).await);
}

/// Writes the uses that were noted, and counts what ends soon.
async fn chores(app: &App) -> Result<(), sqlx::Error> {
    // First: who floods while the database is away is forgotten too.
    app.addresses.tidy();
    let mut connection = app.database.connection().await?;
    app.uses.write(&mut connection).await?;
    let now = Now::read().timestamp();
    let ending = credentials::count_ending(&mut *connection, now, now + SOON).await?;
    app.metrics.credentials_expiring_soon.set(ending);
    Ok(())
}

/// Deletes what no cursor, no token and no counter needs: changes that every
/// replica saw long ago, entries that no living token can fall under, marks of
/// periods that are over, and answers that nobody repeats any more.
async fn tidy(database: &Database, now: Now) -> Result<(), sqlx::Error> {
    let day_ago = now.timestamp() - time::Duration::days(1);
    let mut connection = database.connection().await?;
    let connection: &mut PgConnection = &mut connection;
    sqlx::query!("DELETE FROM client_changes WHERE changed_at < $1", day_ago)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "DELETE FROM revocations
          WHERE expires_at < $1 AND (kind IN ('token', 'grant') OR lifted_at IS NOT NULL)",
        day_ago,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM counter_marks WHERE ends_at < $1", day_ago)
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
