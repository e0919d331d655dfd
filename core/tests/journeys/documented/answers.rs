//! Real answers beside their description: the headers and the members of each.

mod lists;
mod management;
mod policies;

use std::collections::BTreeSet;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{document, operations, parameters, resolve};
use crate::support::modules::component;
use crate::support::{Deployment, Tenant, root};

/// Headers that say something about the one thing or the one client.
const TOLD: [&str; 8] = [
    "etag",
    "location",
    "idempotency-replayed",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
    "www-authenticate",
];

type Answer = (StatusCode, HeaderMap, Value);

async fn whole(answer: reqwest::Response) -> Answer {
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap())
}

/// A policy that never decides.
fn watching() -> Vec<u8> {
    let text = std::fs::read_to_string(root().join("policies/hostile/unreachable.wat"));
    component(&text.unwrap())
}

async fn upload(deployment: &Deployment, token: &str, tenant: &Tenant, module: Vec<u8>) -> Answer {
    let path = format!("/api/v1/tenants/{}/policy", tenant.org_id);
    let put = deployment.http.put(format!("{}{path}", deployment.url));
    let put = put
        .bearer_auth(token)
        .header("content-type", "application/wasm");
    whole(put.body(module).send().await.unwrap()).await
}

/// Holds an answer to what is said of `method` on the template `path`.
fn check(document: &Value, (path, method): (&str, &str), answer: &(StatusCode, HeaderMap, Value)) {
    let (status, headers, body) = answer;
    let what = format!("{method} {path}: {status} {body}");
    let operation = &document["paths"][format!("/api/v1{path}")][method];
    let response = &operation["responses"][status.as_str()];
    let response = resolve(document, response);
    assert!(response.is_object(), "{what}");
    let documented = response["headers"].as_object().into_iter().flatten();
    let documented: BTreeSet<String> = documented.map(|(name, _)| name.to_lowercase()).collect();
    let told = TOLD.iter().filter(|name| headers.contains_key(**name));
    for name in told {
        assert!(documented.contains(*name), "{what} has {name}");
    }
    let schema = &response["content"]["application/json"]["schema"];
    assert_eq!(schema.is_object(), !body.is_null(), "{what}");
    check_members(document, schema, body, &what);
}

/// Every member of `body` is documented, and every required one is there.
fn check_members(document: &Value, schema: &Value, body: &Value, what: &str) {
    let (mut known, mut required) = (serde_json::Map::new(), BTreeSet::new());
    gather(document, schema, &mut known, &mut required);
    let Some(members) = body.as_object() else {
        return;
    };
    for (name, value) in members {
        let schema = known
            .get(name)
            .unwrap_or_else(|| panic!("{what} has {name}"));
        let items = value.as_array().into_iter().flatten();
        for item in items {
            check_members(document, &resolve(document, schema)["items"], item, what);
        }
        if value.is_object()
            && schema
                .pointer("/properties")
                .or(schema.get("$ref"))
                .or(schema.get("anyOf"))
                .is_some()
        {
            check_members(document, schema, value, what);
        }
    }
    for name in required {
        assert!(members.contains_key(&name), "{what} has no {name}");
    }
}

fn gather(
    document: &Value,
    schema: &Value,
    known: &mut serde_json::Map<String, Value>,
    required: &mut BTreeSet<String>,
) {
    let schema = resolve(document, schema);
    // What is any of several is one thing, or null.
    let parts = ["allOf", "anyOf"].map(|all| schema[all].as_array().into_iter().flatten());
    for part in parts.into_iter().flatten() {
        gather(document, part, known, required);
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    known.extend(properties.map(|(name, schema)| (name.clone(), schema.clone())));
    let names = schema["required"].as_array().into_iter().flatten();
    required.extend(names.map(|name| name.as_str().unwrap().to_owned()));
}
