//! A good token is admitted, and the identity that is shown is the token's own.

use crate::Stop;
use crate::checks::Check;
use crate::scene::{Scene, VERIFY, must, skip};

pub(crate) fn checks<'a>(scene: &'a Scene<'_>) -> [(&'static str, Check<'a>); 6] {
    [
        ("it says that it is healthy", Box::pin(health(scene))),
        (
            "a good token is admitted, with whose it is",
            Box::pin(identity(scene)),
        ),
        (
            "the scheme Bearer is read in any case",
            Box::pin(scheme(scene)),
        ),
        (
            "every method is verified alike",
            Box::pin(every_method(scene)),
        ),
        (
            "identity headers of the caller's are not believed, in any spelling",
            Box::pin(claimed(scene)),
        ),
        (
            "what is said of a limit is a limit, what is left and when it ends",
            Box::pin(figures(scene)),
        ),
    ]
}

async fn health(scene: &Scene<'_>) -> Result<(), Stop> {
    let answer = scene.ask("GET", "/health", &[]).await?;
    let (status, body) = (answer.status, answer.json());
    must(status == 200 && body["status"] == "ok", || {
        format!("/health answered {status} {body}")
    })
}

async fn identity(scene: &Scene<'_>) -> Result<(), Stop> {
    let claims = scene.bent()?.claims;
    let answer = scene.admitted().await?;
    for (header, claim) in [
        ("x-agent-id", "sub"),
        ("x-org-id", "org_id"),
        ("x-scope", "scope"),
    ] {
        let (shown, said) = (answer.header(header), &claims[claim]);
        must(shown == said.as_str(), || {
            format!("{header} is {shown:?}, and the token's {claim} is {said}")
        })?;
    }
    let body = answer.json();
    must(body == claims, || {
        format!("the body is not the token's claims: {body}")
    })?;
    must(answer.header("cache-control") == Some("no-store"), || {
        "the answer may be stored".to_owned()
    })
}

async fn scheme(scene: &Scene<'_>) -> Result<(), Stop> {
    let token = scene.good()?;
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        let header = format!("{scheme} {token}");
        let status = scene.authorized_by(&header).await?.status;
        must(status == 200, || format!("{scheme}: {status}"))?;
    }
    Ok(())
}

async fn every_method(scene: &Scene<'_>) -> Result<(), Stop> {
    let token = scene.good()?;
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let length = [("Content-Length", "0")];
        let with = scene
            .patiently(method, VERIFY, &length, token)
            .await?
            .status;
        let without = scene.ask(method, VERIFY, &length).await?.status;
        must((with, without) == (200, 401), || {
            format!("{method}: {with} with a token, {without} without one")
        })?;
    }
    Ok(())
}

async fn claimed(scene: &Scene<'_>) -> Result<(), Stop> {
    let claims = scene.bent()?.claims;
    let smuggled: Vec<(&str, &str)> = SPELLINGS.iter().map(|name| (*name, SMUGGLED)).collect();
    let answer = scene.patiently("GET", VERIFY, &smuggled, scene.good()?);
    let answer = answer.await?;
    let agent = answer.header("x-agent-id");
    must(
        answer.status == 200 && agent == claims["sub"].as_str(),
        || format!("{}, and the agent is {agent:?}", answer.status),
    )?;
    for name in ["x-agent-id", "x-org-id", "x-scope"] {
        let mut values = answer.values(name);
        must(!values.any(|value| value.contains(SMUGGLED)), || {
            format!("{name} is the caller's")
        })?;
    }
    Ok(())
}

/// What a caller pretends to be.
pub(super) const SMUGGLED: &str = "smuggled-identity";

/// Names that somebody behind the edge could take for ours.
pub(super) const SPELLINGS: [&str; 12] = [
    "X-Agent-Id",
    "x-agent-id",
    "X_Agent_Id",
    "x_agent-id",
    "X-AGENT_ID",
    "X.Agent.Id",
    "X-Org-Id",
    "X_ORG_ID",
    "x-org_id",
    "X-Scope",
    "X_Scope",
    "X~Scope",
];

async fn figures(scene: &Scene<'_>) -> Result<(), Stop> {
    let rpm = scene.bent()?.claims["agentidp"]["rpm"].as_u64();
    let answer = scene.admitted().await?;
    let number = |name| {
        answer
            .header(name)
            .and_then(|value| value.parse::<u64>().ok())
    };
    let shown = [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ]
    .map(number);
    let Some(rpm) = rpm else {
        return Err(skip("the token has no limit"));
    };
    let [Some(limit), Some(left), Some(_)] = shown else {
        return Err(Stop::Failed(format!("X-RateLimit-* are {shown:?}")));
    };
    must(limit <= rpm && left < limit, || {
        format!("{left} of {limit} are left, and the token says {rpm}")
    })
}
