//! `POST /access/v1/evaluations`, `AuthZEN` Authorization API 1.0 §7: several
//! evaluations in one call, with what is the same for all of them said once.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::authzen::{answered, decide};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::Failure;

/// How many may be asked in one call.
const MOST: usize = 50;
/// What stands for all evaluations that do not say otherwise.
const DEFAULTS: [&str; 4] = ["subject", "resource", "action", "context"];

/// What is asked; other members are let be.
#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    evaluations: Vec<Map<String, Value>>,
    #[serde(default)]
    options: Options,
    #[serde(flatten)]
    defaults: Map<String, Value>,
}

#[derive(Deserialize, Default)]
struct Options {
    #[serde(default)]
    evaluations_semantic: Semantic,
}

/// When no more are evaluated.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Semantic {
    #[default]
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

impl Semantic {
    const fn ends_after(self, decision: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !decision,
            Self::PermitOnFirstPermit => decision,
        }
    }
}

impl Batch {
    /// One of the evaluations, with the defaults.
    fn whole(&self, mut evaluation: Map<String, Value>) -> Value {
        for name in DEFAULTS {
            if let Some(value) = self.defaults.get(name)
                && !evaluation.contains_key(name)
            {
                evaluation.insert(name.to_owned(), value.clone());
            }
        }
        Value::Object(evaluation)
    }
}

pub(super) async fn evaluate_all(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<Value>,
) -> Result<Response, Failure> {
    caller.may("tokens:introspect")?;
    let unreadable = |error: serde_json::Error| {
        Failure::Unreadable(format!("No evaluations can be asked: {error}.").into())
    };
    let mut batch: Batch = serde_json::from_value(asked).map_err(unreadable)?;
    if batch.evaluations.len() > MOST {
        return Err(Failure::invalid(
            "evaluations",
            format!("must be at most {MOST}"),
        ));
    }
    let evaluations = std::mem::take(&mut batch.evaluations);
    if evaluations.is_empty() {
        // §7.1: without any it is the one of the Access Evaluation API.
        let asked = serde_json::from_value(batch.whole(Map::new())).map_err(unreadable)?;
        let (decision, context) = decide(&app, &caller, &asked).await?;
        let answer = json!({ "decision": decision, "context": context });
        return Ok(answered(&headers, answer));
    }
    let mut outcomes = Vec::with_capacity(evaluations.len());
    for evaluation in evaluations {
        let (decision, context) = match serde_json::from_value(batch.whole(evaluation)) {
            Ok(asked) => decide(&app, &caller, &asked).await?,
            // §7.2: what is wrong with one is said in its place.
            Err(error) => (false, wrong(&error)),
        };
        outcomes.push(json!({ "decision": decision, "context": context }));
        if batch.options.evaluations_semantic.ends_after(decision) {
            break;
        }
    }
    Ok(answered(&headers, json!({ "evaluations": outcomes })))
}

fn wrong(error: &serde_json::Error) -> Map<String, Value> {
    let status = StatusCode::BAD_REQUEST.as_u16();
    let message = format!("This evaluation cannot be asked: {error}.");
    let mut context = Map::new();
    context.insert(
        "error".into(),
        json!({ "status": status, "message": message }),
    );
    context
}
