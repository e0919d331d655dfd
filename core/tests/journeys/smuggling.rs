//! Bodies whose end is read in more ways than one: the origin sees one canonical
//! request, or none.

use crate::support::guarded::{Guarded, INNER};

#[tokio::test]
async fn a_body_that_ends_in_two_ways_reaches_nobody() {
    let guarded = Guarded::start().await;
    let both = format!("0\r\n\r\n{INNER}");
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (case, headers) in [
        (
            "CL.TE",
            format!("Content-Length: {}\r\n{chunked}", both.len()),
        ),
        ("TE.CL", format!("{chunked}Content-Length: 4\r\n")),
        (
            "mixed case",
            format!(
                "tRANSFER-eNCODING: chunked\r\ncONTENT-lENGTH: {}\r\n",
                both.len()
            ),
        ),
        (
            "a space before the colon",
            "Content-Length: 4\r\nTransfer-Encoding : chunked\r\n".to_owned(),
        ),
        (
            "twice chunked",
            "Transfer-Encoding: chunked, chunked\r\n".into(),
        ),
        (
            "chunked and not",
            format!("{chunked}Transfer-Encoding: identity\r\n"),
        ),
        (
            "not and chunked",
            format!("Transfer-Encoding: identity\r\n{chunked}"),
        ),
        ("gzip", "Transfer-Encoding: gzip, chunked\r\n".into()),
        (
            "a vertical tab",
            "Transfer-Encoding: \x0bchunked\r\n".into(),
        ),
        (
            "two lengths",
            format!("Content-Length: 0\r\nContent-Length: {}\r\n", both.len()),
        ),
        ("a list of lengths", "Content-Length: 5, 5\r\n".into()),
        ("a sign", "Content-Length: +5\r\n".into()),
        ("a zero before", "Content-Length: 05\r\n".into()),
        (
            "beyond numbers",
            "Content-Length: 18446744073709551621\r\n".into(),
        ),
        ("a space within", "Content-Length: 5 5\r\n".into()),
    ] {
        for method in ["POST", "GET", "DELETE"] {
            let heard = guarded
                .send(
                    &format!("{method} /outer"),
                    headers.as_bytes(),
                    both.as_bytes(),
                )
                .await;
            let case = format!("{case}, {method}");
            // workerd itself says 500 to some.
            let refused = heard
                .statuses
                .first()
                .is_some_and(|status| [400, 500].contains(status));
            assert!(refused, "{case}: {}", heard.text);
            // What is read after it has no token, and is nobody's.
            let rest = &heard.statuses[1..];
            assert!(
                rest.iter().all(|status| [400, 401, 501].contains(status)),
                "{case}: {}",
                heard.text
            );
            assert_eq!(guarded.seen(&case), None, "{case}");
        }
    }
    guarded.deployment.stop().await;
}

#[tokio::test]
async fn a_chunked_body_reaches_the_origin_whole_or_broken_off() {
    let guarded = Guarded::start().await;
    let head = b"Transfer-Encoding: chunked\r\nTrailer: X-Agent-Id\r\n";
    for (case, chunks) in [
        ("plain", "5\r\nhello\r\n0\r\n\r\n"),
        ("in two", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("long sizes", "0000005\r\nhello\r\n000\r\n\r\n"),
    ] {
        let heard = guarded.send("POST /whole", head, chunks.as_bytes()).await;
        assert_eq!(heard.statuses, [200], "{case}: {}", heard.text);
        let seen = guarded.origin.take();
        assert_eq!(
            (seen.len(), &seen[0].body[..]),
            (1, &b"hello"[..]),
            "{case}"
        );
        assert_eq!(seen[0].doubts(), Vec::<String>::new(), "{case}");
    }
    for (case, chunks) in [
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        (
            "a size that is none",
            "5\r\nhello\r\ng\r\nhello\r\n0\r\n\r\n",
        ),
        ("a sign", "5\r\nhello\r\n+5\r\nhello\r\n0\r\n\r\n"),
        ("0x", "5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n"),
        (
            "beyond numbers",
            "5\r\nhello\r\nfffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        ),
        ("no line's end", "5\r\nhelloXX0\r\n\r\n"),
        ("cut short", "5\r\nhello\r\n5\r\nhe"),
        ("without an end", "5\r\nhello\r\n"),
    ] {
        let chunks = format!("{chunks}{INNER}");
        let chunks = match case {
            "cut short" | "without an end" => &chunks[..chunks.len() - INNER.len()],
            _ => &chunks,
        };
        let heard = guarded.send("POST /broken", head, chunks.as_bytes()).await;
        assert!(!heard.statuses.contains(&200), "{case}: {}", heard.text);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for seen in guarded.origin.take() {
            assert!(
                !seen.whole && seen.target() == "/broken",
                "{case}: {seen:?}"
            );
        }
    }
    // A length that its sender does not keep is not kept towards the origin.
    let heard = guarded
        .send("POST /broken", b"Content-Length: 9\r\n", b"hello")
        .await;
    assert!(heard.statuses.is_empty(), "{}", heard.text);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(guarded.origin.take().iter().all(|seen| !seen.whole));
    // Trailers are nobody's headers.
    let trailers = "5\r\nhello\r\n0\r\nX-Agent-Id: evil\r\nX-Scope: all\r\n\r\n";
    let heard = guarded
        .send("POST /trailers", head, trailers.as_bytes())
        .await;
    assert!(!heard.text.contains("evil"), "{}", heard.text);
    let seen = guarded.seen("trailers");
    assert!(seen.is_none_or(|target| target == "/trailers"));
    guarded.deployment.stop().await;
}
