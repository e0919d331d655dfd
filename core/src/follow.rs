//! Keeps what this process remembers of clients true to what is on disk, by a
//! cursor and without a database session: what other replicas changed is forgotten.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::change;
use crate::database::Database;
use crate::ids::{AgentId, OrgId};

/// How often the changes are looked at.
pub(crate) const EVERY: Duration = Duration::from_millis(250);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Follows until the process ends.
pub(crate) async fn follow(app: Arc<App>) {
    let mut cursor = None;
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
                    forget(&app, change);
                }
                lost = false;
                cursor = Some(head);
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

type Changed = (Option<OrgId>, Option<AgentId>);

/// The changes after `cursor`, and the number of the last.
async fn look(
    database: &Database,
    cursor: Option<i64>,
) -> Result<(i64, Vec<Changed>), sqlx::Error> {
    let mut connection = database.connection().await?;
    // The head first: whatever has a number up to it is visible.
    let head = change::head(&mut connection).await?;
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

fn forget(app: &App, changed: Changed) {
    match changed {
        (Some(org_id), agent_id) => app.clients.forget(org_id, agent_id),
        // A tier's numbers or its module.
        (None, _) => app.clients.forget_all(),
    }
}
