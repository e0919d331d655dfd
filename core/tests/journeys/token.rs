//! An agent gets a token, and what the token says.

use agentidp_verify::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Deployment, text};

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn an_agent_gets_a_token_that_says_what_rfc_9068_asks_and_whose_limits_it_carries() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let answer = deployment
        .ask_token(&tenant.agent, &[("scope", "files:read")])
        .await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["x-ratelimit-limit"], "1000");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["scope"], "files:read");

    let token = text(&body, "access_token");
    let header = part(&token, 0);
    assert_eq!(
        (&header["alg"], &header["typ"]),
        (&json!("EdDSA"), &json!("at+jwt"))
    );
    let claims = part(&token, 1);
    for (name, value) in [
        ("iss", deployment.issuer()),
        ("sub", &tenant.agent.id),
        ("client_id", &tenant.agent.id),
        ("aud", &tenant.resource),
        ("scope", "files:read"),
        ("org_id", &tenant.org_id),
        ("tier", "pro"),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
    assert_eq!(claims["agentidp"]["rpm"], 1000);
    assert_eq!(claims["agentidp"]["policy"].as_str().unwrap().len(), 64);
    assert_eq!(claims["agentidp"]["grants"].as_array().unwrap().len(), 1);
    deployment.stop().await;
}

#[tokio::test]
async fn the_key_in_the_settings_decides_the_algorithm_and_the_published_key_verifies() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        let mut deployment = Deployment::start_with(algorithm, &[]).await;
        let tenant = deployment.tenant("free").await;
        let token = deployment.token(&tenant.agent).await;
        assert_eq!(part(&token, 0)["alg"], algorithm.name());
        // The core verifies its own callers' tokens, the edge everybody else's.
        let administrator = deployment.token(&tenant.administrator).await;
        deployment
            .must(&administrator, "GET", "/agents", None)
            .await;
        let edge = deployment.start_edge(&[&tenant], "").await;
        let answer = deployment
            .http
            .get(format!("{edge}/verify"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{algorithm:?}");
        deployment.stop().await;
    }
}

#[tokio::test]
async fn the_resource_and_the_scopes_decide_whom_a_token_is_for() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let mail = format!("{}/mail", tenant.resource);
    deployment
        .must(
            &admin,
            "POST",
            "/resources",
            Some(json!({ "identifier": mail, "scopes": ["mail:read"] })),
        )
        .await;
    let agent = deployment
        .agent(&admin, "both", &["files:read", "mail:read", "agents:read"])
        .await;

    for (parameters, audience, scope) in [
        (vec![], tenant.resource.as_str(), "files:read"),
        (
            vec![("resource", mail.as_str())],
            mail.as_str(),
            "mail:read",
        ),
        (
            vec![("scope", "agents:read")],
            deployment.issuer(),
            "agents:read",
        ),
        (
            vec![("resource", deployment.issuer())],
            deployment.issuer(),
            "agents:read",
        ),
        (
            vec![("resource", mail.as_str()), ("resource", mail.as_str())],
            mail.as_str(),
            "mail:read",
        ),
    ] {
        let body: Value = deployment
            .ask_token(&agent, &parameters)
            .await
            .json()
            .await
            .unwrap();
        let claims = part(&text(&body, "access_token"), 1);
        assert_eq!(
            (&claims["aud"], &claims["scope"]),
            (&json!(audience), &json!(scope)),
            "{parameters:?}"
        );
    }
    for (parameters, error) in [
        (vec![("scope", "files:read agents:read")], "invalid_scope"),
        (vec![("scope", "files:write")], "invalid_scope"),
        (vec![("scope", "mail:read")], "invalid_scope"),
        (vec![("scope", "files:read  files:read")], "invalid_scope"),
        (
            vec![("resource", "https://nobody.example")],
            "invalid_target",
        ),
        (
            vec![
                ("resource", mail.as_str()),
                ("resource", tenant.resource.as_str()),
            ],
            "invalid_target",
        ),
    ] {
        let answer = deployment.ask_token(&agent, &parameters).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"], error, "{parameters:?}");
        assert_eq!(body["message"], body["error_description"]);
    }
    deployment.stop().await;
}

/// A token request with this `Authorization` and body: status, error, challenge.
async fn ask(
    deployment: &Deployment,
    authorization: Option<String>,
    content_type: &str,
    body: &str,
) -> (u16, String, bool) {
    let mut request = deployment
        .http
        .post(format!("{}/api/v1/token", deployment.url))
        .header("content-type", content_type)
        .body(body.to_owned());
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let answer = request.send().await.unwrap();
    let challenged = answer
        .headers()
        .get("www-authenticate")
        .is_some_and(|c| c.to_str().unwrap().starts_with("Basic "));
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert!(
        body["code"].is_string() && body["message"].is_string(),
        "{body}"
    );
    (status, text(&body, "error"), challenged)
}

