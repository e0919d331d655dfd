//! The edge before an MCP server: messages are judged by their method and tool, reach the
//! server byte for byte, and go nowhere where two readers could differ about them.

use agentidp_core::dev::EdgeSettings;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::origin::Origin;
use crate::support::{Deployment, Tenant, raw, text};

/// A deployment with an edge before an MCP server at `/mcp`.
struct Server {
    deployment: Deployment,
    tenant: Tenant,
    origin: Origin,
    url: String,
    /// May read, and no more.
    token: String,
}

impl Server {
    async fn start(mcp: Value) -> Self {
        let mut deployment = Deployment::start().await;
        let tenant = deployment.tenant("enterprise").await;
        let origin = Origin::start().await;
        let routes = json!([{ "path": "/mcp", "scopes": { "*": ["files:read"] }, "mcp": mcp }]);
        let settings = EdgeSettings {
            origin_url: format!("http://{}", origin.address),
            more: vec![("ROUTES", routes.to_string())],
            ..deployment.edge_settings(&[&tenant], "").await
        };
        let edge = deployment.start_edge_with(&settings).await;
        let narrow = deployment
            .ask_token(&tenant.agent, &[("scope", "files:read")])
            .await;
        Self {
            token: text(&narrow.json().await.unwrap(), "access_token"),
            url: format!("{edge}/mcp"),
            deployment,
            tenant,
            origin,
        }
    }

    fn request(&self, method: Method) -> RequestBuilder {
        let request = self.deployment.http.request(method, &self.url);
        request.bearer_auth(&self.token)
    }

    fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.request(Method::POST);
        request
            .header("Content-Type", "application/json")
            .body(body)
    }

    /// The same in chunks.
    async fn in_pieces(&self, pieces: &[&str]) -> (u16, String) {
        let (edge, token) = (self.url.trim_end_matches("/mcp"), &self.token);
        let mut request = format!(
            "POST /mcp HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        for piece in pieces {
            request.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
        }
        request.push_str("0\r\n\r\n");
        raw(edge, &request).await
    }

    /// The status and the words of a refusal, of which the origin hears nothing.
    async fn refused(&self, request: RequestBuilder) -> (u16, String) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        assert!(self.origin.take().is_empty(), "{status} {body}");
        (status, text(&body, "message"))
    }
}

fn rules() -> Value {
    json!({
        "methods": { "tools/call": ["files:read"], "tools/list": [], "ping": [] },
        "tools": { "read": [], "delete": ["files:write"], "purge": ["files:write", "files:purge"] },
    })
}

fn call(tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}

