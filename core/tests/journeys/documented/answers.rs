//! Real answers beside their description: the lists' parameters, the headers and
//! the members.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::{document, operations, parameters, resolve};
use crate::support::modules::component;
use crate::support::{Deployment, Tenant, root, text};

/// Parameters that some list takes, each with a value that it would take.
const FILTERS: [(&str, &str); 9] = [
    ("limit", "5"),
    ("cursor", "AYv-tgAAcAAAAAAAAAAAAA"),
    ("status", "active"),
    ("tier", "pro"),
    ("q", "a"),
    ("owner", "a"),
    ("agent_type", "a"),
    ("deployment_env", "a"),
    ("expires_before", "2030-01-01T00:00:00Z"),
];
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

#[tokio::test]
async fn every_filter_that_a_list_takes_is_documented_and_no_other() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let (.., version) = upload(&deployment, &admin, &tenant, watching()).await;
    let document = document();
    let mut lists = 0;
    for (path, _, operation) in operations(&document) {
        let documented = parameters(&document, operation, "query");
        if !documented.contains("cursor") {
            continue;
        }
        let path = path.trim_start_matches("/api/v1");
        let path = path
            .replace("{agent_id}", &tenant.agent.id)
            .replace("{org_id}", &tenant.org_id)
            .replace("{digest}", &text(&version, "digest"));
        let mut taken = BTreeSet::new();
        for (name, value) in FILTERS {
            let asked = format!("{path}?{name}={value}");
            match deployment.call(&admin, "GET", &asked, None).await.0 {
                StatusCode::OK => taken.insert(name.to_owned()),
                StatusCode::BAD_REQUEST => false,
                other => panic!("{asked}: {other}"),
            };
        }
        assert_eq!(taken, documented, "{path}");
        lists += 1;
    }
    assert_eq!(lists, 6);
    deployment.stop().await;
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

