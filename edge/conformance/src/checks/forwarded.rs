//! What is forwarded is one request that everybody reads alike, with the identity
//! that the edge found, or nothing.

use serde_json::Value;

use crate::Stop;
use crate::checks::Check;
use crate::checks::admitted::{SMUGGLED, SPELLINGS};
use crate::scene::{Scene, failed, must};

pub(crate) fn checks<'a>(scene: &'a Scene<'_>) -> [(&'static str, Check<'a>); 5] {
    [
        (
            "nothing is forwarded without a token",
            Box::pin(without(scene)),
        ),
        (
            "a request goes on as it is, with whose it is",
            Box::pin(whole(scene)),
        ),
        (
            "identity headers of the caller's are not forwarded, in any spelling",
            Box::pin(claimed(scene)),
        ),
        (
            "a path that could be read in two ways is not forwarded",
            Box::pin(paths(scene)),
        ),
        (
            "a body that could end in two ways is not forwarded",
            Box::pin(bodies(scene)),
        ),
    ]
}

async fn without(scene: &Scene<'_>) -> Result<(), Stop> {
    let status = scene.ask("GET", scene.echo()?, &[]).await?.status;
    must(status == 401, || format!("it was answered with {status}"))
}

/// What the origin saw of a request with a good token.
async fn seen(
    scene: &Scene<'_>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Value, Stop> {
    let bearer = format!("Bearer {}", scene.good()?);
    let length = body.len().to_string();
    let mut all = vec![("Authorization", &*bearer)];
    if !body.is_empty() {
        all.push(("Content-Length", &length));
    }
    all.extend_from_slice(headers);
    let answer = scene.send(method, path, &all, body.as_bytes()).await?;
    let seen = answer.json();
    must(answer.status == 200 && seen["headers"].is_object(), || {
        format!("{method} {path} was answered with {}", answer.status)
    })?;
    Ok(seen)
}

async fn whole(scene: &Scene<'_>) -> Result<(), Stop> {
    let (path, claims) = (scene.echo()?, scene.bent()?.claims);
    let target = format!("{path}?x=1&y=%2f");
    let seen = seen(scene, "POST", &target, &[("X-Other", "kept")], "the body").await?;
    let headers = &seen["headers"];
    for (what, is, expected) in [
        ("method", &seen["method"], "POST"),
        ("query", &seen["query"], "x=1&y=%2f"),
        ("body", &seen["body"], "the body"),
        ("x-other", &headers["x-other"], "kept"),
    ] {
        must(is == expected, || format!("the origin saw as {what}: {is}"))?;
    }
    let at_its_end = seen["path"]
        .as_str()
        .is_some_and(|seen| seen.ends_with(path));
    must(at_its_end, || format!("the origin saw {}", seen["path"]))?;
    for (header, claim) in [
        ("x-agent-id", "sub"),
        ("x-org-id", "org_id"),
        ("x-scope", "scope"),
    ] {
        must(headers[header] == claims[claim], || {
            format!("the origin saw as {header}: {}", headers[header])
        })?;
    }
    Ok(())
}

async fn claimed(scene: &Scene<'_>) -> Result<(), Stop> {
    let smuggled: Vec<(&str, &str)> = SPELLINGS.iter().map(|name| (*name, SMUGGLED)).collect();
    let seen = seen(scene, "GET", scene.echo()?, &smuggled, "").await?;
    must(!seen["headers"].to_string().contains(SMUGGLED), || {
        format!("the origin saw {}", seen["headers"])
    })
}

async fn paths(scene: &Scene<'_>) -> Result<(), Stop> {
    let base = scene.echo()?.trim_end_matches('/');
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
        "/a/%252e%252e/b",
        "/a/..;x/b",
    ] {
        let path = format!("{base}{path}");
        let answer = scene.with(&path, scene.good()?).await?;
        // What stands before the edge may have made it one path that all read alike.
        let seen = answer.json()["path"].as_str().map(str::to_owned);
        let plain = answer.status == 200 && seen.as_deref().is_some_and(is_plain);
        must(answer.status == 400 || plain, || {
            format!("{path}: {}, and the origin saw {seen:?}", answer.status)
        })?;
    }
    Ok(())
}

/// Whether nobody finds a dot segment or a backslash in `path`, however often it
/// is decoded: without an escape there is nothing to decode.
fn is_plain(path: &str) -> bool {
    let segments = path.split('/').map(|segment| segment.split(';').next());
    let dots = segments.flatten().any(|name| name == "." || name == "..");
    !dots && !path.contains(['\\', '%'])
}

/// Its name, a method, headers and a body.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

async fn bodies(scene: &Scene<'_>) -> Result<(), Stop> {
    let path = scene.echo()?;
    let bearer = format!("Bearer {}", scene.good()?);
    let cases: [Case<'_>; 4] = [
        (
            "a GET with a body",
            "GET",
            &[("Content-Length", "5")],
            "hello",
        ),
        (
            "a length and chunks",
            "POST",
            &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
            "0\r\n\r\n",
        ),
        (
            "two lengths",
            "POST",
            &[("Content-Length", "5"), ("Content-Length", "6")],
            "hello!",
        ),
        (
            "a length that is no number",
            "POST",
            &[("Content-Length", "+5")],
            "hello",
        ),
    ];
    for (case, method, headers, body) in cases {
        let headers = [&[("Authorization", &*bearer)], headers].concat();
        match scene.send(method, path, &headers, body.as_bytes()).await {
            Ok(answer) if (400..600).contains(&answer.status) => {}
            Ok(answer) => return Err(failed(format!("{case}: {}", answer.status))),
            // Closed without a word.
            Err(_) => {}
        }
    }
    Ok(())
}
