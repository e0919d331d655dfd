//! `POST /access/v1/evaluation`, `AuthZEN` Authorization API 1.0 §6: would this agent
//! get a token for that scope at that resource now? It is the decision of an issuance,
//! and nothing is issued or counted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::clients::Client;
use crate::clock::Now;
use crate::error::Failure;
use crate::limits;
use crate::policy::{Decision, Question, shown};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// §5: what is asked. Members beyond these are let be, as §5 has it.
#[derive(Deserialize)]
pub(super) struct Evaluation {
    subject: Entity,
    resource: Entity,
    action: Action,
}

/// §5.1 and §5.2.
#[derive(Deserialize)]
struct Entity {
    r#type: String,
    id: String,
}

/// §5.3.
#[derive(Deserialize)]
struct Action {
    /// A scope.
    name: String,
}

pub(super) async fn evaluate(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<Value>,
) -> Result<Response, Failure> {
    // Whoever may see the tenant's tokens may ask what they would be.
    caller.may("tokens:introspect")?;
    let asked = serde_json::from_value(asked).map_err(|error| {
        Failure::Unreadable(format!("No evaluation can be asked: {error}.").into())
    })?;
    let (decision, context) = decide(&app, &caller, &asked).await?;
    let answer = json!({ "decision": decision, "context": context });
    Ok(answered(&headers, answer))
}

/// An answer under the caller's own name for the request.
pub(super) fn answered(headers: &HeaderMap, answer: Value) -> Response {
    let echoed = headers.get(REQUEST_ID).map(|id| [(REQUEST_ID, id.clone())]);
    (echoed, Json(answer)).into_response()
}

/// Whether, and what is said beside it.
pub(super) async fn decide(
    app: &App,
    caller: &Caller,
    asked: &Evaluation,
) -> Result<(bool, Map<String, Value>), Failure> {
    let now = Now::read();
    let no = |why: &str| Ok((false, reason(why)));
    if asked.subject.r#type != "agent" {
        return no("The subject's type is not `agent`.");
    }
    let client = match asked.subject.id.parse() {
        Ok(agent_id) => app.clients.find(&app.database, agent_id, now).await?,
        Err(()) => None,
    };
    let Some(client) = client.filter(|client| client.org_id == caller.org_id()) else {
        return no("There is no such agent.");
    };
    if !client.is_in_service() {
        return no("The agent is not in service.");
    }
    let audience = client
        .audiences
        .iter()
        .find(|audience| audience.identifier == asked.resource.id);
    let Some(audience) = audience else {
        return no("There is no such resource.");
    };
    let scope = &asked.action.name;
    if !client.scopes.contains(scope) || !audience.scopes.contains(scope) {
        return no("The agent does not hold the scope there.");
    }
    let question = question(app, &client, &audience.identifier, scope, now).await?;
    let decided = app
        .policy
        .consider(
            &app.database,
            &question,
            &client.tier,
            client.policy.active.clone(),
        )
        .await?;
    let verdict = decided.verdict();
    let mut context = match &verdict.decision {
        Decision::Allow(_) => Map::new(),
        Decision::Deny(denial) => reason(&denial.for_the_client()),
    };
    context.insert("tier".into(), shown::verdict(&decided.tier));
    if let Some(tenant) = &decided.tenant {
        context.insert("tenant".into(), shown::verdict(tenant));
    }
    Ok((verdict.allowed().is_some(), context))
}

fn reason(why: &str) -> Map<String, Value> {
    let mut context = Map::new();
    context.insert("reason".into(), why.into());
    context
}

async fn question(
    app: &App,
    client: &Client,
    audience: &str,
    scope: &str,
    now: Now,
) -> Result<Question, Failure> {
    let [tokens_today, tokens_this_month] = limits::used_with_another(app, client, now).await?;
    Ok(Question {
        agent_id: client.agent_id.to_string(),
        agent_type: client.agent_type.clone(),
        deployment_env: client.deployment_env.clone(),
        capabilities: client.capabilities.clone(),
        org_id: client.org_id.to_string(),
        tier: client.tier.name.clone(),
        audience: audience.to_owned(),
        scopes: vec![scope.to_owned()],
        now: now.s(),
        tokens_today,
        tokens_this_month,
    })
}

/// `AuthZEN` §9.1: where the decisions are.
pub(super) async fn metadata(
    State(app): State<Arc<App>>,
) -> ([(HeaderName, &'static str); 1], Json<Value>) {
    let origin = app.config.issuer.origin();
    let document = json!({
        "policy_decision_point": origin,
        "access_evaluation_endpoint": format!("{origin}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{origin}/access/v1/evaluations"),
    });
    ([(CACHE_CONTROL, "public, max-age=300")], Json(document))
}
