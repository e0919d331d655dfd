//! Bytes that are no request, at both listeners: refused, and nothing else; and
//! whoever comes next is served.

mod cases;

use crate::support::guarded::Guarded;
use crate::support::wire::{say, say_all};
use crate::support::{Deployment, status_at};
use cases::{NEXT, malformed, malformed_for_the_core, nonsense};

#[tokio::test]
async fn the_core_answers_what_is_no_request_with_400_and_reads_nothing_after_it() {
    let deployment = Deployment::start().await;
    let mut cases = malformed();
    cases.extend(malformed_for_the_core());
    let count = cases.len();
    let mut heard = say_all(&deployment.url, cases).await;
    heard.retain(|(_, heard)| heard.statuses != [400] || !heard.closed);
    assert!(heard.is_empty(), "{heard:#?}");
    assert!(count > 60, "{count}");
    // A preface of HTTP/2 gets no answer in HTTP/1.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let heard = say(&deployment.url, preface).await;
    assert!(
        heard.closed && heard.statuses.iter().all(|status| *status == 400),
        "{heard:?}"
    );
    // What comes after a good request is refused by itself.
    let garbage = [NEXT, b"\0\x01garbage\r\n\r\n", NEXT].concat();
    assert_eq!(say(&deployment.url, &garbage).await.statuses, [200, 400]);
    // Forms of targets that servers have to take, and one that is nobody's here.
    for (line, expected) in [
        ("GET http://elsewhere.example/health HTTP/1.1", 200),
        ("GET /health HTTP/1.0", 200),
        ("GET elsewhere.example:80 HTTP/1.1", 404),
        ("GET health HTTP/1.1", 404),
        ("CONNECT elsewhere.example:80 HTTP/1.1", 404),
        ("GET * HTTP/1.1", 404),
        ("get /health HTTP/1.1", 405),
        ("GET /%2e%2e/health HTTP/1.1", 404),
        ("GET /../health HTTP/1.1", 404),
        ("GET //health HTTP/1.1", 404),
        ("GET /health/ HTTP/1.1", 404),
    ] {
        let request = format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n");
        let heard = say(&deployment.url, request.as_bytes()).await;
        assert_eq!(heard.statuses, [expected], "{line}: {}", heard.text);
    }
    deployment.is_well().await;
    deployment.stop().await;
}

#[tokio::test]
async fn the_edge_lets_nothing_through_that_is_no_request() {
    let guarded = Guarded::start().await;
    // It is not the token that is refused.
    let with_token = |(case, bytes): (String, Vec<u8>)| {
        let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        let token = format!("Authorization: Bearer {}\r\n", guarded.token);
        let bytes = [&bytes[..line], token.as_bytes(), &bytes[line..]].concat();
        (case, bytes)
    };
    let cases = malformed().into_iter().map(with_token).collect();
    for (case, heard) in say_all(&guarded.edge, cases).await {
        // workerd's own words; 500 is one of them: see docs/edge.md.
        let refused = matches!(heard.statuses[..], [400 | 500 | 501, ..]);
        assert!(refused, "{case}: {}", heard.text);
        // What is read after it has no token.
        let after = &heard.statuses[1..];
        assert!(after.iter().all(|s| *s == 401), "{case}: {}", heard.text);
    }
    assert!(guarded.origin.take().is_empty());
    // What workerd takes all the same reaches the origin as one plain request.
    let lenient = malformed_for_the_core().into_iter().map(with_token);
    // A body that breaks off breaks off at the origin too, which may notice it while
    // the next case is under way.
    let (mut refused, mut broken_off) = (0, 0);
    for (case, bytes) in lenient {
        let heard = say(&guarded.edge, &bytes).await;
        refused += usize::from(!heard.statuses.contains(&200));
        for seen in guarded.origin.take() {
            let mut doubts = seen.doubts();
            doubts.retain(|doubt| doubt != "no end");
            assert!(doubts.is_empty(), "{case}: {doubts:?}, {}", heard.text);
            broken_off += usize::from(!seen.doubts().is_empty());
            assert!(broken_off <= refused, "{case}: {}", heard.text);
        }
    }
    let valid = format!(
        "GET /verify HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n",
        guarded.token
    );
    for (case, heard) in say_all(&guarded.edge, nonsense(2, valid.as_bytes())).await {
        for status in &heard.statuses {
            let known = [200, 400, 401, 403, 431, 500, 501].contains(status);
            assert!(known, "{case}: {}", heard.text);
        }
    }
    let verify = format!("{}/verify", guarded.edge);
    let (deployment, token) = (&guarded.deployment, &guarded.token);
    assert_eq!(status_at(deployment, &verify, token).await.as_u16(), 200);
    guarded.deployment.stop().await;
}

#[tokio::test]
async fn two_thousand_pieces_of_nonsense_leave_the_core_as_it_was() {
    let deployment = Deployment::start().await;
    let valid = b"POST /api/v1/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\
        \r\nTransfer-Encoding: chunked\r\nAuthorization: Basic YTpi\r\nConnection: close\r\n\r\n5\r\na=b&c\r\n0\r\n\r\n";
    for (case, heard) in say_all(&deployment.url, nonsense(1, valid)).await {
        for status in &heard.statuses {
            let known = [400, 401, 404, 405, 408, 413, 429, 431].contains(status);
            assert!(known, "{case}: {}", heard.text);
        }
    }
    deployment.is_well().await;
    deployment.stop().await;
}
