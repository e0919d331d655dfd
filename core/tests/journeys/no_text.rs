//! Bytes that are no text, and JSON that is none, wherever a client may put them.

use crate::support::Deployment;
use crate::support::wire::say;

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_wherever_they_stand() {
    let deployment = Deployment::start().await;
    let token = deployment.token(&deployment.operator).await;
    let form = |body: &[u8]| {
        let head = format!(
            "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let tenants = |body: &[u8]| {
        let head = format!(
            "POST /api/v1/tenants HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: \
             Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let get = |line: &[u8], headers: &[u8]| {
        let rest = b"\r\nHost: a\r\nConnection: close\r\n";
        [&b"GET "[..], line, b" HTTP/1.1", rest, headers, b"\r\n"].concat()
    };
    let mut wrong = Vec::new();
    for (case, request, expected) in [
        ("form", form(b"grant_type=\xff\xfe"), 400),
        ("form, escaped", form(b"grant_type=%ff%fe"), 400),
        ("form, half an escape", form(b"grant_type=%f"), 400),
        (
            "form, a NUL",
            form(b"grant_type=client_credentials%00"),
            400,
        ),
        (
            "form, a name",
            form(b"\xff=a&grant_type=client_credentials"),
            400,
        ),
        ("form, many", form("a=1&".repeat(70).as_bytes()), 400),
        (
            "json",
            tenants(b"{\"name\":\"\xff\",\"tier\":\"free\"}"),
            400,
        ),
        ("json, UTF-16", tenants(b"\xff\xfe{\0}\0"), 400),
        (
            "json, a byte order mark",
            tenants(b"\xef\xbb\xbf{\"name\":\"a\",\"tier\":\"free\"}"),
            400,
        ),
        (
            "json, half a pair",
            tenants(br#"{"name":"\ud800","tier":"free"}"#),
            400,
        ),
        (
            "json, the other half",
            tenants(br#"{"name":"\udc00a","tier":"free"}"#),
            400,
        ),
        (
            "json, a NUL",
            tenants(br#"{"name":"a\u0000","tier":"free"}"#),
            422,
        ),
        (
            "json, overlong",
            tenants(b"{\"name\":\"\xc0\xaf\",\"tier\":\"free\"}"),
            400,
        ),
        (
            "json, a control character",
            tenants(b"{\"name\":\"a\x01\",\"tier\":\"free\"}"),
            400,
        ),
        (
            "json, a big number",
            tenants(br#"{"name":1e999,"tier":"free"}"#),
            400,
        ),
        (
            "json, a long number",
            tenants(format!("{{\"name\":{},\"tier\":\"free\"}}", "9".repeat(5_000)).as_bytes()),
            400,
        ),
        (
            "json, two values",
            tenants(br#"{"name":"a","tier":"free"}{}"#),
            400,
        ),
        (
            "json, a comment",
            tenants(br#"{"name":"a",/**/"tier":"free"}"#),
            400,
        ),
        ("json, NaN", tenants(br#"{"name":NaN,"tier":"free"}"#), 400),
        (
            "json, a member twice",
            tenants(br#"{"name":"a","n\u0061me":"b","tier":"free"}"#),
            400,
        ),
        (
            "json, within",
            tenants(br#"{"name":{"a":1,"a":2},"tier":"free"}"#),
            400,
        ),
        ("a path", get(b"/api/v1/agents/\xff", b""), 400),
        ("a path, escaped", get(b"/api/v1/agents/%ff", b""), 401),
        ("a query", get(b"/health?\xff", b""), 400),
        ("a header", get(b"/health", b"X: \xff\xfe\r\n"), 200),
    ] {
        let heard = say(&deployment.url, &request).await;
        if heard.statuses != [expected] {
            wrong.push((case, heard.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        deployment.events("tenant.created").await,
        1,
        "the operator's own"
    );
    deployment.is_well().await;
    deployment.stop().await;
}
