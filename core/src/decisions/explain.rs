//! `GET /api/v1/decisions/{decision_id}`: a token or a refusal, step by step: what
//! was asked, what the tier's module left of it, and what the tenant's did.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;

use crate::app::App;
use crate::caller::Caller;
use crate::error::Failure;
use crate::etag::Versioned;
use crate::ids::{AgentId, EventId, OrgId};
use crate::path::Id;

/// A decision, explained.
#[derive(Serialize)]
pub(super) struct Explained {
    decision_id: EventId,
    #[serde(with = "time::serde::rfc3339")]
    decided_at: OffsetDateTime,
    /// `allow` or `deny`.
    decision: &'static str,
    /// Why not.
    reason: Option<Value>,
    agent_id: Option<AgentId>,
    credential_id: Option<Value>,
    audience: Option<Value>,
    /// In their order: the client, the tier's module, the tenant's.
    steps: Vec<Step>,
    /// What the watching version would have decided, where that is something else.
    shadow: Option<Value>,
    /// What the token says; null for a refusal.
    granted: Option<Value>,
}

/// What one party left of the scopes.
#[derive(Serialize)]
struct Step {
    by: &'static str,
    scopes: Vec<String>,
    took_away: Vec<String>,
    /// A module's verdict; null for the client.
    verdict: Option<Value>,
}

struct Event {
    at: OffsetDateTime,
    actor: Option<AgentId>,
    denied: bool,
    details: Value,
}

pub(super) async fn explain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(decision_id): Id<EventId>,
) -> Result<Versioned<Explained>, Failure> {
    caller.within_limits()?;
    let connection = &mut *app.database.connection().await?;
    let event = find(connection, caller.org_id(), decision_id).await?;
    let own = |event: &Event| event.actor == Some(caller.agent_id());
    if !event.as_ref().is_some_and(own) {
        // One's own needs no scope.
        caller.may("audit:read")?;
    }
    let mut explained = explained(decision_id, event.ok_or(Failure::NotFound)?);
    if !caller.holds("audit:read") {
        explained.withhold();
    }
    Ok(Versioned(explained))
}

impl Explained {
    /// Leaves out what its administrators alone are to see: how a policy failed, and
    /// what another one would have said.
    fn withhold(&mut self) {
        self.shadow = None;
        for step in &mut self.steps {
            let failed = step.verdict.take().is_some_and(|of| of["failed"] == true);
            if failed {
                self.reason = None;
            }
        }
    }
}

fn explained(decision_id: EventId, event: Event) -> Explained {
    let Event {
        at,
        actor,
        denied,
        mut details,
    } = event;
    let mut take = |name: &str| match details[name].take() {
        Value::Null => None,
        value => Some(value),
    };
    let (scope, policy) = (take("scope"), take("policy"));
    let asked = words(take("asked").as_ref().or(scope.as_ref()));
    let reason = take("reason");
    let mut steps = vec![Step {
        by: "client",
        scopes: asked,
        took_away: Vec::new(),
        verdict: None,
    }];
    match (take("tier"), take("tenant")) {
        (Some(tier), Some(tenant)) => {
            steps.push(after(&steps, "tier", tier));
            steps.push(after(&steps, "tenant", tenant));
        }
        // The tier's module alone was asked.
        _ => {
            let decision = if denied { "deny" } else { "allow" };
            let said = reason.as_ref().and_then(Value::as_str).unwrap_or_default();
            let verdict = json!({
                "failed": said.starts_with("module failed: ") || said.starts_with("no module: "),
                "decision": decision,
                "policy": policy,
                "scope": scope,
                "reason": reason,
            });
            steps.push(after(&steps, "tier", verdict));
        }
    }
    let granted = json!({ "scope": scope, "expires_at": take("expires_at"), "key": take("key") });
    Explained {
        decision_id,
        decided_at: at,
        decision: if denied { "deny" } else { "allow" },
        reason,
        agent_id: actor,
        credential_id: take("credential_id"),
        audience: take("audience"),
        steps,
        shadow: take("shadow"),
        granted: (!denied).then_some(granted),
    }
}

/// The step after those so far.
fn after(steps: &[Step], by: &'static str, verdict: Value) -> Step {
    let scopes = words(verdict.get("scope"));
    let before = steps.last().map_or(&[][..], |step| &step.scopes);
    let gone = |scope: &&String| !scopes.contains(scope);
    Step {
        by,
        took_away: before.iter().filter(gone).cloned().collect(),
        scopes,
        verdict: Some(verdict),
    }
}

fn words(scope: Option<&Value>) -> Vec<String> {
    let text = scope.and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

async fn find(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    decision_id: EventId,
) -> Result<Option<Event>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT occurred_at, actor AS "actor: AgentId", action, details AS "details: Json<Value>"
             FROM audit_events
            WHERE org_id = $1 AND event_id = $2 AND action IN ('token.issued', 'token.denied')"#,
        org_id.0,
        decision_id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Event {
        at: row.occurred_at,
        actor: row.actor,
        denied: row.action == "token.denied",
        details: row.details.0,
    }))
}
