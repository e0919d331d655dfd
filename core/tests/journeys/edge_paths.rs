//! What the edge passes on is one request that everybody reads alike, or nothing;
//! and whatever an origin answers, the edge goes on.

use agentidp_core::dev::EdgeSettings;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::guarded::{Guarded, INNER};
use crate::support::{Deployment, raw};

#[tokio::test]
async fn a_path_or_a_body_that_could_be_read_in_two_ways_is_not_passed_on() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let token = deployment.token(&tenant.agent).await;
    let head = format!("Host: edge\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n");
    for path in [
        "/%2e%2e/admin",
        "/..%2fadmin",
        "/a%2F%2e%2e%5Cb",
        "/a/%2E%2e/b",
        "/.%2e/b",
        "/a/%2e./b",
        "/a\\..\\b",
        "/..\\admin",
        "/%2e/b",
        "/a/%2e%2e",
    ] {
        let (status, body) = raw(&edge, &format!("GET {path} HTTP/1.1\r\n{head}\r\n")).await;
        assert_eq!(
            (status, body.contains("INVALID_REQUEST")),
            (400, true),
            "{path}: {body}"
        );
    }
    for (path, seen) in [
        ("/a%2fb", "/a%2fb"),
        ("/a..b/..c", "/a..b/..c"),
        ("//a", "//a"),
        ("/a;x=1", "/a;x=1"),
    ] {
        let (status, body) = raw(&edge, &format!("GET {path} HTTP/1.1\r\n{head}\r\n")).await;
        let echo: Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}"));
        assert_eq!(echo["path"], seen);
    }
    // A GET that brings a body is refused; one that says it brings none is not.
    let (status, _) = raw(
        &edge,
        &format!("GET /g HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhello"),
    )
    .await;
    assert_eq!(status, 400);
    let (status, _) = raw(
        &edge,
        &format!("GET /g HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n"),
    )
    .await;
    assert_eq!(status, 200);
    let upload =
        format!("PUT /u HTTP/1.1\r\n{head}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    let (status, body) = raw(&edge, &upload).await;
    assert!(status == 200 || status == 100, "{status}");
    assert!(body.contains(r#""body":"hello""#), "{body}");
    let (status, _) = raw(&edge, &format!("TRACE /g HTTP/1.1\r\n{head}\r\n")).await;
    assert_eq!(status, 400);
    let (status, body) = raw(
        &edge,
        &format!("GET /g HTTP/1.1\r\n{head}X.Agent.Id: evil\r\nX~Scope: evil\r\n\r\n"),
    )
    .await;
    assert_eq!((status, body.contains("evil")), (200, false), "{body}");
    deployment.stop().await;
}

#[tokio::test]
async fn an_origin_that_answers_nonsense_is_a_bad_gateway_and_the_next_request_is_served() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let token = deployment.token(&tenant.agent).await;
    let origin = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = origin.local_addr().unwrap();
    // It answers with the status that the path names.
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = origin.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let status = head
                .split(' ')
                .nth(1)
                .unwrap_or("/500")
                .trim_start_matches('/')
                .to_owned();
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let settings = EdgeSettings {
        origin_url: format!("http://{address}"),
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let edge = deployment.start_edge_with(&settings).await;
    for (status, expected) in [
        (200, 200),
        (204, 204),
        (304, 304),
        (599, 599),
        (600, 502),
        (999, 502),
        (200, 200),
    ] {
        let answer = deployment
            .http
            .get(format!("{edge}/{status}"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{status}");
    }
    server.abort();
    // No origin at all.
    let answer = deployment
        .http
        .get(format!("{edge}/200"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 502);
    deployment.stop().await;
}

#[tokio::test]
async fn a_path_reaches_the_origin_as_it_was_checked_or_not_at_all() {
    let guarded = Guarded::start().await;
    for refused in [
        "/%252e%252e/admin",
        "/%25252e%25252e/admin",
        "/%2525252525252e./admin",
        "/%%32%65./admin",
        "/a%252f%252e%252e%252fadmin",
        "/a%255c..%255cadmin",
        "/a/..;/admin",
        "/a/..;x=1/admin",
        "/a/.;/admin",
        "/a/%2e%2e%3bx/admin",
        "/a/..%2fadmin",
        "/a\\..\\admin",
        "/a/%2e%2e",
        "/a#/b",
        "/a?b#c",
    ] {
        let heard = guarded.send(&format!("GET {refused}"), b"", b"").await;
        assert_eq!(heard.statuses, [400], "{refused}: {}", heard.text);
        assert_eq!(guarded.seen(refused), None);
    }
    for (sent, expected) in [
        ("/a%2fb", "/a%2fb"),
        ("/a%252fb", "/a%252fb"),
        ("/100%25", "/100%25"),
        ("/%zz", "/%zz"),
        ("//a//b", "//a//b"),
        ("/a;x=1/b;y", "/a;x=1/b;y"),
        ("/..a/b..", "/..a/b.."),
        ("/a?b=../c&d=%2e%2e", "/a?b=../c&d=%2e%2e"),
        ("/a?b?c", "/a?b?c"),
        // workerd resolves plain dot segments before anybody looks.
        ("/a/../b", "/b"),
        ("/../../b", "/b"),
    ] {
        let heard = guarded.send(&format!("GET {sent}"), b"", b"").await;
        assert_eq!(heard.statuses, [200], "{sent}: {}", heard.text);
        assert_eq!(guarded.seen(sent).as_deref(), Some(expected));
    }
    // Targets in other forms, and two requests in one go: each is one.
    for line in [
        "GET http://evil.example/x",
        "GET evil.example:80",
        "OPTIONS *",
        "CONNECT a:1",
    ] {
        let heard = guarded.send(line, b"", b"").await;
        assert!(
            heard
                .statuses
                .iter()
                .all(|status| [400, 500, 501].contains(status)),
            "{line}"
        );
        assert_eq!(guarded.seen(line), None);
    }
    let heard = guarded.send("GET /first", b"", INNER.as_bytes()).await;
    assert_eq!(heard.statuses, [200, 401], "{}", heard.text);
    assert_eq!(guarded.seen("pipelined").as_deref(), Some("/first"));
    guarded.deployment.stop().await;
}
