//! A stop under load loses nothing that a client has sent, and a stop while
//! Postgres does not answer comes to an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agentidp_verify::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::load::Load;
use crate::support::stores::Stores;
use crate::support::{Client, Deployment};

const CONNECTIONS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_every_request_that_two_hundred_connections_have_sent() {
    let mut deployment = Deployment::start().await;
    let minute = "requests_per_minute";
    deployment.set_tier("enterprise", minute, None).await;
    let tenant = deployment.tenant("enterprise").await;
    let request = token_request(&deployment.url, &tenant.agent);
    let (answered, busy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = connect(&deployment.url).await;
        let (request, answered, busy) = (request.clone(), Arc::clone(&answered), Arc::clone(&busy));
        connections.push(tokio::spawn(talk(stream, request, answered, busy)));
    }
    // And some that say nothing: they hold nothing up.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect(&deployment.url).await);
    }
    while busy.load(Ordering::SeqCst) < CONNECTIONS || answered.load(Ordering::SeqCst) < 1_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    let status = deployment.end_core(Signal::TERM).await;
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");

    let (mut lost, mut told) = (0, 0);
    for connection in connections {
        match connection.await.unwrap() {
            End::Told => told += 1,
            End::Closed => {}
            End::Lost => lost += 1,
        }
    }
    let answered = answered.load(Ordering::SeqCst);
    println!(
        "{answered} answered, stopped in {took:?}, {told} of {CONNECTIONS} were told to close, {lost} lost"
    );
    assert_eq!(lost, 0);
    assert!(deployment.events("token.issued").await >= answered as i64);
    let noted: i64 =
        sqlx::query_scalar("SELECT count(*) FROM credentials WHERE last_used_at IS NOT NULL")
            .fetch_one(&deployment.pool)
            .await
            .unwrap();
    assert_eq!(
        noted, 3,
        "the operator's, the administrator's and the agent's"
    );
    let log = std::fs::read_to_string(deployment.log()).unwrap();
    assert!(log.contains("Shutting down gracefully..."), "{log}");
    drop(silent);
    deployment.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_postgres_is_frozen_ends_well_inside_ten_seconds() {
    let stores = Stores::start().await;
    let mut deployment = Deployment::start_with(Algorithm::EdDSA, &stores.settings()).await;
    let tenant = deployment.tenant("enterprise").await;
    let load = Load::start(&deployment, &tenant.agent, 32);
    load.more(100).await;
    stores.postgres.freeze();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let status = deployment.end_core(Signal::INT).await;
    let took = begun.elapsed();
    stores.postgres.go_on();
    println!("stopped in {took:?}");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let answers = load.stop().await;
    deployment.accounts(&tenant, &answers).await;
    deployment.stop().await;
    stores.stop().await;
}

/// How it ended for a connection.
enum End {
    /// An answer said that it was the last.
    Told,
    /// It was closed while nothing was on its way.
    Closed,
    /// A request that was sent got no whole answer.
    Lost,
}

/// Asks for tokens, one after another, until the connection ends.
async fn talk(
    mut stream: TcpStream,
    request: Arc<[u8]>,
    answered: Arc<AtomicUsize>,
    busy: Arc<AtomicUsize>,
) -> End {
    for n in 0.. {
        if stream.write_all(&request).await.is_err() {
            return End::Closed;
        }
        let Some(head) = read_answer(&mut stream).await else {
            return End::Lost;
        };
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        answered.fetch_add(1, Ordering::SeqCst);
        if n == 0 {
            busy.fetch_add(1, Ordering::SeqCst);
        }
        if head.contains("\r\nconnection: close\r\n") {
            return End::Told;
        }
    }
    unreachable!("it asks until it cannot")
}

/// The head of an answer that came whole, in small letters.
async fn read_answer(stream: &mut TcpStream) -> Option<String> {
    let mut answer = Vec::new();
    loop {
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end + 2]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if answer.len() == end + 4 + length {
                return Some(head);
            }
        }
        match stream.read_buf(&mut answer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await;
    let stream = stream.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn token_request(url: &str, client: &Client) -> Arc<[u8]> {
    let body = "grant_type=client_credentials";
    let request = format!(
        "POST /api/v1/token HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        url.trim_start_matches("http://"),
        STANDARD.encode(format!("{}:{}", client.id, client.secret)),
        body.len()
    );
    request.into_bytes().into()
}
