//! `POST …/versions/{digest}/replay`: what a version would have made of decisions
//! whose input was kept; and what it did make of them while it watched.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgExecutor;
use sqlx::types::Json as SqlJson;

use super::model::VersionDigest;
use super::{may, store};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::Failure;
use crate::ids::{EventId, OrgId};
use crate::page::{Page, PageRequest};
use crate::path::Ids;
use crate::policy::{Allowed, Question, Verdict, Version, shown};

/// How many decisions are replayed at most, and where nobody says.
const MOST: u32 = 10_000;
const USUAL: u32 = 1_000;
/// How many of those that would be others are shown.
const MOST_SHOWN: usize = 100;
/// How long the module may run in all, and stand still for decisions: whoever waits for another tenant's replay still
/// has time for its own.
const PATIENCE: Duration = Duration::from_millis(700);

/// How much is replayed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The latest so many decisions whose input was kept.
    #[serde(default = "usual")]
    limit: u32,
}

const fn usual() -> u32 {
    USUAL
}

/// What a decision was asked, and what it was.
#[derive(Deserialize)]
struct Input {
    question: Question,
    /// By the tier's module.
    left: Allowed,
}

struct Kept {
    decision_id: EventId,
    denied: bool,
    scope: Option<String>,
    input: Input,
}

pub(super) async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(org_id, digest): Ids<OrgId, VersionDigest>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Json<Value>, Failure> {
    may(&app, &caller, "policies:read", org_id).await?;
    if !(1..=MOST).contains(&wanted.limit) {
        return Err(Failure::invalid(
            "limit",
            format!("must be from 1 to {MOST}"),
        ));
    }
    let mut connection = app.database.connection().await?;
    let version = store::one(&mut *connection, org_id, &digest.0)
        .await?
        .ok_or(Failure::NotFound)?;
    version.can_be_asked()?;
    let kept = kept(&mut *connection, org_id, wanted.limit).await?;
    drop(connection);
    let inputs = kept
        .iter()
        .map(|kept| (kept.input.question.clone(), kept.input.left.clone()))
        .collect();
    let verdicts = app
        .policy
        .judge_many(
            &app.database,
            org_id,
            Version::from(version),
            inputs,
            PATIENCE,
        )
        .await?;
    let changed: Vec<(&Kept, &Verdict)> = kept
        .iter()
        .zip(&verdicts)
        .filter(|(kept, verdict)| is_another(kept, verdict))
        .collect();
    let denies = |(kept, verdict): &&(&Kept, &Verdict)| !kept.denied && verdict.allowed().is_none();
    let allows = |(kept, verdict): &&(&Kept, &Verdict)| kept.denied && verdict.allowed().is_some();
    let shown: Vec<Value> = changed
        .iter()
        .take(MOST_SHOWN)
        .map(|(kept, verdict)| {
            json!({
                "decision_id": kept.decision_id,
                "agent_id": kept.input.question.agent_id,
                "was": { "decision": if kept.denied { "deny" } else { "allow" }, "scope": kept.scope },
                "would_be": shown::verdict(verdict),
            })
        })
        .collect();
    Ok(Json(json!({
        "kept": kept.len(),
        "replayed": verdicts.len(),
        "would_deny": changed.iter().filter(denies).count(),
        "would_allow": changed.iter().filter(allows).count(),
        "would_change": changed.len(),
        "changes": shown,
    })))
}

/// Whether the version says something else than what counted: another answer, or
/// other scopes.
fn is_another(kept: &Kept, verdict: &Verdict) -> bool {
    match verdict.allowed() {
        None => !kept.denied,
        Some(allowed) => kept.denied || Some(allowed.scopes.join(" ")) != kept.scope,
    }
}

async fn kept(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    limit: u32,
) -> Result<Vec<Kept>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT event_id AS "event_id: EventId", action, details->>'scope' AS scope,
                  details->'input' AS "input!: SqlJson<Value>"
             FROM audit_events
            WHERE org_id = $1 AND details ? 'input'
            ORDER BY event_id DESC
            LIMIT $2"#,
        org_id.0,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?;
    let kept = rows.into_iter().filter_map(|row| {
        Some(Kept {
            decision_id: row.event_id,
            denied: row.action == "token.denied",
            scope: row.scope,
            // One of an older form is left out.
            input: serde_json::from_value(row.input.0).ok()?,
        })
    });
    Ok(kept.collect())
}

/// A decision in which the watching version would have said something else.
#[derive(serde::Serialize)]
pub(super) struct Difference {
    decision_id: EventId,
    agent_id: Option<uuid::Uuid>,
    was: Value,
    would_be: Value,
}

pub(super) async fn differences(
    State(app): State<Arc<App>>,
    caller: Caller,
    Ids(org_id, digest): Ids<OrgId, VersionDigest>,
    page: PageRequest,
) -> Result<Json<Page<Difference>>, Failure> {
    may(&app, &caller, "policies:read", org_id).await?;
    let mut connection = app.database.connection().await?;
    store::one(&mut *connection, org_id, &digest.0)
        .await?
        .ok_or(Failure::NotFound)?;
    let rows = sqlx::query!(
        r#"SELECT event_id AS "event_id: EventId", actor, action, details->>'scope' AS scope,
                  details->'shadow' AS "shadow!: SqlJson<Value>"
             FROM audit_events
            WHERE org_id = $1 AND event_id > $2 AND details ? 'shadow'
              AND details->'shadow'->>'policy' = $3
            ORDER BY event_id
            LIMIT $4"#,
        org_id.0,
        page.after,
        digest.0,
        page.fetch(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let differences = rows.into_iter().map(|row| {
        let was = if row.action == "token.denied" {
            "deny"
        } else {
            "allow"
        };
        Difference {
            decision_id: row.event_id,
            agent_id: row.actor,
            was: json!({ "decision": was, "scope": row.scope }),
            would_be: row.shadow.0,
        }
    });
    let page = Page::of(differences.collect(), page, |difference| {
        difference.decision_id.0
    });
    Ok(Json(page))
}
