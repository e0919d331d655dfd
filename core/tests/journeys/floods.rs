//! More connections than anybody needs: what they cost, and who is served
//! meanwhile.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Deployment;
use crate::support::memory::{may_open, resident_kib};
use crate::support::wire::{connect_from, hear};

/// How many connections the core has open at a time.
const MOST_CONNECTIONS: usize = 12_000;
/// How many of them may be one address's.
const MOST_OF_AN_ADDRESS: usize = 4_000;
/// What an idle connection may cost, in KiB.
const IDLE_KIB: u64 = 24;
/// What one may cost that has sent all of a head but its end, in KiB.
const HALF_A_HEAD_KIB: u64 = 72;

/// So many connections from loopback's address `last`, each of which has sent
/// `bytes`.
async fn connections(url: &str, last: u8, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let from = Ipv4Addr::new(127, 0, 0, last);
        let mut stream = connect_from(from, url).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        open.push(stream);
        if open.len().is_multiple_of(250) {
            // As fast as the listener takes them: what overflows comes a second later.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    open
}

/// Twenty token requests, each answered within two seconds.
async fn others_are_served(deployment: &Deployment) {
    for _ in 0..20 {
        let asked = Instant::now();
        let answer = deployment.ask_token(&deployment.operator, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_little_and_others_are_served() {
    const QUARTER: usize = 2_500;
    if !may_open(10_500) {
        return;
    }
    let deployment = Deployment::start().await;
    others_are_served(&deployment).await;
    let before = resident_kib(deployment.core_id());
    let mut idle = Vec::new();
    // Silent, in the middle of a line, in the middle of a body, and kept alive.
    let body = &b"POST /api/v1/token HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"[..];
    let alive = &b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"[..];
    for (last, bytes) in [(2, &b""[..]), (3, &b"GET /hea"[..]), (4, body), (5, alive)] {
        idle.extend(connections(&deployment.url, last, QUARTER, bytes).await);
    }
    for stream in &mut idle[3 * QUARTER..] {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    others_are_served(&deployment).await;
    let each = resident_kib(deployment.core_id()).saturating_sub(before) / idle.len() as u64;
    println!("an idle connection costs {each} KiB");
    assert!(each <= IDLE_KIB, "{each} KiB a connection");
    drop(idle);
    others_are_served(&deployment).await;
    deployment.stop().await;
}

#[tokio::test]
async fn half_a_head_costs_no_more_than_a_head_may() {
    const COUNT: usize = 1_000;
    let deployment = Deployment::start().await;
    others_are_served(&deployment).await;
    let before = resident_kib(deployment.core_id());
    let head = format!(
        "GET /health HTTP/1.1\r\nHost: a\r\nX: {}",
        "a".repeat(31_000)
    );
    let open = connections(&deployment.url, 2, COUNT, head.as_bytes()).await;
    others_are_served(&deployment).await;
    let each = resident_kib(deployment.core_id()).saturating_sub(before) / COUNT as u64;
    println!("half a head costs {each} KiB");
    assert!(each <= HALF_A_HEAD_KIB, "{each} KiB a connection");
    drop(open);
    deployment.stop().await;
}

#[tokio::test]
async fn one_address_cannot_take_all_connections_and_the_first_too_many_waits() {
    if !may_open(MOST_CONNECTIONS as u64 + 500) {
        return;
    }
    let deployment = Deployment::start().await;
    let health = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut open = connections(&deployment.url, 2, MOST_OF_AN_ADDRESS, b"").await;
    for _ in 0..3 {
        let from = Ipv4Addr::new(127, 0, 0, 2);
        let mut one_more = connect_from(from, &deployment.url).await.unwrap();
        let heard = hear(&mut one_more).await;
        assert!(heard.closed && heard.statuses.is_empty(), "{heard:?}");
    }
    let from = Ipv4Addr::new(127, 0, 0, 9);
    let mut other = connect_from(from, &deployment.url).await.unwrap();
    other.write_all(health).await.unwrap();
    assert_eq!(hear(&mut other).await.statuses, [200]);

    // Many addresses together can; whoever comes then waits for the first to go.
    for last in [3, 4] {
        open.extend(connections(&deployment.url, last, MOST_OF_AN_ADDRESS, b"").await);
    }
    let mut waiting = connect_from(from, &deployment.url).await.unwrap();
    waiting.write_all(health).await.unwrap();
    // The tests' own pool may hold one or two places.
    let heard = hear(&mut waiting).await;
    assert!(!heard.closed && heard.statuses.is_empty(), "{heard:?}");
    open.truncate(MOST_CONNECTIONS - 10);
    assert_eq!(hear(&mut waiting).await.statuses, [200]);
    drop(open);
    others_are_served(&deployment).await;
    deployment.stop().await;
}
