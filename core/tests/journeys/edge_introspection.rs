//! A resource server asks the edge what a token is worth (RFC 7662), with a secret that
//! is bound to the edge, and is told what holds there and now.

use std::time::Duration;

use agentidp_core::dev::EdgeSettings;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Deployment, claims, free_port, secrets, text};

const BILLING: &str = "a secret of 256 random bits: of billing";
const SEARCH: &str = "a secret of 256 random bits: of search";

fn digest(secret: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn ask(
    deployment: &Deployment,
    edge: &str,
    (name, secret): (&str, &str),
    token: &str,
) -> Response {
    let request = deployment.http.post(format!("{edge}/introspect"));
    let request = request
        .basic_auth(name, Some(secret))
        .form(&[("token", token)]);
    request.send().await.unwrap()
}

async fn told(answer: Response) -> Value {
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_resource_server_learns_what_holds_now_and_of_anything_else_nothing() {
    secrets::keep(BILLING);
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let other = deployment.tenant("free").await;
    deployment
        .set_tier("free", "requests_per_minute", Some(8))
        .await;
    let clients = json!({
        "billing": digest(BILLING),
        "search": { "secret_sha256": digest(SEARCH), "resources": [other.resource] },
    });
    let settings = EdgeSettings {
        more: vec![("INTROSPECTION_CLIENTS", clients.to_string())],
        ..deployment
            .edge_settings(&[&tenant, &other], "files:write")
            .await
    };
    let edge = deployment.start_edge_with(&settings).await;
    let token = deployment.token(&tenant.agent).await;
    let billing = ("billing", BILLING);

    let active = told(ask(&deployment, &edge, billing, &token).await).await;
    let known = claims(&token);
    assert_eq!(
        active,
        json!({
            "active": true, "token_type": "Bearer", "iss": known["iss"], "sub": known["sub"],
            "client_id": tenant.agent.id, "aud": tenant.resource, "exp": known["exp"], "iat": known["iat"],
            "jti": known["jti"], "scope": "files:read files:write", "org_id": tenant.org_id,
        })
    );
    // It costs nobody a request: far more than the minute has.
    for _ in 0..20 {
        assert_eq!(
            told(ask(&deployment, &edge, billing, &token).await).await["active"],
            true
        );
    }
    // Scopes are the resource server's to judge.
    let narrow = deployment
        .ask_token(&tenant.agent, &[("scope", "files:read")])
        .await;
    let narrow = text(&narrow.json().await.unwrap(), "access_token");
    assert_eq!(
        told(ask(&deployment, &edge, billing, &narrow).await).await["scope"],
        "files:read"
    );

    let inactive = json!({ "active": false });
    // Not for this resource server; not for this edge; no token; altered.
    let search = ("search", SEARCH);
    assert_eq!(
        told(ask(&deployment, &edge, search, &token).await).await,
        inactive
    );
    let theirs = deployment.token(&other.agent).await;
    assert_eq!(
        told(ask(&deployment, &edge, search, &theirs).await).await["active"],
        true
    );
    let administrators = deployment.token(&tenant.administrator).await;
    let altered = format!(
        "{}A{}",
        &token[..token.len() - 9],
        &token[token.len() - 8..]
    );
    for bad in [administrators.as_str(), &altered, "x", "x.y.z"] {
        assert_eq!(
            told(ask(&deployment, &edge, billing, bad).await).await,
            inactive
        );
    }
    // Revoked, within the bound.
    assert_eq!(
        deployment.revoke(&tenant.agent, &token).await,
        StatusCode::OK
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        told(ask(&deployment, &edge, billing, &token).await).await,
        inactive
    );
    assert_eq!(
        told(ask(&deployment, &edge, billing, &narrow).await).await["active"],
        true
    );
    deployment.stop().await;
}

#[tokio::test]
async fn whoever_has_no_secret_here_learns_nothing_and_what_is_no_question_is_refused() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let clients = json!({ "billing": digest(BILLING) });
    let settings = EdgeSettings {
        more: vec![("INTROSPECTION_CLIENTS", clients.to_string())],
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let edge = deployment.start_edge_with(&settings).await;
    let token = deployment.token(&tenant.agent).await;
    let agent = (tenant.agent.id.as_str(), tenant.agent.secret.as_str());
    for client in [
        agent,
        ("billing", "x"),
        ("billing", ""),
        ("search", BILLING),
    ] {
        let refused = ask(&deployment, &edge, client, &token).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(
            refused.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic ")
        );
        let body: Value = refused.json().await.unwrap();
        assert_eq!(
            (&body["error"], &body["code"]),
            (&json!("invalid_client"), &json!("UNAUTHORIZED"))
        );
    }
    // A bearer token is no credential of a resource server's.
    let url = format!("{edge}/introspect");
    let bearer = deployment
        .http
        .post(&url)
        .bearer_auth(&token)
        .form(&[("token", &token)]);
    assert_eq!(
        bearer.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );

    let with = |form: &'static str| {
        let request = deployment
            .http
            .post(&url)
            .basic_auth("billing", Some(BILLING));
        request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form)
    };
    for form in ["", "token=", "token=a&token=b", "token=%f", "hint=a"] {
        let refused = with(form).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{form}");
        assert_eq!(
            refused.json::<Value>().await.unwrap()["error"],
            "invalid_request"
        );
    }
    let large = format!("token={}", "a".repeat(16 << 10));
    let request = deployment
        .http
        .post(&url)
        .basic_auth("billing", Some(BILLING));
    let request = request
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(large);
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let json = deployment
        .http
        .post(&url)
        .basic_auth("billing", Some(BILLING));
    let json = json.json(&json!({ "token": token }));
    assert_eq!(json.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let got = deployment
        .http
        .get(format!("{url}?token={token}"))
        .basic_auth("billing", Some(BILLING));
    let got = got.send().await.unwrap();
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(got.headers()["allow"], "POST");
    deployment.stop().await;
}

#[tokio::test]
async fn an_edge_that_does_not_know_says_so_and_without_the_variable_there_is_no_introspection() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let token = deployment.token(&tenant.agent).await;
    let settings = EdgeSettings {
        core_url: format!("http://127.0.0.1:{}", free_port()),
        more: vec![(
            "INTROSPECTION_CLIENTS",
            json!({ "billing": digest(BILLING) }).to_string(),
        )],
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let edge = deployment.start_edge_with(&settings).await;
    let unknown = ask(&deployment, &edge, ("billing", BILLING), &token).await;
    assert_eq!(unknown.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(unknown.headers().contains_key("retry-after"));
    let settings = EdgeSettings {
        port: free_port(),
        more: Vec::new(),
        ..settings
    };
    let edge = deployment.start_edge_with(&settings).await;
    let nothing = ask(&deployment, &edge, ("billing", BILLING), &token).await;
    // A path as any other, whose route wants a bearer token.
    assert_eq!(nothing.status(), StatusCode::UNAUTHORIZED);
    deployment.stop().await;
}
