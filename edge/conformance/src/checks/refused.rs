//! What anybody can send without a key: each is refused with 401 and a challenge
//! (RFC 6750 §3), whatever it is.

use serde_json::{Value, json};

use crate::bend::{jwk, nobodys_key};
use crate::checks::Check;
use crate::scene::{Scene, VERIFY, failed, must, skip};
use crate::wire::Answer;
use crate::{Stop, core_api};

pub(crate) fn checks<'a>(scene: &'a Scene<'_>) -> [(&'static str, Check<'a>); 8] {
    [
        (
            "without a token there is a challenge without an error",
            Box::pin(missing(scene)),
        ),
        (
            "a challenge that names the resource's metadata leads to it",
            Box::pin(metadata(scene)),
        ),
        ("what is no token is refused", Box::pin(malformed(scene))),
        (
            "two Authorization headers are refused",
            Box::pin(two_headers(scene)),
        ),
        (
            "a token in the query or in a form is refused",
            Box::pin(elsewhere(scene)),
        ),
        (
            "a token whose bytes were changed is refused",
            Box::pin(changed(scene)),
        ),
        (
            "a token that brings its own key or algorithm is refused",
            Box::pin(own_key(scene)),
        ),
        (
            "a token for another audience is refused",
            Box::pin(another_audience(scene)),
        ),
    ]
}

