//! Keeps this process's caches true: follows, by a cursor, what other replicas
//! changed, and forgets it here. It polls, since nothing may rely on a database
//! session.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use crate::app::App;
use crate::clock::Now;
use crate::ids::{AgentId, OrgId};

/// How often the changes are looked at.
const EVERY: Duration = Duration::from_millis(250);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what nobody needs any more is deleted, in polls: an hour.
const TIDY_EVERY: u32 = 14_400;

/// Follows until the process ends.
pub async fn follow(app: Arc<App>) {
    let mut cursor = None;
    let mut lost = false;
    let mut polls = 0_u32;
    loop {
        let looked = tokio::time::timeout(PATIENCE, look(&app, cursor)).await;
        match looked {
            Ok(Ok(next)) => {
                if lost || cursor.is_none() {
                    // What happened meanwhile is not known.
                    app.clients.forget_all();
                }
                lost = false;
                cursor = Some(next);
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
        polls = polls.wrapping_add(1);
        if polls.is_multiple_of(TIDY_EVERY)
            && let Err(error) = tidy(&app.pool, Now::read()).await
        {
            tracing::error!("Unexpected pg pool error {error}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(app: &App, cursor: Option<i64>) -> Result<i64, sqlx::Error> {
    let Some(cursor) = cursor else {
        return sqlx::query_scalar!("SELECT seq FROM change_head")
            .fetch_one(&app.pool)
            .await;
    };
    let changes = sqlx::query!(
        r#"SELECT seq, org_id AS "org_id: OrgId", agent_id AS "agent_id: AgentId"
             FROM client_changes
            WHERE seq > $1
            ORDER BY seq"#,
        cursor,
    )
    .fetch_all(&app.pool)
    .await?;
    let last = changes.last().map_or(cursor, |change| change.seq);
    for change in changes {
        match change.org_id {
            Some(org_id) => app.clients.forget(org_id, change.agent_id),
            // A tier's numbers or its module.
            None => app.clients.forget_all(),
        }
    }
    Ok(last)
}

/// Deletes what no cursor and no token needs: changes that every replica saw long
/// ago, and entries that no living token can fall under.
async fn tidy(pool: &PgPool, now: Now) -> Result<(), sqlx::Error> {
    let day_ago = now.timestamp() - time::Duration::days(1);
    sqlx::query!("DELETE FROM client_changes WHERE changed_at < $1", day_ago)
        .execute(pool)
        .await?;
    sqlx::query!(
        "DELETE FROM revocations
          WHERE expires_at < $1 AND (kind IN ('token', 'grant') OR lifted_at IS NOT NULL)",
        day_ago,
    )
    .execute(pool)
    .await
    .map(|_| ())
}