#[tokio::test]
async fn a_bad_token_request_gets_the_error_that_rfc_6749_names() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let deployment = Deployment::start().await;
    let Client { id, secret } = deployment.tenant("free").await.agent;
    let basic = |id: &str, secret: &str| {
        Some(format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
        ))
    };
    let good = || basic(&id, &secret);
    let mut wrong = secret.clone();
    wrong.replace_range(20..21, if &wrong[20..21] == "a" { "b" } else { "a" });
    let another = agentidp_core::credentials::Secret::generate(
        agentidp_core::credentials::SecretKind::Client,
        &mut rand::rng(),
    );
    let nobody = "01a209e1-0221-757e-bba8-30b9b72bbe32";
    let grant = "grant_type=client_credentials";

    let in_form = format!("{grant}&client_id={id}&client_secret={secret}");
    assert_eq!(
        deployment
            .http
            .post(format!("{}/api/v1/token", deployment.url))
            .header("content-type", FORM)
            .body(in_form.clone())
            .send()
            .await
            .unwrap()
            .status(),
        200
    );

    for (authorization, content_type, body, expected) in [
        (good(), FORM, "", (400, "invalid_request", false)),
        (good(), FORM, "grant_type=", (400, "invalid_request", false)),
        (
            good(),
            FORM,
            "grant_type=password",
            (400, "unsupported_grant_type", false),
        ),
        (
            good(),
            FORM,
            "grant_type=client_credentials&grant_type=client_credentials",
            (400, "invalid_request", false),
        ),
        (
            good(),
            FORM,
            "grant_type=client_credentials&scope=%",
            (400, "invalid_request", false),
        ),
        (
            good(),
            FORM,
            "grant_type=client_credentials&scope=%ff",
            (400, "invalid_request", false),
        ),
        (good(), FORM, &in_form, (400, "invalid_request", false)),
        (
            good(),
            FORM,
            &format!("{grant}&client_id={nobody}"),
            (400, "invalid_request", false),
        ),
        (
            good(),
            "application/json",
            "{}",
            (400, "invalid_request", false),
        ),
        (
            good(),
            FORM,
            &format!("{grant}&x={}", "a".repeat(70_000)),
            (413, "invalid_request", false),
        ),
        (None, FORM, grant, (401, "invalid_client", false)),
        (
            None,
            FORM,
            &format!("{grant}&client_id={id}"),
            (401, "invalid_client", false),
        ),
        (
            None,
            FORM,
            &format!("{grant}&client_id={id}&client_secret={wrong}"),
            (401, "invalid_client", false),
        ),
        (
            basic(&id, &wrong),
            FORM,
            grant,
            (401, "invalid_client", true),
        ),
        (
            basic(&id, another.reveal()),
            FORM,
            grant,
            (401, "invalid_client", true),
        ),
        (
            basic(nobody, &secret),
            FORM,
            grant,
            (401, "invalid_client", true),
        ),
        (
            basic("not-an-id", &secret),
            FORM,
            grant,
            (401, "invalid_client", true),
        ),
        (
            basic(&id.to_uppercase(), &secret),
            FORM,
            grant,
            (401, "invalid_client", true),
        ),
        (
            Some("Bearer abc".to_owned()),
            FORM,
            grant,
            (401, "invalid_client", true),
        ),
        (
            Some("Basic ???".to_owned()),
            FORM,
            grant,
            (401, "invalid_client", true),
        ),
    ] {
        let (status, error, challenged) = ask(&deployment, authorization, content_type, body).await;
        assert_eq!(
            (status, error.as_str(), challenged),
            expected,
            "{}",
            &body[..body.len().min(80)]
        );
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_client_sees_its_own_tokens_and_its_tenants_with_the_scope_for_it() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let other = deployment.tenant("free").await;
    let token = deployment.token(&tenant.agent).await;

    let own = deployment.introspect(&tenant.agent, &token).await;
    assert_eq!(
        (&own["active"], &own["client_id"], &own["token_type"]),
        (&json!(true), &json!(tenant.agent.id), &json!("Bearer"))
    );
    assert_eq!(
        deployment.introspect(&tenant.administrator, &token).await["active"],
        true
    );

    let admin = deployment.token(&tenant.administrator).await;
    let colleague = deployment.agent(&admin, "colleague", &["files:read"]).await;
    let nothing = json!({ "active": false });
    for stranger in [
        &colleague,
        &other.agent,
        &other.administrator,
        &deployment.operator,
    ] {
        assert_eq!(deployment.introspect(stranger, &token).await, nothing);
    }
    for unknown in ["x", "a.b.c", &token[..token.len() - 4]] {
        assert_eq!(deployment.introspect(&tenant.agent, unknown).await, nothing);
    }
    deployment.stop().await;
}

#[tokio::test]
async fn the_metadata_says_what_is_there_at_every_place_where_a_client_looks() {
    let port = crate::support::free_port();
    let issuer = format!("http://127.0.0.1:{port}/idp");
    let deployment = Deployment::start_with(
        Algorithm::EdDSA,
        &[("PORT", &port.to_string()), ("ISSUER_URL", &issuer)],
    )
    .await;
    let origin = format!("http://127.0.0.1:{port}");
    let mut documents = Vec::new();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/idp",
        "/.well-known/openid-configuration/idp",
        "/idp/.well-known/openid-configuration",
    ] {
        let answer = deployment
            .http
            .get(format!("{origin}{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        documents.push(answer.json::<Value>().await.unwrap());
    }
    assert!(documents.windows(2).all(|pair| pair[0] == pair[1]));
    let document = &documents[0];
    assert_eq!(document["issuer"], issuer);
    assert!(document.get("authorization_endpoint").is_none());
    for endpoint in [
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        let answer = deployment
            .http
            .post(text(document, endpoint))
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::BAD_REQUEST,
            "{endpoint} is there"
        );
    }
    let keys: Value = deployment
        .http
        .get(text(document, "jwks_uri"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(keys["keys"][0]["kty"], "OKP");
    assert!(keys["keys"][0].get("d").is_none());
    deployment.stop().await;
}
