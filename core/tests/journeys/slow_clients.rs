//! Clients that take their time: each is cut off after its patience, and others
//! are served meanwhile.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::Deployment;
use crate::support::memory::resident_kib;

/// What a machine that is busy may add.
const SLACK: Duration = Duration::from_secs(4);
/// What a blocked reader or a body that is under way may cost, in KiB.
const SLOW_KIB: u64 = 256;

async fn connect(url: &str) -> TcpStream {
    let address = url.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// Sends `head`, then `byte` five times a second, until the other side closes: how
/// long that took, and what was said.
async fn trickle(url: &str, head: &str, byte: &[u8]) -> (Duration, String) {
    let begun = Instant::now();
    let (mut reading, mut writing) = connect(url).await.into_split();
    let head = head.to_owned();
    let byte = byte.to_vec();
    let sender = tokio::spawn(async move {
        writing.write_all(head.as_bytes()).await.unwrap();
        // Nobody reads it any more at the end.
        while writing.write_all(&byte).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut answer = Vec::new();
    // A connection that is reset has said what it said.
    let _ = reading.read_to_end(&mut answer).await;
    let took = begun.elapsed();
    sender.abort();
    (took, String::from_utf8_lossy(&answer).into_owned())
}

fn lasted(what: &str, took: Duration, patience_s: u64) {
    let patience = Duration::from_secs(patience_s);
    let early = Duration::from_millis(200);
    assert!(
        took + early >= patience && took <= patience + SLACK,
        "{what}: {took:?}"
    );
}

/// Asks and asks and reads nothing, until the connection is cut.
async fn never_read(url: &str) -> Duration {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    // From an address of its own: it spends what an address may ask.
    socket.bind(([127, 0, 0, 6], 0).into()).unwrap();
    let address = url.trim_start_matches("http://").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let ask = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    let mut blocked = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(1), stream.write(&ask)).await {
            Ok(Ok(written)) if written > 0 => blocked = Instant::now(),
            Ok(_) => return blocked.elapsed(),
            Err(_) => assert!(blocked.elapsed() < Duration::from_secs(60), "never cut"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_slow_is_cut_off_and_whoever_is_not_is_served() {
    const MANY: usize = 200;
    let deployment = Deployment::start().await;
    let url = deployment.url.as_str();
    assert_eq!(
        deployment
            .ask_token(&deployment.operator, &[])
            .await
            .status(),
        StatusCode::OK
    );
    let before = resident_kib(deployment.core_id());

    let form = "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    let pieces = "POST /api/v1/agents HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let slow = async {
        tokio::join!(
            trickle(url, form, b"a"),
            trickle(url, pieces, b"1\r\na\r\n"),
            trickle(url, "GET /health HTTP/1.1\r\nHost: a\r\nX: ", b"a"),
            trickle(url, "", b""),
            trickle(url, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b""),
            never_read(url),
        )
    };
    // Bodies of almost all that a body may have, all but their ends.
    let most = format!("{form}{}", "a".repeat(59_000));
    let bodies = futures_util::future::join_all((0..MANY).map(|_| trickle(url, &most, b"a")));
    let others = async {
        let (begun, mut dearest) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(12) {
            let asked = Instant::now();
            let answer = deployment.ask_token(&deployment.operator, &[]).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(asked.elapsed() < Duration::from_secs(2));
            dearest = dearest.max(resident_kib(deployment.core_id()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        dearest
    };
    let (slow, bodies, dearest) = tokio::join!(slow, bodies, others);

    let (in_form, in_pieces, head, silent, idle, reader) = slow;
    for (took, answer) in bodies.iter().chain([&in_form, &in_pieces]) {
        lasted("a body", *took, 5);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let lower = answer.to_ascii_lowercase();
        assert!(lower.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.contains("REQUEST_TIMEOUT"), "{answer}");
    }
    assert!(
        in_form.1.contains(r#""error":"invalid_request""#),
        "{}",
        in_form.1
    );
    lasted("a head", head.0, 30);
    lasted("no head", silent.0, 30);
    lasted("idle after an answer", idle.0, 30);
    assert_eq!((head.1.as_str(), silent.1.as_str()), ("", ""));
    assert!(idle.1.starts_with("HTTP/1.1 200 "));
    lasted("a reader", reader, 10);
    let each = dearest.saturating_sub(before) / MANY as u64;
    println!("a slow body costs {each} KiB");
    assert!(each <= SLOW_KIB, "{each} KiB for each of {MANY}");
    deployment.stop().await;
}