#[tokio::test]
async fn every_header_and_member_of_an_answer_is_documented() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    // So that each credential shows its last use.
    deployment.token(&tenant.agent).await;
    deployment.stop_core().await;
    deployment.start_core().await;
    let document = document();
    let agents_credentials = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment
        .must(&admin, "GET", &agents_credentials, None)
        .await;
    assert!(listed["data"][0]["last_used_at"].is_string(), "{listed}");
    let credential = format!(
        "{agents_credentials}/{}",
        text(&listed["data"][0], "credential_id")
    );
    let listed = deployment.must(&admin, "GET", "/resources", None).await;
    let resource = format!("/resources/{}", text(&listed["data"][0], "resource_id"));
    let (tenants, agent) = (
        format!("/tenants/{}", tenant.org_id),
        format!("/agents/{}", tenant.agent.id),
    );
    let ofs = "/agents/{agent_id}/credentials";
    let of = "/agents/{agent_id}/credentials/{credential_id}";
    let rotate = "/agents/{agent_id}/credentials/{credential_id}/rotate";
    let new = json!({ "name": "new" });
    let settings = format!("{tenants}/settings");
    let gold = json!({
        "calls_per_day": null, "tokens_per_day": 5, "tokens_per_month": null,
        "requests_per_minute": 9,
    });
    let protect = json!({ "identifier": format!("{}/2", tenant.resource), "scopes": [] });

    for (token, method, path, template, body) in [
        (&operator, "GET", "/tenants", "/tenants", Value::Null),
        (&operator, "POST", "/tenants", "/tenants", new.clone()),
        (
            &operator,
            "GET",
            &*tenants,
            "/tenants/{org_id}",
            Value::Null,
        ),
        (
            &operator,
            "PATCH",
            &*tenants,
            "/tenants/{org_id}",
            new.clone(),
        ),
        (
            &operator,
            "GET",
            &*format!("{tenants}/usage"),
            "/tenants/{org_id}/usage",
            Value::Null,
        ),
        (
            &admin,
            "GET",
            &*settings,
            "/tenants/{org_id}/settings",
            Value::Null,
        ),
        (
            &admin,
            "PATCH",
            &*settings,
            "/tenants/{org_id}/settings",
            json!({ "token_lifetime_s": 600 }),
        ),
        (&operator, "GET", "/tiers", "/tiers", Value::Null),
        (
            &operator,
            "PUT",
            "/tiers/gold",
            "/tiers/{tier}",
            gold.clone(),
        ),
        (
            &operator,
            "GET",
            "/tiers/gold",
            "/tiers/{tier}",
            Value::Null,
        ),
        (&operator, "PUT", "/tiers/gold", "/tiers/{tier}", gold),
        (
            &operator,
            "DELETE",
            "/tiers/gold",
            "/tiers/{tier}",
            Value::Null,
        ),
        (
            &admin,
            "GET",
            &*format!("{agent}/usage"),
            "/agents/{agent_id}/usage",
            Value::Null,
        ),
        (&admin, "GET", "/resources", "/resources", Value::Null),
        (&admin, "POST", "/resources", "/resources", protect),
        (
            &admin,
            "GET",
            &*resource,
            "/resources/{resource_id}",
            Value::Null,
        ),
        (
            &admin,
            "PATCH",
            &*resource,
            "/resources/{resource_id}",
            new.clone(),
        ),
        (&admin, "GET", "/agents", "/agents", Value::Null),
        (&admin, "POST", "/agents", "/agents", new),
        (&admin, "GET", &*agent, "/agents/{agent_id}", Value::Null),
        (
            &admin,
            "PATCH",
            &*agent,
            "/agents/{agent_id}",
            json!({ "owner": "new" }),
        ),
        (&admin, "GET", "/credentials", "/credentials", Value::Null),
        (&admin, "GET", &*agents_credentials, ofs, Value::Null),
        (&admin, "POST", &*agents_credentials, ofs, json!({})),
        (&admin, "GET", &*credential, of, Value::Null),
        (
            &admin,
            "POST",
            &*format!("{credential}/rotate"),
            rotate,
            json!({}),
        ),
        (&admin, "GET", &*credential, of, Value::Null),
        (&admin, "DELETE", &*credential, of, Value::Null),
        (&admin, "GET", &*credential, of, Value::Null),
        (&admin, "DELETE", &*agent, "/agents/{agent_id}", Value::Null),
        (
            &admin,
            "DELETE",
            &*resource,
            "/resources/{resource_id}",
            Value::Null,
        ),
        (
            &operator,
            "DELETE",
            &*tenants,
            "/tenants/{org_id}",
            Value::Null,
        ),
        (
            &operator,
            "GET",
            &*tenants,
            "/tenants/{org_id}",
            Value::Null,
        ),
    ] {
        let body = Some(body).filter(|body| !body.is_null());
        let call = async |headers: &[(&str, &str)]| {
            deployment
                .call_with(token, method, path, headers, body.clone())
                .await
        };
        let lower = method.to_lowercase();
        let at = (template, lower.as_str());
        let stale = [("if-match", "\"stale\""), ("if-none-match", "*")];
        let single = template.ends_with('}')
            || template.ends_with("rotate")
            || template.ends_with("settings");
        if single {
            check(&document, at, &call(&stale).await);
        }
        let answer = call(&[("idempotency-key", template)]).await;
        assert!(
            answer.0.is_success() || answer.0 == StatusCode::CONFLICT,
            "{at:?} {answer:?}"
        );
        check(&document, at, &answer);
        if answer.0 == StatusCode::CREATED {
            check(&document, at, &call(&[("idempotency-key", template)]).await);
        }
        check(
            &document,
            at,
            &deployment.call_with("none", method, path, &[], body).await,
        );
    }
    deployment.stop().await;
}

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

