//! The largest body and the largest head, each exceeded; and lengths that lie.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::Deployment;
use crate::support::wire::say;

/// The largest body that any endpoint takes.
const LARGEST_BODY: usize = 64 * 1024;

/// A token request of the operator's with `framing` and `body` as they are.
fn token_request(deployment: &Deployment, framing: &str, body: &[u8]) -> Vec<u8> {
    let operator = &deployment.operator;
    let basic = STANDARD.encode(format!("{}:{}", operator.id, operator.secret));
    let head = format!(
        "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {basic}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n{framing}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A good form of so many bytes.
fn form(length: usize) -> Vec<u8> {
    let begin = "grant_type=client_credentials&pad=";
    format!("{begin}{}", "a".repeat(length - begin.len())).into_bytes()
}

fn in_chunks(body: &[u8], of: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for piece in body.chunks(of) {
        framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

#[tokio::test]
async fn a_body_of_64_kib_is_read_and_one_byte_more_is_too_much_however_it_is_framed() {
    let deployment = Deployment::start().await;
    let chunked = "Transfer-Encoding: chunked";
    let length = |length: usize| format!("Content-Length: {length}");
    let (most, more) = (form(LARGEST_BODY), form(LARGEST_BODY + 1));
    for (case, framing, body, expected) in [
        ("the most", length(most.len()), most.clone(), 200),
        ("one more", length(more.len()), more.clone(), 413),
        // Answered before any of it has come.
        ("announced", length(more.len()), Vec::new(), 413),
        ("a terabyte", length(1 << 40), Vec::new(), 413),
        (
            "the most in chunks",
            chunked.into(),
            in_chunks(&most, 1_000),
            200,
        ),
        (
            "one more in chunks",
            chunked.into(),
            in_chunks(&more, 1_000),
            413,
        ),
        ("one chunk", chunked.into(), in_chunks(&more, 1 << 20), 413),
        (
            "ten megabytes",
            chunked.into(),
            in_chunks(&form(10 << 20), 1 << 16),
            413,
        ),
        // Many small chunks are more bytes, and no more body.
        ("bytewise", chunked.into(), in_chunks(&form(5_000), 1), 200),
    ] {
        let heard = say(
            &deployment.url,
            &token_request(&deployment, &framing, &body),
        )
        .await;
        assert_eq!(heard.statuses, [expected], "{case}: {}", heard.text);
        assert!(heard.closed, "{case}");
        if expected == 413 {
            assert!(
                heard.text.contains(r#""code":"PAYLOAD_TOO_LARGE""#),
                "{case}"
            );
            assert!(
                heard.text.contains(r#""error":"invalid_request""#),
                "{case}"
            );
        }
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_length_that_lies_gets_no_token() {
    let deployment = Deployment::start().await;
    let good = [form(100), b"\r\n\r\n".to_vec()].concat();
    // Too short: the rest is no request of its own, and the form is cut.
    let cut = token_request(&deployment, "Content-Length: 20", &good);
    let cut = String::from_utf8(cut)
        .unwrap()
        .replace("Connection: close\r\n", "");
    let heard = say(&deployment.url, cut.as_bytes()).await;
    assert_eq!(heard.statuses, [400, 400], "{}", heard.text);
    assert!(heard.closed && !heard.text.contains("access_token"));
    // Too long: the end is waited for, as long as a body may take.
    let long = token_request(&deployment, "Content-Length: 105", &good);
    let heard = say(&deployment.url, &long).await;
    assert!(heard.statuses.is_empty(), "{}", heard.text);
    assert_eq!(deployment.events("token.issued").await, 0);
    deployment.stop().await;
}

#[tokio::test]
async fn a_head_is_read_up_to_its_limits() {
    let deployment = Deployment::start().await;
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")
            .into_bytes()
    };
    let value = |length: usize| format!("X: {}\r\n", "a".repeat(length));
    for (case, request, expected) in [
        ("a head of 30 KB", get("/health", &value(30_000)), 200),
        ("a head of 70 KB", get("/health", &value(70_000)), 431),
        ("a head of 10 MB", get("/health", &value(10 << 20)), 431),
        ("98 headers", get("/health", &"X: a\r\n".repeat(98)), 200),
        ("99 headers", get("/health", &"X: a\r\n".repeat(99)), 431),
        (
            "a path of 8 KB",
            get(&format!("/{}", "a".repeat(8_000)), ""),
            404,
        ),
        (
            "a query of 8 KB",
            get(&format!("/health?{}", "a".repeat(8_000)), ""),
            200,
        ),
    ] {
        let heard = say(&deployment.url, &request).await;
        assert_eq!(heard.statuses, [expected], "{case}");
        assert!(heard.closed, "{case}");
    }
    deployment.stop().await;
}