/// 401 with one challenge, which has the error.
fn refused(case: &str, answer: &Answer, error: Option<&str>) -> Result<(), Stop> {
    must(answer.status == 401, || {
        format!("{case} was answered with {}", answer.status)
    })?;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    let right = challenge.starts_with("Bearer")
        && match error {
            None => !challenge.contains("error="),
            Some(error) => challenge.contains(&format!(r#"error="{error}""#)),
        };
    must(right, || {
        format!("{case} was challenged with {challenge:?}")
    })?;
    must(answer.header("x-agent-id").is_none(), || {
        format!("{case} was told an identity")
    })
}

async fn missing(scene: &Scene<'_>) -> Result<(), Stop> {
    refused("no header", &scene.ask("GET", VERIFY, &[]).await?, None)?;
    refused("Basic", &scene.authorized_by("Basic YTpi").await?, None)
}

/// RFC 9728 §5.1.
async fn metadata(scene: &Scene<'_>) -> Result<(), Stop> {
    let answer = scene.ask("GET", VERIFY, &[]).await?;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    let named = challenge.split(r#"resource_metadata=""#).nth(1);
    let Some(url) = named.and_then(|rest| rest.split('"').next()) else {
        return Err(skip("its challenge names no metadata"));
    };
    let path = url::Url::parse(url).map(|url| url.path().to_owned());
    let path = path.map_err(|_| failed(format!("{url} is no URL")))?;
    let answer = scene.ask("GET", &path, &[]).await?;
    let body = answer.json();
    let right = answer.status == 200
        && body["resource"].is_string()
        && body["authorization_servers"].is_array();
    must(right, || {
        format!("{path} answered {} {body}", answer.status)
    })
}

async fn malformed(scene: &Scene<'_>) -> Result<(), Stop> {
    let long = format!("Bearer {}", "a".repeat(9_000));
    for text in [
        "Bearer x",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer eyJhbGciOiJub25lIn0.e30.AA",
        "Bearer a b",
        "Bearer é.è.ê",
        &long,
    ] {
        let case: String = text.chars().take(24).collect();
        let answer = scene.authorized_by(text).await?;
        // Some servers do not take such a header at all.
        if answer.status != 400 && answer.status != 431 {
            refused(&case, &answer, Some("invalid_token"))?;
        }
    }
    for text in ["Bearer", "Bearer "] {
        let status = scene.authorized_by(text).await?.status;
        must(status == 401, || format!("{text:?}: {status}"))?;
    }
    Ok(())
}

async fn two_headers(scene: &Scene<'_>) -> Result<(), Stop> {
    let good = format!("Bearer {}", scene.good()?);
    for [first, second] in [
        [&*good, &*good],
        [&good, "Bearer x"],
        ["Bearer x", &good],
        ["Basic YTpi", &good],
        [&good, ""],
    ] {
        let headers = [("Authorization", first), ("authorization", second)];
        let status = scene.ask("GET", VERIFY, &headers).await?.status;
        // An empty second one may be no second one.
        let fine = matches!(status, 400 | 401) || (second.is_empty() && status == 200);
        must(fine, || {
            let kinds = [first, second].map(|text| text.split(' ').next().unwrap_or_default());
            format!("{kinds:?}: {status}")
        })?;
    }
    Ok(())
}

/// RFC 6750 §2.2 and §2.3 are not offered (RFC 9700 §4.3.2).
async fn elsewhere(scene: &Scene<'_>) -> Result<(), Stop> {
    let good = scene.good()?;
    let form = format!("access_token={good}");
    let query = format!("{VERIFY}?{form}");
    let answer = scene.ask("GET", &query, &[]).await?;
    refused("in the query", &answer, None).or_else(|_| {
        must(matches!(answer.status, 400 | 401), || {
            format!("in the query: {}", answer.status)
        })
    })?;
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", &*form.len().to_string()),
    ];
    let answer = scene.send("POST", VERIFY, &headers, form.as_bytes());
    let status = answer.await?.status;
    must(status == 401, || format!("in a form: {status}"))
}

async fn changed(scene: &Scene<'_>) -> Result<(), Stop> {
    let (good, bent) = (scene.good()?, scene.bent()?);
    let (message, signature) = good.rsplit_once('.').unwrap_or_default();
    let flipped = |at: usize| {
        let other = if signature.as_bytes()[at] == b'A' {
            'B'
        } else {
            'A'
        };
        format!(
            "{message}.{}{other}{}",
            &signature[..at],
            &signature[at + 1..]
        )
    };
    let cases = [
        ("a signature's first byte", flipped(0)),
        ("a signature's middle", flipped(signature.len() / 2)),
        (
            "half a signature",
            format!("{message}.{}", &signature[..signature.len() / 2]),
        ),
        ("no signature", format!("{message}.")),
        ("two parts", message.to_owned()),
        ("four parts", format!("{good}.e30")),
        ("padding", format!("{good}==")),
        (
            "another agent",
            bent.claim("sub", json!("00000000-0000-0000-0000-000000000000"))
                .with_the_old_signature(),
        ),
        (
            "more scopes",
            bent.claim("scope", json!("everything"))
                .with_the_old_signature(),
        ),
        (
            "a higher limit",
            bent.claim(
                "agentidp",
                json!({ "rpm": 1_000_000, "policy": "", "grants": [] }),
            )
            .with_the_old_signature(),
        ),
        (
            "a later end",
            bent.claim("exp", json!(4_000_000_000_u64))
                .with_the_old_signature(),
        ),
    ];
    all_refused(scene, &cases).await
}

async fn own_key(scene: &Scene<'_>) -> Result<(), Stop> {
    let bent = scene.bent()?;
    let key = nobodys_key()?;
    let mut cases = vec![
        ("alg none", bent.header("alg", json!("none")).unsigned()),
        ("alg NONE", bent.header("alg", json!("NONE")).unsigned()),
        (
            "alg none with a signature",
            bent.header("alg", json!("none")).with_the_old_signature(),
        ),
        ("nobody's key", bent.signed_by(&key)),
        (
            "an unknown kid",
            bent.header("kid", json!("nobody")).signed_by(&key),
        ),
        ("no kid", bent.header("kid", Value::Null).signed_by(&key)),
        (
            "a jwk in the header",
            bent.header("jwk", jwk(&key)).signed_by(&key),
        ),
        (
            "a jku in the header",
            bent.header("jku", json!("https://keys.example/jwks.json"))
                .signed_by(&key),
        ),
        (
            "HS256 with an empty key",
            bent.header("alg", json!("HS256")).hmac(b""),
        ),
    ];
    if let Ok(core) = scene.core() {
        let published = core_api::published_key(core, &bent.header["kid"]).await?;
        let published = published.ok_or_else(|| failed("the core does not publish the key"))?;
        let x = published["x"].as_str().unwrap_or_default();
        let hs256 = bent.header("alg", json!("HS256"));
        cases.push(("HS256 keyed with the JWK's x", hs256.hmac(x.as_bytes())));
        cases.push((
            "HS256 keyed with the JWK",
            hs256.hmac(published.to_string().as_bytes()),
        ));
    }
    all_refused(scene, &cases).await
}

/// Each of `cases` is refused as an invalid token.
pub(super) async fn all_refused(scene: &Scene<'_>, cases: &[(&str, String)]) -> Result<(), Stop> {
    for (case, token) in cases {
        let answer = scene.with(VERIFY, token).await?;
        refused(case, &answer, Some("invalid_token"))?;
    }
    Ok(())
}

async fn another_audience(scene: &Scene<'_>) -> Result<(), Stop> {
    let core = scene.core()?;
    let issuer = scene.bent()?.claims["iss"].as_str().map(str::to_owned);
    let issuer = issuer.ok_or_else(|| failed("the token has no issuer"))?;
    let Some(token) = core_api::token_for(core, &issuer).await? else {
        return Err(skip("the client may have no token for the issuer itself"));
    };
    all_refused(scene, &[("a token for the issuer", token)]).await
}
