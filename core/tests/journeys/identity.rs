//! Whatever headers a caller sends, the origin hears from the edge who is calling,
//! and from nobody else.

use crate::support::guarded::Guarded;
use crate::support::wire::say;

#[tokio::test]
async fn no_header_of_the_callers_says_who_is_calling() {
    let guarded = Guarded::start().await;
    for headers in [
        &b"X-Agent-Id: evil\r\nX-Org-Id: evil\r\nX-Scope: evil\r\n"[..],
        b"x-AGENT-id: evil\r\nX-Agent-Id: evil\r\nX-Agent-Id: evil\r\n",
        b"X_Agent_Id: evil\r\nX-Agent_Id: evil\r\nX.Agent.Id: evil\r\n",
        b"X-Agent-Id : evil\r\nX-Scope\t: evil\r\n",
        b"X-Fine: a\r\n X-Agent-Id: evil\r\n",
        b"X-Fine: a\nX-Agent-Id: evil\r\n",
        // RFC 9110 §7.6.1: what Connection names goes no further. Ours does.
        b"Connection: x-agent-id, x-org-id, x-scope\r\nX-Agent-Id: evil\r\n",
        b"Connection: X-Agent-Id\r\nConnection: close, X-Scope\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Expect: 100-continue\r\nTE: trailers\r\nKeep-Alive: timeout=9\r\n",
        // By which some origins take another method or path than what was judged.
        b"X-HTTP-Method-Override: evil\r\nX_Method_Override: evil\r\nX-HTTP-Method: evil\r\n",
        b"X-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\n",
        b"Proxy-Connection: x\r\nProxy-Authorization: Basic YTpi\r\n",
    ] {
        let case = headers.escape_ascii().to_string();
        let heard = guarded.send("GET /h", headers, b"").await;
        assert_eq!(heard.statuses, [200], "{case}: {}", heard.text);
        let seen = guarded.origin.take();
        assert_eq!(seen.len(), 1, "{case}");
        let doubts = seen[0].doubts();
        assert!(doubts.is_empty(), "{case}: {doubts:?}");
        assert_eq!(
            seen[0].values("x-agent-id"),
            [&guarded.tenant.agent.id],
            "{case}"
        );
        let head = seen[0].head.to_ascii_lowercase();
        for line in head.lines().filter(|line| line.contains("evil")) {
            assert!(line.starts_with("x-fine: "), "{case}: {line}");
        }
        for gone in [
            "connection",
            "expect",
            "te",
            "keep-alive",
            "upgrade",
            "http2-settings",
        ] {
            assert!(seen[0].values(gone).is_empty(), "{case}: {head}");
        }
    }
    // A header that Connection names goes no further, whatever it is.
    let named = b"Connection: x-mine\r\nX-Mine: 1\r\nX-Other: 2\r\n";
    guarded.send("GET /h", named, b"").await;
    let seen = guarded.origin.take();
    assert_eq!(
        (
            seen[0].values("x-mine").len(),
            seen[0].values("x-other").len()
        ),
        (0, 1)
    );
    // What is no header is not passed on, and neither is a second token or one in
    // the query.
    for headers in [
        &b"X-Ag\xc3\xa9nt: a\r\n"[..],
        b"X: a\x0bb\r\n",
        b"X: a\x7f\r\n",
        b"Authorization: Bearer x\r\n",
        b"Authorization: Basic YTpi\r\n",
    ] {
        let case = headers.escape_ascii().to_string();
        let heard = guarded.send("GET /h", headers, b"").await;
        assert!(
            matches!(heard.statuses[..], [400 | 401]),
            "{case}: {}",
            heard.text
        );
        assert_eq!(guarded.seen(&case), None, "{case}");
    }
    let query = format!(
        "GET /h?access_token={} HTTP/1.1\r\nHost: a\r\n\r\n",
        guarded.token
    );
    assert_eq!(say(&guarded.edge, query.as_bytes()).await.statuses, [400]);
    assert_eq!(guarded.seen("a token in the query"), None);
    guarded.deployment.stop().await;
}
