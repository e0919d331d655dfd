//! The answers about tenants, tiers, resources, agents and credentials.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{check, document};
use crate::support::{Deployment, text};

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
    let edge = json!({ "place": "fra1" });
    let edge = deployment
        .must(&operator, "POST", "/edges", Some(edge))
        .await;
    let edge = format!("/edges/{}", text(&edge, "edge_id"));
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
        (
            &admin,
            "GET",
            &*format!("{tenants}/refusals"),
            "/tenants/{org_id}/refusals",
            Value::Null,
        ),
        (&operator, "GET", "/edges", "/edges", Value::Null),
        (
            &operator,
            "POST",
            "/edges",
            "/edges",
            json!({ "place": "ams1" }),
        ),
        (&operator, "GET", &*edge, "/edges/{edge_id}", Value::Null),
        (&operator, "DELETE", &*edge, "/edges/{edge_id}", Value::Null),
        (&operator, "GET", &*edge, "/edges/{edge_id}", Value::Null),
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
