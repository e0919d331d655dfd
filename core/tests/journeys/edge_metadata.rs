//! The resource side of OAuth at the edge: a resource says where its tokens come from
//! and what they must allow, and a refusal leads there (RFC 9728, RFC 6750).

use agentidp_core::dev::EdgeSettings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Deployment, Tenant, claims, text};

/// An edge before two resources of one tenant, the second at `/mcp` of the first.
async fn start(deployment: &mut Deployment, tenant: &Tenant) -> String {
    let (org_id, resource) = (&tenant.org_id, &tenant.resource);
    let routes = json!([
        { "path": "/", "scopes": { "GET": ["files:read"], "*": ["files:read", "files:write"] } },
        { "path": "/mcp", "resource": format!("{resource}/mcp"),
          "mcp": { "methods": { "tools/call": ["tools:read"], "*": [] }, "tools": { "delete": ["tools:write"], "*": [] } } },
    ]);
    let settings = EdgeSettings {
        resources: format!("{org_id}:{resource} {org_id}:{resource}/mcp {org_id}:urn:example:x"),
        more: vec![("ROUTES", routes.to_string())],
        ..deployment.edge_settings(&[tenant], "base:read").await
    };
    deployment.start_edge_with(&settings).await
}

#[tokio::test]
async fn a_resource_describes_itself_at_the_place_that_its_identifier_names() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = start(&mut deployment, &tenant).await;
    let get = |path: &str| {
        let url = format!("{edge}/.well-known/oauth-protected-resource{path}");
        let request = deployment.http.get(url);
        async move { request.send().await.unwrap() }
    };
    let answer = get("").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({
            "resource": tenant.resource,
            "authorization_servers": [deployment.issuer()],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["base:read", "files:read", "files:write"],
        })
    );
    let mcp: Value = get("/mcp").await.json().await.unwrap();
    assert_eq!(mcp["resource"], format!("{}/mcp", tenant.resource));
    // Calls of the other route may be for this resource too.
    assert_eq!(
        mcp["scopes_supported"],
        json!([
            "base:read",
            "files:read",
            "files:write",
            "tools:read",
            "tools:write"
        ])
    );
    // What its document names is where a client gets its tokens.
    let server = text(&json!({ "url": mcp["authorization_servers"][0] }), "url");
    let metadata = format!("{server}/.well-known/oauth-authorization-server");
    let metadata: Value = deployment
        .http
        .get(metadata)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(metadata["issuer"], server);

    for unknown in ["/", "/mcp/", "/mc", "/mcp/x", "/other", "x"] {
        let answer = get(unknown).await;
        // The last is no well-known name at all, but a path like others.
        let expected = if unknown == "x" { 401 } else { 404 };
        assert_eq!(answer.status().as_u16(), expected, "{unknown}");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_script_of_another_site_may_read_the_document_and_nobody_can_change_it() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = start(&mut deployment, &tenant).await;
    let url = format!("{edge}/.well-known/oauth-protected-resource/mcp");
    let ask = |method: Method| {
        let request = deployment.http.request(method, &url);
        let request = request
            .header("Origin", "https://inspector.example")
            .header("Access-Control-Request-Headers", "mcp-protocol-version");
        async move { request.send().await.unwrap() }
    };
    let preflight = ask(Method::OPTIONS).await;
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert_eq!(preflight.headers()["access-control-allow-headers"], "*");
    assert_eq!(
        preflight.headers()["access-control-allow-methods"],
        "GET, HEAD"
    );
    let head = ask(Method::HEAD).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-type"], "application/json");
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = ask(method).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()["allow"], "GET, HEAD, OPTIONS");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn every_refusal_of_a_token_names_the_metadata_and_all_scopes_that_the_call_needs() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = start(&mut deployment, &tenant).await;
    let token = deployment.token(&tenant.agent).await;
    assert_eq!(claims(&token)["aud"], tenant.resource);
    let challenge = |method: Method, path: &'static str, token: Option<String>| {
        let mut request = deployment.http.request(method, format!("{edge}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        async move {
            let answer = request.send().await.unwrap();
            let challenge = answer.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .to_owned();
            (answer.status().as_u16(), challenge)
        }
    };
    let at = |path: &str| {
        let host = &tenant.resource;
        format!(r#"resource_metadata="{host}/.well-known/oauth-protected-resource{path}""#)
    };
    let realm = r#"Bearer realm="agentidp""#;
    let (root, mcp) = (at(""), at("/mcp"));
    assert_eq!(
        challenge(Method::GET, "/a", None).await,
        (
            401,
            format!(r#"{realm}, {root}, scope="base:read files:read""#)
        )
    );
    assert_eq!(
        challenge(Method::PUT, "/a", None).await,
        (
            401,
            format!(r#"{realm}, {root}, scope="base:read files:read files:write""#)
        )
    );
    assert_eq!(
        challenge(Method::GET, "/mcp/x", None).await,
        (401, format!(r#"{realm}, {mcp}, scope="base:read""#))
    );
    // A path that only looks like the other resource's is the first one's.
    assert_eq!(
        challenge(Method::GET, "/mcpx", None).await,
        (
            401,
            format!(r#"{realm}, {root}, scope="base:read files:read""#)
        )
    );
    assert_eq!(
        challenge(Method::GET, "/a", Some("x.y.z".to_owned())).await,
        (
            401,
            format!(
                r#"{realm}, error="invalid_token", error_description="Token is malformed.", {root}, scope="base:read files:read""#
            )
        )
    );
    // For the one resource, and not for the other.
    let (status, said) = challenge(Method::GET, "/mcp", Some(token.clone())).await;
    assert_eq!(status, 401);
    assert!(
        said.contains("another audience") && said.contains(&mcp),
        "{said}"
    );
    // One challenge, with every scope: those that it has as well.
    assert_eq!(
        challenge(Method::DELETE, "/a", Some(token)).await,
        (
            403,
            format!(
                r#"{realm}, error="insufficient_scope", error_description="Token lacks a scope that this call needs.", {root}, scope="base:read files:read files:write""#
            )
        )
    );
    deployment.stop().await;
}
