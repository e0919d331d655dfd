//! The edge before several origins: which one a path belongs to, what a call of it
//! needs, and what the origin is told.

use agentidp_core::dev::EdgeSettings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::guarded::INNER;
use crate::support::origin::Origin;
use crate::support::wire::say;
use crate::support::{Deployment, Tenant, text};

const SECRET: &str = "a-secret-between-edge-and-origin";

/// An edge before three origins.
struct Scene {
    deployment: Deployment,
    tenant: Tenant,
    edge: String,
    rest: Origin,
    files: Origin,
    notes: Origin,
}

impl Scene {
    async fn new() -> Self {
        let mut deployment = Deployment::start().await;
        let tenant = deployment.tenant("enterprise").await;
        let [rest, files, notes] = [
            Origin::start().await,
            Origin::start().await,
            Origin::start().await,
        ];
        let routes = json!([
            { "path": "/", "scopes": { "GET": [], "POST": ["files:read"] } },
            {
                "path": "/files",
                "origin": format!("http://{}/base", files.address),
                "scopes": { "GET": ["files:read"], "*": ["files:read", "files:write"] },
                "authorization": "remove",
            },
            { "path": "/files/notes", "origin": format!("http://{}", notes.address) },
            { "path": "/other", "resource": tenant.resource },
        ]);
        let settings = EdgeSettings {
            origin_url: format!("http://{}", rest.address),
            more: vec![
                ("ROUTES", routes.to_string()),
                ("ORIGIN_SECRET", SECRET.to_owned()),
            ],
            ..deployment.edge_settings(&[&tenant], "").await
        };
        Self {
            edge: deployment.start_edge_with(&settings).await,
            deployment,
            tenant,
            rest,
            files,
            notes,
        }
    }

    async fn token(&self, scope: &str) -> String {
        let answer = self
            .deployment
            .ask_token(&self.tenant.agent, &[("scope", scope)])
            .await;
        text(&answer.json::<Value>().await.unwrap(), "access_token")
    }

    async fn call(&self, method: Method, path: &str, token: &str) -> reqwest::Response {
        let request = self
            .deployment
            .http
            .request(method, format!("{}{path}", self.edge));
        request.bearer_auth(token).send().await.unwrap()
    }

    /// What each origin got since: the rest's, the files', the notes' targets.
    fn targets(&self) -> [Vec<String>; 3] {
        [&self.rest, &self.files, &self.notes].map(|origin| {
            let seen = origin.take();
            seen.iter().map(|seen| seen.target().to_owned()).collect()
        })
    }
}

#[tokio::test]
async fn a_path_goes_to_the_origin_of_the_longest_route_that_it_is_under() {
    let scene = Scene::new().await;
    let token = scene.token("files:read files:write").await;
    let none: [&str; 0] = [];
    for (path, expected) in [
        ("/a/b?c=%2f", [vec!["/a/b?c=%2f"], vec![], vec![]]),
        ("/files", [vec![], vec!["/base/files"], vec![]]),
        ("/files/a?x", [vec![], vec!["/base/files/a?x"], vec![]]),
        ("/filesystem", [vec!["/filesystem"], vec![], vec![]]),
        ("/files/notes/1", [vec![], vec![], vec!["/files/notes/1"]]),
        ("/%66iles/%6eotes", [vec![], vec![], vec!["/files/notes"]]),
        ("/files/a%2fb", [vec![], vec!["/base/files/a%2fb"], vec![]]),
    ] {
        let answer = scene.call(Method::GET, path, &token).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(scene.targets(), expected, "{path}");
    }
    // What one reader takes for one route's and another for another's is nobody's.
    for path in [
        "//files/a",
        "/files;x/a",
        "/%2566iles",
        "/a%2f..%2ffiles",
        "/files/notes%2fa",
        "/files//notes",
        "/x%00/files",
        "/files%2fnotes",
    ] {
        let heard = say(
            &scene.edge,
            format!("GET {path} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n\r\n")
                .as_bytes(),
        )
        .await;
        assert_eq!(heard.statuses, [400], "{path}: {}", heard.text);
        assert_eq!(scene.targets(), [none, none, none], "{path}");
    }
    let pipelined = format!(
        "GET /files HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n\r\n{INNER}"
    );
    let heard = say(&scene.edge, pipelined.as_bytes()).await;
    assert_eq!(heard.statuses, [200, 401], "{}", heard.text);
    scene.deployment.stop().await;
}

