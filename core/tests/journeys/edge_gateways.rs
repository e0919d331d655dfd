//! A gateway that asks the edge about every request: nginx and Caddy, as they run from
//! `examples/`, and what Traefik and Envoy send by theirs.

use agentidp_core::dev::{EdgeSettings, start_echo};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::compose::yaml;
use crate::support::gateways::{Behind, Gateway};
use crate::support::{Deployment, Tenant, raw, secrets, text};

const SECRET: &str = "the-secret-of-the-gateway-00000000000000000000000000";
const IDENTITY: [&str; 3] = ["X-Agent-Id", "X-Org-Id", "X-Scope"];

fn routes() -> Value {
    json!([
        { "path": "/", "scopes": { "GET": ["files:read"], "HEAD": ["files:read"], "POST": ["files:read", "files:write"] } },
        { "path": "/admin", "scopes": { "*": ["files:admin"] } },
        { "path": "/mcp", "scopes": { "*": ["files:read"] }, "mcp": { "methods": { "ping": [], "tools/call": [] }, "tools": { "delete": ["files:write"] } } },
    ])
}

/// An edge that answers gateways alone.
async fn start_edge(deployment: &mut Deployment, tenant: &Tenant) -> String {
    secrets::keep(SECRET);
    let settings = EdgeSettings {
        origin_url: String::new(),
        more: vec![
            ("ROUTES", routes().to_string()),
            ("GATEWAY_SECRET", SECRET.to_owned()),
        ],
        ..deployment.edge_settings(&[tenant], "").await
    };
    deployment.start_edge_with(&settings).await
}

async fn narrow_token(deployment: &Deployment, tenant: &Tenant) -> String {
    let narrow = deployment
        .ask_token(&tenant.agent, &[("scope", "files:read")])
        .await;
    text(&narrow.json().await.unwrap(), "access_token")
}

fn challenge(answer: &Response) -> String {
    let challenges: Vec<_> = answer
        .headers()
        .get_all("www-authenticate")
        .iter()
        .collect();
    assert_eq!(challenges.len(), 1, "{challenges:?}");
    challenges[0].to_str().unwrap().to_owned()
}