#[tokio::test]
async fn every_header_and_member_of_a_policys_answers_is_documented() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let document = document();

    let put = ("/tenants/{org_id}/policy", "put");
    let unknown = upload(&deployment, "none", &tenant, Vec::new()).await;
    check(&document, put, &unknown);
    let refused = upload(&deployment, &admin, &tenant, b"no module".to_vec()).await;
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    check(&document, put, &refused);
    let made = upload(&deployment, &admin, &tenant, watching()).await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
    check(&document, put, &made);
    let again = upload(&deployment, &admin, &tenant, watching()).await;
    assert_eq!(again.0, StatusCode::OK, "{again:?}");
    check(&document, put, &again);

    let digest = text(&made.2, "digest");
    let call = async |method: &str, template: &str, headers: &[(&str, &str)], body: Value| {
        let path = template
            .replace("{org_id}", &tenant.org_id)
            .replace("{digest}", &digest);
        let body = Some(body).filter(|body| !body.is_null());
        let lower = method.to_lowercase();
        let at = (template, lower.as_str());
        let stranger = deployment
            .call_with("none", method, &path, headers, body.clone())
            .await;
        check(&document, at, &stranger);
        let answer = deployment
            .call_with(&admin, method, &path, headers, body)
            .await;
        check(&document, at, &answer);
        answer
    };
    let of = |what: &str| format!("/tenants/{{org_id}}/policy{what}");
    let to = |what: &str| of(&format!("/versions/{{digest}}{what}"));
    let (any, stale) = ([("if-none-match", "*")], [("if-match", "\"stale\"")]);

    let (status, ..) = call("POST", &to("/shadow"), &[], json!({})).await;
    assert_eq!(status, StatusCode::OK);
    // It watches this one, and would not let it be.
    let answer = whole(deployment.ask_token(&tenant.agent, &[]).await).await;
    assert_eq!(answer.0, StatusCode::OK, "{answer:?}");
    check(&document, ("/token", "post"), &answer);
    let explain = async |decision_id: String| {
        let template = "/decisions/{decision_id}";
        let path = template.replace("{decision_id}", &decision_id);
        for headers in [&[][..], &any[..]] {
            let answer = deployment
                .call_with(&admin, "GET", &path, headers, None)
                .await;
            let known = !headers.is_empty();
            assert_eq!(answer.0 == StatusCode::NOT_MODIFIED, known, "{answer:?}");
            check(&document, (template, "get"), &answer);
        }
        deployment.must(&admin, "GET", &path, None).await
    };
    let explained = explain(text(&answer.2, "decision_id")).await;
    assert_eq!(explained["shadow"]["decision"], "deny", "{explained}");
    let (.., listed) = call("GET", &to("/differences"), &[], Value::Null).await;
    assert!(listed["data"][0].is_object(), "{listed}");
    let (.., replayed) = call("POST", &to("/replay"), &[], json!({ "limit": 5 })).await;
    assert!(replayed["changes"][0].is_object(), "{replayed}");

    for (method, template, headers, body, expected) in [
        ("POST", &*to("/activate"), &[][..], json!({}), 200),
        ("GET", &*of(""), &[][..], Value::Null, 200),
        ("GET", &*of("/versions"), &[][..], Value::Null, 200),
        ("GET", &*to(""), &[][..], Value::Null, 200),
        ("GET", &*to(""), &any[..], Value::Null, 304),
        (
            "POST",
            &*of("/try"),
            &[][..],
            json!({ "scopes": ["files:read"] }),
            200,
        ),
        ("POST", &*of("/try"), &[][..], json!({}), 422),
        ("DELETE", &*to(""), &[][..], Value::Null, 409),
    ] {
        let answer = call(method, template, headers, body).await;
        assert_eq!(answer.0, expected, "{method} {template} {answer:?}");
    }
    let answer = whole(deployment.ask_token(&tenant.agent, &[]).await).await;
    assert_eq!(answer.2["error"], "access_denied", "{answer:?}");
    check(&document, ("/token", "post"), &answer);
    let explained = explain(text(&answer.2, "decision_id")).await;
    assert_eq!(explained["steps"][2]["by"], "tenant", "{explained}");

    let evaluation = "/access/v1/evaluation";
    let asked = json!({
        "subject": { "type": "agent", "id": tenant.agent.id },
        "resource": { "type": "resource", "id": tenant.resource },
        "action": { "name": "files:read" },
    });
    let request = deployment
        .http
        .post(format!("{}{evaluation}", deployment.url));
    let request = request.bearer_auth(&admin).header("x-request-id", "mine");
    let (status, headers, answer) = whole(request.json(&asked).send().await.unwrap()).await;
    assert_eq!(
        (status, &answer["decision"]),
        (StatusCode::OK, &json!(false))
    );
    assert_eq!(headers["x-request-id"], "mine");
    let described = &document["paths"][evaluation]["post"]["responses"]["200"];
    assert!(described["headers"]["X-Request-ID"].is_object());
    let schema = &described["content"]["application/json"]["schema"];
    check_members(&document, schema, &answer, evaluation);

    for (method, template, headers, body, expected) in [
        ("POST", &*to("/retire"), &[][..], json!({}), 200),
        ("POST", &*of("/rollback"), &[][..], json!({}), 200),
        ("POST", &*to("/retire"), &[][..], json!({}), 200),
        ("DELETE", &*to(""), &stale[..], Value::Null, 412),
    ] {
        let answer = call(method, template, headers, body).await;
        assert_eq!(answer.0, expected, "{method} {template} {answer:?}");
    }
    let answer = call("DELETE", &to(""), &[], Value::Null).await;
    assert_eq!(answer.0, StatusCode::NO_CONTENT, "{answer:?}");
    let answer = call("POST", &of("/rollback"), &[], json!({})).await;
    assert_eq!(answer.0, StatusCode::CONFLICT, "{answer:?}");
    deployment.stop().await;
}