#[tokio::test]
async fn messages_that_the_scopes_allow_reach_the_server_byte_for_byte() {
    let server = Server::start(rules()).await;
    let bodies = [
        call("read"),
        " \r\n{\"method\" :\t\"p\\u0069ng\",\"params\":{\"x\":1.50e0,\"\u{e4}\":[]}}\n".to_owned(),
        format!("[{},{{\"method\":\"ping\"}}]", call("read")),
        // What the server asked is answered.
        r#"{"jsonrpc":"2.0","id":"s1","result":{"method":"tools/call"}}"#.to_owned(),
        format!(
            r#"{{"method":"ping","params":{{"a":"{}"}}}}"#,
            "b".repeat((1 << 20) - 40)
        ),
    ];
    for body in bodies {
        let answer = server
            .post(body.clone())
            .header("Mcp-Session-Id", "7")
            .header("MCP-Protocol-Version", "2025-11-25")
            .header("Accept", "application/json, text/event-stream")
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::OK,
            "{}",
            answer.text().await.unwrap()
        );
        let seen = server.origin.take();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].whole && seen[0].body == body.as_bytes());
        assert_eq!(seen[0].values("mcp-session-id"), ["7"]);
        assert_eq!(seen[0].values("mcp-protocol-version"), ["2025-11-25"]);
        assert_eq!(
            seen[0].values("x-agent-id"),
            [server.tenant.agent.id.as_str()]
        );
        assert_eq!(seen[0].doubts(), Vec::<String>::new());
    }
    // In pieces, whose borders are nobody's business.
    let (status, _) = server.in_pieces(&["{\"meth", "od\":\"pi", "ng\"}"]).await;
    assert_eq!(status, 200);
    let seen = server.origin.take();
    assert_eq!(seen[0].body, br#"{"method":"ping"}"#);
    assert_eq!(seen[0].doubts(), Vec::<String>::new());
    // The server's stream, and the end of the session.
    for method in [Method::GET, Method::DELETE] {
        let answer = server.request(method.clone()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(server.origin.take()[0].head.starts_with(method.as_str()));
    }
    server.deployment.stop().await;
}

#[tokio::test]
async fn one_challenge_names_every_scope_that_the_messages_need_together() {
    let server = Server::start(rules()).await;
    let batch = format!("[{},{},{}]", call("read"), call("delete"), call("purge"));
    for (body, scopes) in [
        (call("delete"), "files:read files:write"),
        (batch, "files:read files:purge files:write"),
    ] {
        let answer = server.post(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let challenges: Vec<_> = answer
            .headers()
            .get_all("www-authenticate")
            .iter()
            .collect();
        assert_eq!(challenges.len(), 1);
        let said = challenges[0].to_str().unwrap();
        assert!(said.contains(r#"error="insufficient_scope""#), "{said}");
        assert!(said.ends_with(&format!(r#"scope="{scopes}""#)), "{said}");
        assert!(said.contains("resource_metadata=\""), "{said}");
    }
    assert!(server.origin.take().is_empty());
    // With the scope it goes on.
    let wide = server.deployment.token(&server.tenant.agent).await;
    let answer = server.deployment.http.post(&server.url).bearer_auth(wide);
    let answer = answer
        .header("Content-Type", "application/json")
        .body(call("delete"));
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::OK);
    server.deployment.stop().await;
}

#[tokio::test]
async fn what_the_rules_do_not_name_and_what_two_readers_could_read_in_two_ways_goes_nowhere() {
    let server = Server::start(rules()).await;
    for body in [
        r#"{"method":"resources/read","params":{"uri":"a:b"}}"#.to_owned(),
        call("unknown"),
        format!("[{},{{\"method\":\"initialize\"}}]", call("read")),
    ] {
        let (status, said) = server.refused(server.post(body)).await;
        assert_eq!(status, 403, "{said}");
        assert!(said.contains("may not be called here"), "{said}");
    }
    for body in [
        "",
        "{",
        "[]",
        "{}",
        "null",
        r#"{"method":"ping","method":"tools/call"}"#,
        r#"{"method":"ping","Method":"tools/call"}"#,
        r#"{"method":"tools/call","params":{"name":"read","name":"delete"}}"#,
        r#"{"method":"tools/call","params":{"name":"read","n\u0061me":"delete"}}"#,
        r#"{"method":"tools/call"}"#,
        r#"{"method":"ping"} {"method":"tools/call"}"#,
    ] {
        assert_eq!(server.refused(server.post(body)).await.0, 400, "{body}");
    }
    let ping = r#"{"method":"ping"}"#;
    for (name, value) in [
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "delete"),
        ("Content-Encoding", "gzip"),
    ] {
        let request = server.post(ping).header(name, value);
        assert_eq!(server.refused(request).await.0, 400, "{name}");
    }
    for kind in ["text/plain", "application/json; charset=utf-16", ""] {
        let request = server
            .request(Method::POST)
            .header("Content-Type", kind)
            .body(ping);
        assert_eq!(server.refused(request).await.0, 400, "{kind}");
    }
    // Messages where nobody looks for any.
    let request = server.request(Method::GET).header("Connection", "Upgrade");
    let request = request.header("Upgrade", "websocket");
    let request = request.header("Sec-WebSocket-Version", "13");
    let request = request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(server.refused(request).await.0, 400);
    let request = server.request(Method::DELETE).body(call("delete"));
    assert_eq!(server.refused(request).await.0, 400);
    for method in [Method::PUT, Method::PATCH] {
        let request = server.request(method).body(call("delete"));
        assert_eq!(server.refused(request).await.0, 405);
    }
    server.deployment.stop().await;
}

#[tokio::test]
async fn a_body_beyond_a_mebibyte_is_refused_and_nobodys_body_is_read() {
    let server = Server::start(rules()).await;
    let large = format!(
        r#"{{"method":"ping","params":{{"a":"{}"}}}}"#,
        "b".repeat(1 << 20)
    );
    let (status, said) = server.refused(server.post(large.clone())).await;
    assert_eq!(status, 413, "{said}");
    let (status, said) = server
        .in_pieces(&[&large[..1 << 19], &large[1 << 19..]])
        .await;
    assert_eq!((status, server.origin.take().len()), (413, 0), "{said}");
    // Without a token, what the body says is not looked at.
    let request = server.deployment.http.post(&server.url).body("{");
    assert_eq!(server.refused(request).await.0, 401);
    server.deployment.stop().await;
}