/// What holds of every gateway that asks as it should.
async fn keeps_the_gate(deployment: &Deployment, tenant: &Tenant, gateway: &str) {
    let http = &deployment.http;
    let token = deployment.token(&tenant.agent).await;
    let metadata = format!(
        "resource_metadata=\"{}/.well-known/oauth-protected-resource\"",
        tenant.resource
    );

    // A good token, with all that somebody may try to be.
    let answer = http
        .post(format!("{gateway}/some/path?x=1&y=%2f"))
        .bearer_auth(&token)
        .header("X-Agent-Id", "forged")
        .header("X_Agent_Id", "forged")
        .header("X-Agent_Id", "forged")
        .header("x-ORG-id", "forged")
        .header("X-Scope", "forged")
        .header("X_Scope", "forged")
        .header("X-Gateway-Secret", "forged")
        .header("X-Other", "kept")
        .body("the body")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let echo: Value = answer.json().await.unwrap();
    assert_eq!(
        (
            &echo["method"],
            &echo["path"],
            &echo["query"],
            &echo["body"]
        ),
        (
            &json!("POST"),
            &json!("/some/path"),
            &json!("x=1&y=%2f"),
            &json!("the body")
        )
    );
    let headers = &echo["headers"];
    assert_eq!(headers["x-agent-id"], tenant.agent.id);
    assert_eq!(headers["x-org-id"], tenant.org_id);
    assert_eq!(headers["x-scope"], "files:read files:write");
    assert_eq!(headers["x-other"], "kept");
    assert!(
        !headers.to_string().contains("forged") && !headers.to_string().contains(SECRET),
        "{headers}"
    );

    // No token, and one that is none: the challenge comes through.
    let missing = http.get(format!("{gateway}/a")).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        challenge(&missing),
        format!(r#"Bearer realm="agentidp", {metadata}, scope="files:read""#)
    );
    let bad = http
        .get(format!("{gateway}/a"))
        .bearer_auth("x.y.z")
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&bad).contains(r#"error="invalid_token""#));

    // A scope is missing, whatever the client says that it asks for.
    let narrow = narrow_token(deployment, tenant).await;
    let post = || http.post(format!("{gateway}/a")).bearer_auth(&narrow);
    let lies = [
        ("X-Original-Method", "X-Original-Uri"),
        ("X-Forwarded-Method", "X-Forwarded-Uri"),
    ];
    for (method, uri) in lies {
        for request in [
            post(),
            post().header(method, "GET"),
            post().header(method, "GET").header(uri, "/a"),
        ] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            assert!(
                challenge(&answer)
                    .ends_with(&format!(r#"{metadata}, scope="files:read files:write""#))
            );
        }
    }
    let fine = http
        .get(format!("{gateway}/a"))
        .bearer_auth(&narrow)
        .send()
        .await
        .unwrap();
    assert_eq!(fine.status(), StatusCode::OK);

    // Spellings of a guarded path, and one that leads elsewhere.
    let host = gateway.trim_start_matches("http://");
    let head =
        format!("Host: {host}\r\nAuthorization: Bearer {narrow}\r\nConnection: close\r\n\r\n");
    for (path, expected) in [
        ("/admin", 403),
        ("/%61dmin/x", 403),
        ("//admin", 400),
        ("/a/%2e%2e/admin", 400),
        ("/a/..%2fadmin", 400),
        ("/nothing%00", 400),
    ] {
        let (status, body) = raw(gateway, &format!("GET {path} HTTP/1.1\r\n{head}")).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
    let two = format!(
        "Host: {host}\r\nAuthorization: Bearer {narrow}\r\nAuthorization: Bearer {narrow}\r\nConnection: close\r\n\r\n"
    );
    let (status, body) = raw(gateway, &format!("GET /a HTTP/1.1\r\n{two}")).await;
    assert!([400, 401].contains(&status), "{status} {body}");
    let other = http
        .delete(format!("{gateway}/a"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), StatusCode::METHOD_NOT_ALLOWED);

    // What the API says of itself is for everybody.
    let document = http.get(format!("{gateway}/.well-known/oauth-protected-resource"));
    let document: Value = document.send().await.unwrap().json().await.unwrap();
    assert_eq!(document["resource"], tenant.resource);

    // The minute is spent in the end.
    let mut statuses = Vec::new();
    let refused = loop {
        let answer = http
            .get(format!("{gateway}/a"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        statuses.push(answer.status());
        if answer.status() != StatusCode::OK {
            break answer;
        }
        assert!(statuses.len() < 200);
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    let seconds: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&seconds));
    let said: Value = refused.json().await.unwrap();
    assert_eq!(said["code"], "RATE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn nginx_asks_the_edge_about_every_request() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let edge = start_edge(&mut deployment, &tenant).await;
    let origin = start_echo().await.unwrap().to_string();
    let behind = Behind {
        edge: edge.trim_start_matches("http://"),
        origin: &origin,
        secret: SECRET,
    };
    let gateway = Gateway::nginx(&deployment.folder, &behind).await;
    keeps_the_gate(&deployment, &tenant, &gateway.url).await;
    // Nobody reaches the place where it asks.
    let asked = deployment
        .http
        .get(format!("{}/_edge", gateway.url))
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), StatusCode::NOT_FOUND);
    gateway.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn caddy_asks_the_edge_about_every_request() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let edge = start_edge(&mut deployment, &tenant).await;
    let origin = start_echo().await.unwrap().to_string();
    let behind = Behind {
        edge: edge.trim_start_matches("http://"),
        origin: &origin,
        secret: SECRET,
    };
    let gateway = Gateway::caddy(&deployment.folder, &behind).await;
    keeps_the_gate(&deployment, &tenant, &gateway.url).await;
    gateway.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_gateway_without_its_edge_lets_nobody_through() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let token = deployment.token(&tenant.agent).await;
    let origin = start_echo().await.unwrap().to_string();
    let behind = Behind {
        edge: "127.0.0.1:9",
        origin: &origin,
        secret: SECRET,
    };
    let gateways = [
        Gateway::nginx(&deployment.folder, &behind).await,
        Gateway::caddy(&deployment.folder, &behind).await,
    ];
    for gateway in gateways {
        let answer = deployment
            .http
            .get(format!("{}/a", gateway.url))
            .bearer_auth(&token);
        let answer = answer.send().await.unwrap();
        assert!(answer.status().is_server_error(), "{}", answer.status());
        gateway.stop().await;
    }
    deployment.stop().await;
}

/// A question, as a gateway puts it.
async fn ask(
    deployment: &Deployment,
    edge: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Response {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = deployment.http.request(method, format!("{edge}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).send().await.unwrap()
}

#[tokio::test]
async fn the_edge_answers_what_traefik_and_envoy_ask_by_the_route_of_the_original_request() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = start_edge(&mut deployment, &tenant).await;
    let bearer = format!("Bearer {}", narrow_token(&deployment, &tenant).await);
    let (secret, token) = (
        ("X-Gateway-Secret", SECRET),
        ("Authorization", bearer.as_str()),
    );
    for (method, uri, expected) in [
        ("GET", "/a?b=c", 200),
        ("GET", "/", 200),
        ("HEAD", "/a/b", 200),
        ("POST", "/a", 403),
        ("DELETE", "/a", 405),
        ("GET", "/admin", 403),
        ("GET", "/%61dmin", 403),
        ("GET", "//admin", 400),
        ("GET", "/a?access_token=x", 400),
        ("GET", "/mcp", 200),
    ] {
        // forward.go of Traefik 3: GET to the address, with what authRequestHeaders names.
        let traefik = [
            token,
            secret,
            ("X-Forwarded-For", "192.0.2.7"),
            ("X-Forwarded-Host", "api.example.com"),
            ("X-Forwarded-Method", method),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Uri", uri),
        ];
        let answer = ask(&deployment, &edge, "GET", "/verify", &traefik, "").await;
        assert_eq!(
            answer.status().as_u16(),
            expected,
            "Traefik: {method} {uri}"
        );
        if expected == 200 {
            assert_eq!(answer.headers()["x-agent-id"], tenant.agent.id.as_str());
        }
        // Envoy: the original's method and path, and headers_to_add.
        let envoy = [token, secret, ("Content-Length", "0")];
        let answer = ask(
            &deployment,
            &edge,
            method,
            &format!("/verify{uri}"),
            &envoy,
            "",
        )
        .await;
        assert_eq!(answer.status().as_u16(), expected, "Envoy: {method} {uri}");
    }
    // Envoy sends bodies along: messages of MCP are judged. Without one they cannot be.
    let json = ("Content-Type", "application/json");
    for (body, expected) in [
        (r#"{"method":"ping"}"#, 200),
        (r#"{"method":"tools/call","params":{"name":"delete"}}"#, 403),
        (r#"{"method":"tools/list"}"#, 403),
        (r#"{"method":"ping","method":"tools/call"}"#, 400),
        ("", 400),
    ] {
        let answer = ask(
            &deployment,
            &edge,
            "POST",
            "/verify/mcp",
            &[token, secret, json],
            body,
        )
        .await;
        assert_eq!(answer.status().as_u16(), expected, "{body}");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_question_that_is_not_the_gateways_or_is_not_clear_is_refused() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = start_edge(&mut deployment, &tenant).await;
    let bearer = format!("Bearer {}", deployment.token(&tenant.agent).await);
    let (secret, token) = (
        ("X-Gateway-Secret", SECRET),
        ("Authorization", bearer.as_str()),
    );
    let original = [("X-Original-Method", "GET"), ("X-Original-Uri", "/a")];
    let forwarded = [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/a")];
    let with = |more: &[(&'static str, &'static str)]| [&[token, secret][..], more].concat();
    let fine = ask(&deployment, &edge, "GET", "/verify", &with(&original), "").await;
    assert_eq!(fine.status(), StatusCode::OK);
    for (path, more) in [
        ("/verify", vec![]),
        ("/verify", original[..1].to_vec()),
        ("/verify", forwarded[1..].to_vec()),
        ("/verify", [original, forwarded].concat()),
        ("/verify/a", original.to_vec()),
        ("/verify/a", forwarded.to_vec()),
        ("/verify", [original, original].concat()),
        (
            "/verify",
            vec![original[0], ("X-Original-Uri", "https://a.example/a")],
        ),
        (
            "/verify",
            vec![original[0], ("X-Original-Uri", "/a/../admin")],
        ),
        ("/verify/%2e%2e/health", vec![]),
    ] {
        let answer = ask(&deployment, &edge, "GET", path, &with(&more), "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path} {more:?}");
    }
    // Not the gateway.
    for secret in [None, Some(("X-Gateway-Secret", "another"))] {
        let headers: Vec<_> = [token].into_iter().chain(secret).chain(original).collect();
        let answer = ask(&deployment, &edge, "GET", "/verify", &headers, "").await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
    // A question that lost its way (`/verify/../health`, as Envoy would send it without
    // normalize_path) is not answered as another request.
    for path in ["/health", "/.well-known/oauth-protected-resource", "/a"] {
        let answer = ask(&deployment, &edge, "GET", path, &with(&[]), "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn the_examples_for_traefik_and_envoy_say_what_their_documentation_asks_for() {
    let traefik = yaml("examples/traefik/dynamic.yml").await;
    let http = &traefik["http"];
    let asks = &http["middlewares"]["edge"]["forwardAuth"];
    assert_eq!(
        *asks,
        json!({
            "address": r#"{{ env "EDGE_URL" }}/verify"#,
            "trustForwardHeader": false,
            "authRequestHeaders": ["Authorization", "X-Gateway-Secret"],
            "authResponseHeaders": IDENTITY,
            "maxResponseBodySize": 65536,
        })
    );
    assert_eq!(
        http["routers"]["api"]["middlewares"],
        json!(["claims", "edge", "hide"])
    );
    for name in ["claims", "hide"] {
        let set = &http["middlewares"][name]["headers"]["customRequestHeaders"];
        assert!(set["X-Gateway-Secret"].is_string(), "{name}");
    }
    for router in http["routers"].as_object().unwrap().values() {
        let service = router["service"].as_str().unwrap();
        assert!(http["services"][service]["loadBalancer"]["servers"][0]["url"].is_string());
    }

    let envoy = yaml("examples/envoy/envoy.yaml").await;
    let listener = &envoy["static_resources"]["listeners"][0];
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(manager["normalize_path"], true);
    assert_eq!(manager["merge_slashes"], true);
    assert_eq!(
        manager["path_with_escaped_slashes_action"],
        "REJECT_REQUEST"
    );
    let underscores = &manager["common_http_protocol_options"]["headers_with_underscores_action"];
    assert_eq!(underscores, "REJECT_REQUEST");
    let filters = manager["http_filters"].as_array().unwrap();
    let names: Vec<_> = filters
        .iter()
        .map(|filter| filter["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["envoy.filters.http.ext_authz", "envoy.filters.http.router"]
    );
    let asks = &filters[0]["typed_config"];
    assert_eq!(asks["failure_mode_allow"], false);
    assert_eq!(asks["with_request_body"]["allow_partial_message"], false);
    let service = &asks["http_service"];
    assert_eq!(service["path_prefix"], "/verify");
    let exact = |list: &Value| -> Vec<String> {
        let patterns = list["patterns"].as_array().unwrap().iter();
        patterns
            .filter_map(|pattern| pattern["exact"].as_str().map(str::to_owned))
            .collect()
    };
    let response = &service["authorization_response"];
    assert_eq!(
        exact(&response["allowed_upstream_headers"]),
        IDENTITY.map(str::to_ascii_lowercase)
    );
    let client = exact(&response["allowed_client_headers"]);
    assert!(
        ["www-authenticate", "retry-after"]
            .iter()
            .all(|name| client.contains(&(*name).to_owned()))
    );
    let clusters = envoy["static_resources"]["clusters"]
        .as_array()
        .unwrap()
        .iter();
    let clusters: Vec<_> = clusters
        .map(|cluster| cluster["name"].as_str().unwrap())
        .collect();
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]
        .as_array()
        .unwrap()
    {
        assert!(clusters.contains(&route["route"]["cluster"].as_str().unwrap()));
    }
    assert!(clusters.contains(&service["server_uri"]["cluster"].as_str().unwrap()));
}