#[tokio::test]
async fn scopes_are_asked_by_route_and_method_and_a_method_that_is_not_named_is_not_allowed() {
    let scene = Scene::new().await;
    let (reads, writes) = (
        scene.token("files:read").await,
        scene.token("files:read files:write").await,
    );
    for (method, path, token, expected) in [
        (Method::GET, "/a", &reads, 200),
        (Method::POST, "/a", &reads, 200),
        (Method::GET, "/files/1", &reads, 200),
        (Method::PUT, "/files/1", &reads, 403),
        (Method::DELETE, "/files", &reads, 403),
        (Method::PUT, "/files/1", &writes, 200),
        (Method::PUT, "/files/notes", &reads, 200),
        (Method::PUT, "/other/1", &reads, 200),
        (Method::PUT, "/a", &writes, 405),
    ] {
        let answer = scene.call(method.clone(), path, token).await;
        assert_eq!(answer.status().as_u16(), expected, "{method} {path}");
        match expected {
            403 => {
                let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
                assert!(
                    challenge.contains(r#"error="insufficient_scope""#),
                    "{challenge}"
                );
                assert!(
                    challenge.contains(r#"scope="files:read files:write""#),
                    "{challenge}"
                );
            }
            405 => assert_eq!(answer.headers()["allow"], "GET, POST"),
            _ => {}
        }
    }
    let [rest, files, notes] = scene.targets();
    assert_eq!((rest.len(), files.len(), notes.len()), (3, 2, 1));
    scene.deployment.stop().await;
}

#[tokio::test]
async fn the_origin_is_told_who_calls_and_through_what_and_no_caller_tells_it_that() {
    let scene = Scene::new().await;
    let token = scene.token("files:read files:write").await;
    for path in ["/a", "/files/a"] {
        let mut head =
            format!("GET {path} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n");
        for name in [
            "X-Edge-Secret",
            "x_edge_secret",
            "X.Edge-Secret",
            "X-Revocation-Age",
            "X_Revocation_Age",
            "X-Agent-Id",
            "X-AGENT_ID",
            "X-Org-Id",
            "X-Scope",
            "X~Scope",
        ] {
            head.push_str(&format!("{name}: forged\r\n"));
        }
        let heard = say(&scene.edge, format!("{head}\r\n").as_bytes()).await;
        assert_eq!(heard.statuses, [200], "{}", heard.text);
    }
    for (origin, keeps) in [(&scene.rest, true), (&scene.files, false)] {
        let seen = origin.take();
        assert_eq!(seen.len(), 1);
        let seen = &seen[0];
        assert!(!seen.head.contains("forged"), "{}", seen.head);
        assert_eq!(seen.doubts(), Vec::<String>::new());
        assert_eq!(seen.values("x-edge-secret"), [SECRET]);
        assert_eq!(seen.values("x-agent-id"), [&scene.tenant.agent.id]);
        assert_eq!(seen.values("x-org-id"), [&scene.tenant.org_id]);
        assert_eq!(seen.values("authorization").len(), usize::from(keeps));
    }
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_token_in_the_query_or_a_second_authorization_is_an_invalid_request() {
    let scene = Scene::new().await;
    let token = scene.token("files:read").await;
    for path in ["/a", "/files/a"] {
        for query in [
            "access_token=",
            "ACCESS_TOKEN=",
            "x=1&access%5ftoken=",
            "%61ccess_token=",
        ] {
            for bearer in [true, false] {
                let request = scene
                    .deployment
                    .http
                    .get(format!("{}{path}?{query}{token}", scene.edge));
                let request = if bearer {
                    request.bearer_auth(&token)
                } else {
                    request
                };
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}?{query}");
                let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
                assert!(
                    challenge.contains(r#"error="invalid_request""#),
                    "{challenge}"
                );
                assert_eq!(
                    answer.json::<Value>().await.unwrap()["code"],
                    "INVALID_REQUEST"
                );
            }
        }
        for second in ["Bearer x", "Basic eDp5", &format!("Bearer {token}")] {
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\nAuthorization: {second}\r\n\r\n"
            );
            let heard = say(&scene.edge, head.as_bytes()).await;
            assert_eq!(heard.statuses, [400], "{}", heard.text);
        }
    }
    assert!(scene.targets().iter().all(Vec::is_empty));
    scene.deployment.stop().await;
}

#[tokio::test]
async fn an_edge_whose_routes_are_not_understood_serves_nobody_and_its_log_says_why() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let token = deployment.token(&tenant.agent).await;
    for (name, value) in [
        ("ROUTES", r#"[{"path":"/","path":"/a"}]"#),
        ("ROUTES", r#"[{"path":"/","scope":{}}]"#),
        (
            "ROUTES",
            r#"[{"path":"/","resource":"https://elsewhere.example"}]"#,
        ),
        ("EDGE_LOG", "everything"),
        ("TOKEN_PASS_THROUGH", "yes"),
        ("TOKEN_REQUESTS_PER_MINUTE", "0"),
        ("CLIENT_ADDRESS_HEADER", "a b"),
    ] {
        let settings = EdgeSettings {
            more: vec![(name, value.to_owned())],
            ..deployment.edge_settings(&[&tenant], "").await
        };
        let edge = deployment.start_edge_with(&settings).await;
        for path in ["/", "/verify", "/health", "/ready"] {
            let request = deployment
                .http
                .get(format!("{edge}{path}"))
                .bearer_auth(&token);
            let status = request.send().await.unwrap().status();
            assert_eq!(
                status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{name}={value} {path}"
            );
        }
        let log = std::fs::read_to_string(deployment.folder.join("edge.log")).unwrap();
        assert!(log.contains(&format!("misconfigured: {name}")), "{log}");
    }
    deployment.stop().await;
}
