//! What takes long at an origin passes through as it comes, and is cut within the
//! bound once its token is not good any more.

use std::time::{Duration, Instant};

use agentidp_core::dev::EdgeSettings;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::stores::send;
use crate::support::streams::{EVERY, Streams};
use crate::support::websocket::{self, Frame};
use crate::support::{Deployment, Tenant};

/// What a revocation's author may rely on, from the answer on.
const BOUND: Duration = Duration::from_secs(2);

/// An edge before an origin of long answers.
struct Scene {
    deployment: Deployment,
    tenant: Tenant,
    edge: String,
    origin: Streams,
}

impl Scene {
    async fn new() -> Self {
        let mut deployment = Deployment::start().await;
        let tenant = deployment.tenant("enterprise").await;
        let origin = Streams::start().await;
        let settings = EdgeSettings {
            origin_url: format!("http://{}", origin.address),
            ..deployment.edge_settings(&[&tenant], "").await
        };
        Self {
            edge: deployment.start_edge_with(&settings).await,
            deployment,
            tenant,
            origin,
        }
    }

    async fn token(&self) -> String {
        self.deployment.token(&self.tenant.agent).await
    }

    async fn get(&self, path: &str, token: &str) -> reqwest::Response {
        let request = self.deployment.http.get(format!("{}{path}", self.edge));
        request.bearer_auth(token).send().await.unwrap()
    }

