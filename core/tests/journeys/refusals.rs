//! One table of what an attacker sends, held by core and edge row by row: the
//! same status, the same words, the same challenge.

mod table;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::forge::Forge;
use crate::support::{Client, Deployment, Tenant};

/// Where tokens for one audience are tried.
struct Verifier {
    name: &'static str,
    url: String,
    good: Forge,
    /// What its challenges end with.
    hint: String,
}

async fn verifiers(deployment: &mut Deployment, tenant: &Tenant, caller: &Client) -> [Verifier; 2] {
    let edge = deployment.start_edge(&[tenant], "").await;
    let issuer = deployment.issuer().to_owned();
    [
        Verifier {
            name: "core",
            url: format!("{}/api/v1/agents", deployment.url),
            good: Forge::good(deployment, tenant, &caller.id, &issuer, "agents:read"),
            hint: String::new(),
        },
        Verifier {
            name: "edge",
            url: format!("{edge}/verify"),
            good: Forge::good(
                deployment,
                tenant,
                &caller.id,
                &tenant.resource,
                "files:read",
            ),
            hint: format!(
                r#", resource_metadata="{}/.well-known/oauth-protected-resource""#,
                tenant.resource
            ),
        },
    ]
}

#[tokio::test]
async fn core_and_edge_refuse_the_same_tokens_with_the_same_words() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let administrator = tenant.administrator.clone();
    let verifiers = verifiers(&mut deployment, &tenant, &administrator).await;
    let table = table::rows(&deployment.public_key);
    assert!(table.len() > 40);
    for verifier in &verifiers {
        let good = deployment
            .http
            .get(&verifier.url)
            .bearer_auth(verifier.good.sign())
            .send()
            .await
            .unwrap();
        assert_eq!(
            good.status(),
            StatusCode::OK,
            "{}: the good token",
            verifier.name
        );
        for (case, make, message) in &table {
            let token = make(&verifier.good);
            let answer = deployment
                .http
                .get(&verifier.url)
                .header("authorization", format!("Bearer {token}"))
                .send()
                .await
                .unwrap();
            let place = format!("{}: {case}", verifier.name);
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{place}");
            let challenge = answer.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .to_owned();
            let expected = format!(
                r#"Bearer realm="agentidp", error="invalid_token", error_description="{message}"{}"#,
                verifier.hint
            );
            assert_eq!(challenge, expected, "{place}");
            assert_eq!(answer.headers()["cache-control"], "no-store", "{place}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(
                body,
                json!({ "code": "UNAUTHORIZED", "message": message }),
                "{place}"
            );
        }
    }
    deployment.stop().await;
}

#[tokio::test]
async fn core_and_edge_refuse_the_same_headers_with_the_same_words() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let administrator = tenant.administrator.clone();
    for verifier in verifiers(&mut deployment, &tenant, &administrator).await {
        let token = verifier.good.sign();
        for (case, value) in [
            ("no header", None),
            ("an empty header", Some(String::new())),
            ("another scheme", Some("Basic YTpi".to_owned())),
            ("the token alone", Some(token.clone())),
            ("no token", Some("Bearer".to_owned())),
        ] {
            let mut request = deployment.http.get(&verifier.url);
            if let Some(value) = value {
                request = request.header("authorization", value);
            }
            let answer = request.send().await.unwrap();
            let place = format!("{}: {case}", verifier.name);
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{place}");
            assert_eq!(
                answer.headers()["www-authenticate"],
                format!(r#"Bearer realm="agentidp"{}"#, verifier.hint),
                "{place}"
            );
        }
        // In the query nobody takes it; the edge, which has a say before others'
        // origins, says so (RFC 6750 §3.1).
        let answer = deployment
            .http
            .get(format!("{}?access_token={token}", verifier.url))
            .send()
            .await
            .unwrap();
        let strict = if verifier.name == "edge" { 400 } else { 401 };
        assert_eq!(
            answer.status().as_u16(),
            strict,
            "{}: in the query",
            verifier.name
        );
        // Bytes that are no text, and two headers where one may be.
        let bytes = reqwest::header::HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap();
        let answer = deployment
            .http
            .get(&verifier.url)
            .header("authorization", bytes)
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::UNAUTHORIZED,
            "{}: bytes",
            verifier.name
        );
        let good = format!("Bearer {token}");
        let answer = deployment
            .http
            .get(&verifier.url)
            .header("authorization", &good)
            .header("authorization", &good)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), strict, "{}: two", verifier.name);
        // A megabyte is not even read.
        let huge = deployment
            .http
            .get(&verifier.url)
            .bearer_auth("a".repeat(1 << 20))
            .send()
            .await;
        if let Ok(answer) = huge {
            assert_eq!(
                answer.status().as_u16(),
                431,
                "{}: a megabyte",
                verifier.name
            );
        }
        // And the next request is served.
        let answer = deployment
            .http
            .get(&verifier.url)
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", verifier.name);
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_good_token_for_one_side_is_no_good_for_the_other() {
    let mut deployment = Deployment::start().await;
    let (tenant, other) = (
        deployment.tenant("enterprise").await,
        deployment.tenant("enterprise").await,
    );
    let edge = deployment.start_edge(&[&tenant], "").await;
    let url = format!("{edge}/verify");
    let for_core = deployment.token(&tenant.administrator).await;
    let for_edge = deployment.token(&tenant.agent).await;
    let refused = StatusCode::UNAUTHORIZED;
    assert_eq!(
        crate::support::status_at(&deployment, &url, &for_core).await,
        refused
    );
    assert_eq!(
        deployment.call(&for_edge, "GET", "/agents", None).await.0,
        refused
    );
    assert_eq!(
        crate::support::status_at(&deployment, &url, &deployment.token(&other.agent).await).await,
        refused
    );
    // The identifier of this edge's resource, in another tenant's hands.
    let stolen = Forge::good(
        &deployment,
        &other,
        &other.agent.id,
        &tenant.resource,
        "files:read",
    )
    .sign();
    assert_eq!(
        crate::support::status_at(&deployment, &url, &stolen).await,
        refused
    );
    deployment.stop().await;
}
