//! A limit admits what it says in a window and not one call more; and says so.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use crate::bend::Bent;
use crate::checks::Check;
use crate::scene::{Scene, VERIFY, failed, must, since_1970, skip};
use crate::wire::Answer;
use crate::{Stop, core_api};

/// A higher limit is not spent.
const HIGHEST: u64 = 2_000;
/// How many requests are under way at a time.
const SIDE_BY_SIDE: usize = 16;
/// What is left of a window that one begins in, at least.
const ROOM_S: u64 = 3;

pub(crate) fn checks<'a>(scene: &'a Scene<'_>) -> [(&'static str, Check<'a>); 1] {
    [(
        "a limit admits exactly what it says, and refuses with when to come back",
        Box::pin(exact(scene)),
    )]
}

async fn exact(scene: &Scene<'_>) -> Result<(), Stop> {
    let core = scene.core()?;
    let client = scene.target.limited.as_ref().unwrap_or(&core.client);
    let token = core_api::token(core, client, None).await?;
    let limit = Bent::of(&token)?.claims["agentidp"]["rpm"].as_u64();
    let limit = limit.ok_or_else(|| skip("the client has no limit"))?;
    if limit > HIGHEST {
        let why = format!("its limit is {limit}, more than {HIGHEST}: give a LIMITED_CLIENT_ID");
        return Err(skip(why));
    }
    let window = fresh_window(scene, &token).await?;

    // The first one has been admitted in this window already.
    let (mut admitted, mut asked) = (1, 1);
    let mut refusal = None;
    while now_s()? < window.ends_s && (admitted < limit || refusal.is_none()) {
        must(asked < 4 * limit + 100, || {
            format!("{admitted} of {limit} were admitted of {asked}")
        })?;
        let some = stream::iter(0..SIDE_BY_SIDE).map(|_| scene.with(VERIFY, &token));
        let answers: Vec<_> = some.buffer_unordered(SIDE_BY_SIDE).collect().await;
        for answer in answers {
            let answer = answer?;
            asked += 1;
            match (answer.status, reset(&answer)) {
                (200, Some(ends_s)) if ends_s == window.ends_s => admitted += 1,
                (200, Some(_)) => {} // The next window has begun.
                (429, _) => refusal = Some(answer),
                (status, _) => return Err(failed(format!("it was answered with {status}"))),
            }
        }
    }
    must(admitted <= limit, || {
        format!("{admitted} were admitted, and the limit is {limit}")
    })?;
    let refusal = refusal.ok_or_else(|| failed("nobody was refused"))?;
    must(admitted == limit, || {
        format!("only {admitted} of {limit} were admitted, of {asked} that asked")
    })?;
    let number = |name| {
        refusal
            .header(name)
            .and_then(|value| value.parse::<u64>().ok())
    };
    must(number("x-ratelimit-remaining") == Some(0), || {
        "a refusal does not say that nothing is left".to_owned()
    })?;
    must(
        number("retry-after").is_some_and(|s| (1..=60).contains(&s)),
        || "a refusal does not say when to come back".to_owned(),
    )
}

struct Window {
    ends_s: u64,
}

/// The first call of a window that has time left.
async fn fresh_window(scene: &Scene<'_>, token: &str) -> Result<Window, Stop> {
    let first = scene.patiently("GET", VERIFY, &[], token).await?;
    let ends_s = reset(&first).ok_or_else(|| failed("no X-RateLimit-Reset"))?;
    let left = Duration::from_secs(ends_s).saturating_sub(since_1970()?);
    tokio::time::sleep(left + Duration::from_millis(50)).await;
    for _ in 0..10 {
        let answer = scene.with(VERIFY, token).await?;
        match (answer.status, reset(&answer)) {
            // By the edge's clock, which is not this machine's.
            (200, Some(now)) if now > ends_s => {
                must(now.saturating_sub(now_s()?) >= ROOM_S, || {
                    "its windows are too short to be spent".to_owned()
                })?;
                return Ok(Window { ends_s: now });
            }
            (200 | 429 | 503, _) => tokio::time::sleep(Duration::from_millis(200)).await,
            (status, _) => return Err(failed(format!("it was answered with {status}"))),
        }
    }
    Err(failed("no new window begins when the last one has ended"))
}

fn reset(answer: &Answer) -> Option<u64> {
    answer.header("x-ratelimit-reset")?.parse().ok()
}

fn now_s() -> Result<u64, Stop> {
    Ok(since_1970()?.as_secs())
}