    /// Nothing is open towards the origin within the bound from `since` on.
    async fn nothing_stays_open(&self, since: Instant) {
        while self.origin.open() > 0 {
            assert!(
                since.elapsed() < BOUND + EVERY * 4,
                "{}",
                self.origin.open()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Reads a body until it ends; how much came, and whether it came to its end.
async fn drain(mut response: reqwest::Response) -> (usize, bool) {
    let mut length = 0;
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => length += piece.len(),
            Ok(None) => return (length, true),
            Err(_) => return (length, false),
        }
    }
}

/// Sends a body that never ends.
async fn upload_for_ever(edge: String, token: String) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(edge.trim_start_matches("http://")).await?;
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    loop {
        let chunk = format!("40\r\n{}\r\n", "x".repeat(64));
        stream.write_all(chunk.as_bytes()).await?;
        tokio::time::sleep(EVERY).await;
    }
}

#[tokio::test]
async fn events_come_as_they_are_sent_and_end_within_the_bound_of_a_revocation() {
    let scene = Scene::new().await;
    let (token, other) = (scene.token().await, scene.token().await);
    let mut events = scene.get("/events", &token).await;
    let begun = Instant::now();
    for n in 0..20 {
        let event = events.chunk().await.unwrap().unwrap();
        assert!(
            String::from_utf8_lossy(&event).contains(&format!("data: {n}\n")),
            "{n}"
        );
    }
    // As they are sent: not all at once at the end, and none held back.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let mut kept = scene.get("/events", &other).await;

    let revoked = scene.deployment.revoke(&scene.tenant.agent, &token).await;
    assert_eq!(revoked, StatusCode::OK);
    let answered = Instant::now();
    let mut last = answered;
    while let Ok(Some(_)) = events.chunk().await {
        last = Instant::now();
    }
    assert!(last - answered < BOUND, "{:?}", last - answered);
    assert!(answered.elapsed() < BOUND, "{:?}", answered.elapsed());
    // Another token's stream goes on.
    for _ in 0..10 {
        kept.chunk().await.unwrap().unwrap();
    }
    drop(kept);
    scene.nothing_stays_open(Instant::now()).await;
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_long_answer_an_upload_and_a_wait_are_cut_once_their_token_is_revoked() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    let download = scene.get("/download", &token).await;
    assert_eq!(download.headers()["content-length"], "4000");
    let http = scene.deployment.http.clone();
    let upload = tokio::spawn(upload_for_ever(scene.edge.clone(), token.clone()));
    let silence = http
        .get(format!("{}/silence", scene.edge))
        .bearer_auth(&token);
    let silence = tokio::spawn(silence.send());
    while scene.origin.received() < 640 {
        tokio::time::sleep(EVERY).await;
    }

    scene.deployment.revoke(&scene.tenant.agent, &token).await;
    let answered = Instant::now();
    let (length, whole) = drain(download).await;
    assert!(!whole && length < 4000, "{length}");
    assert!(answered.elapsed() < BOUND, "{:?}", answered.elapsed());
    // Who waits for an answer's beginning is told why there will be none.
    let silence = silence.await.unwrap().unwrap();
    assert_eq!(silence.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        silence.json::<Value>().await.unwrap()["message"],
        "Token has been revoked."
    );
    assert!(answered.elapsed() < BOUND, "{:?}", answered.elapsed());
    scene.nothing_stays_open(answered).await;
    let received = scene.origin.received();
    tokio::time::sleep(EVERY * 4).await;
    assert_eq!(scene.origin.received(), received);
    upload.abort();
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_is_closed_once_its_token_is_revoked() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let more = format!("{bearer}Sec-WebSocket-Protocol: chat, other\r\nX-Agent-Id: admin\r\n");
    let (head, mut socket) = websocket::open(&scene.edge, "/talk", &more).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let lower = head.to_ascii_lowercase();
    let accept = websocket::accept(websocket::KEY).to_ascii_lowercase();
    assert!(
        lower.contains(&format!("sec-websocket-accept: {accept}")),
        "{head}"
    );
    assert!(lower.contains("sec-websocket-protocol: chat\r\n"), "{head}");
    let sent = scene.origin.heads().join("");
    assert!(
        sent.contains(&scene.tenant.agent.id) && !sent.contains("admin"),
        "{sent}"
    );

    websocket::send(&mut socket, 1, b"hello", true)
        .await
        .unwrap();
    websocket::send(&mut socket, 2, b"\x00\xff", true)
        .await
        .unwrap();
    let (mut ticks, mut echoes) = (0, Vec::new());
    while ticks < 10 || echoes.len() < 2 {
        match websocket::next(&mut socket).await.unwrap() {
            Frame::Text(text) if text == "tick" => ticks += 1,
            Frame::Other(_) => {}
            other => echoes.push(other),
        }
    }
    assert_eq!(
        echoes,
        [Frame::Text("hello".into()), Frame::Binary(vec![0, 0xff])]
    );

    scene.deployment.revoke(&scene.tenant.agent, &token).await;
    let answered = Instant::now();
    let closed = loop {
        match websocket::next(&mut socket).await {
            Some(Frame::Text(_)) => assert!(answered.elapsed() < BOUND),
            other => break other,
        }
    };
    assert_eq!(
        closed,
        Some(Frame::Close(1008, "Token has been revoked.".into()))
    );
    assert!(answered.elapsed() < BOUND, "{:?}", answered.elapsed());
    // What is still sent reaches nobody, and the origin's end is closed too.
    let _ = websocket::send(&mut socket, 1, b"more", true).await;
    scene.nothing_stays_open(answered).await;

    let (head, _) = websocket::open(&scene.edge, "/talk", &bearer).await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    let (head, _) = websocket::open(&scene.edge, "/talk", "").await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_websocket_that_either_end_closes_is_closed_at_the_other() {
    let scene = Scene::new().await;
    let bearer = format!("Authorization: Bearer {}\r\n", scene.token().await);
    let (_, mut socket) = websocket::open(&scene.edge, "/talk", &bearer).await;
    websocket::send(&mut socket, 8, &1000_u16.to_be_bytes(), true)
        .await
        .unwrap();
    let closed = loop {
        match websocket::next(&mut socket).await {
            Some(Frame::Text(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(closed, Some(Frame::Close(1000, _))), "{closed:?}");
    scene.nothing_stays_open(Instant::now()).await;
    // One that goes away without a word is gone at the origin too.
    let (_, socket) = websocket::open(&scene.edge, "/talk", &bearer).await;
    drop(socket);
    scene.nothing_stays_open(Instant::now()).await;
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_nobody_can_tell_any_more_whether_its_token_is_good() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    for path in ["/events", "/download"] {
        let stream = scene.get(path, &token).await;
        send(scene.deployment.core_id(), Signal::STOP);
        let stopped = Instant::now();
        let (_, whole) = drain(stream).await;
        // workerd ends a body in chunks as if it were whole.
        assert!(!whole || path == "/events", "{path}");
        assert!(stopped.elapsed() < BOUND, "{path}: {:?}", stopped.elapsed());
        send(scene.deployment.core_id(), Signal::CONT);
        scene.nothing_stays_open(stopped).await;
        // And is there again with the core.
        let begun = Instant::now();
        while scene.get("/plain", &token).await.status() != StatusCode::OK {
            assert!(begun.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(EVERY).await;
        }
    }
    scene.deployment.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_agent() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    // A suspended agent's tokens are dead, whatever they say.
    let stream = scene.get("/events", &token).await;
    let administrator = scene.deployment.token(&scene.tenant.administrator).await;
    let path = format!("/agents/{}", scene.tenant.agent.id);
    let suspended = json!({ "status": "suspended" });
    scene
        .deployment
        .must(&administrator, "PATCH", &path, Some(suspended))
        .await;
    let answered = Instant::now();
    drain(stream).await;
    assert!(answered.elapsed() < BOUND, "{:?}", answered.elapsed());
    scene.nothing_stays_open(answered).await;
    scene.deployment.stop().await;
}

#[tokio::test]
async fn what_is_between_two_neighbours_is_handed_on_neither_way() {
    let scene = Scene::new().await;
    let token = scene.token().await;
    let answer = scene.get("/hops", &token).await;
    for name in ["keep-alive", "trailer", "x-between", "connection"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    assert_eq!(answer.headers()["x-kept"], "y");
    assert_eq!(answer.headers()["content-length"], "2");
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(answer.text().await.unwrap(), "ok");
    // Another protocol than WebSocket is not spoken: the request goes on without.
    scene.origin.heads();
    let head = format!(
        "GET /plain HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n\
         Connection: Upgrade, X-Mine\r\nUpgrade: h2c\r\nX-Mine: 1\r\nX-Other: 2\r\n\r\n"
    );
    let mut stream = TcpStream::connect(scene.edge.trim_start_matches("http://"))
        .await
        .unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(
        answer[..read].starts_with(b"HTTP/1.1 200 "),
        "{:?}",
        &answer[..read]
    );
    let seen = scene.origin.heads().join("").to_ascii_lowercase();
    assert!(seen.contains("x-other: 2"), "{seen}");
    assert!(!seen.contains("h2c") && !seen.contains("x-mine"), "{seen}");
    scene.deployment.stop().await;
}
