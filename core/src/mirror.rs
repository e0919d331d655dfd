//! Keeps the hot store true to what is on disk: `revoked:<jti>` of each token that
//! is revoked derives from its row, also in a store that has lost everything.

use std::sync::Arc;
use std::time::Duration;

use agentidp_verify::feed::Kind;

use crate::app::App;
use crate::clock::Now;
use crate::error::Failure;
use crate::hot::Mark;
use crate::{change, follow, revocations};

/// How long one batch may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many revocations are looked at together.
const MOST_ENTRIES: i64 = 1_000;

/// How far the marks have come.
#[derive(Default)]
struct Marked {
    /// In the store that began then; nothing is marked in another one.
    epoch: u64,
    seq: u64,
}

/// Mirrors until the process ends.
pub(crate) async fn mirror(app: Arc<App>) {
    let mut marked = Marked::default();
    loop {
        // What fails here fails for every request, which says so.
        let behind = tokio::time::timeout(PATIENCE, advance(&app, &mut marked)).await;
        if !matches!(behind, Ok(Ok(true))) {
            tokio::time::sleep(follow::EVERY).await;
        }
    }
}

/// Marks the tokens of the next batch; answers whether there are more.
async fn advance(app: &App, marked: &mut Marked) -> Result<bool, Failure> {
    let now = Now::read();
    let counted = app.hot.count(&[], now).await?;
    let epoch = match counted.epoch {
        Some(epoch) => epoch,
        None => app.ledger.adopt(app).await?,
    };
    if marked.epoch != epoch {
        *marked = Marked { epoch, seq: 0 };
    }
    let mut connection = app.database.connection().await?;
    let head = change::head(&mut connection).await?.unsigned_abs();
    if marked.seq >= head {
        return Ok(false);
    }
    let entries = revocations::after(&mut *connection, marked.seq, MOST_ENTRIES, now).await?;
    drop(connection);
    let last = entries.last().map(|(seq, _)| *seq);
    let tokens = entries
        .into_iter()
        .filter(|(_, entry)| entry.kind == Kind::Token);
    let marks: Vec<Mark> = tokens
        .map(|(_, entry)| revocations::mark(&entry.id, entry.expires_at))
        .collect();
    app.hot.mark(&marks, now).await?;
    // Each batch counts, however many follow.
    marked.seq = last.unwrap_or(head);
    Ok(last.is_some())
}
