//! A revoked token is refused within two seconds of the answer, and for ever.

use std::time::{Duration, Instant};

use crate::checks::Check;
use crate::scene::{Scene, VERIFY, failed, must};
use crate::{Stop, core_api};

/// From the answer of `/token/revoke` to the last request that is admitted.
const BOUND: Duration = Duration::from_secs(2);
/// How long one looks on after that.
const AFTER: Duration = Duration::from_millis(600);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(60);

pub(crate) fn checks<'a>(scene: &'a Scene<'_>) -> [(&'static str, Check<'a>); 1] {
    [(
        "a revoked token is refused within two seconds, and its sibling is not",
        Box::pin(revoked(scene)),
    )]
}

async fn revoked(scene: &Scene<'_>) -> Result<(), Stop> {
    let core = scene.core()?;
    let token = core_api::token(core, &core.client, None).await?;
    let before = scene.patiently("GET", VERIFY, &[], &token).await?.status;
    must(before == 200, || {
        format!("it was answered with {before} before")
    })?;
    core_api::revoke(core, &token).await?;
    let answered = Instant::now();
    let mut refusals = 0;
    while answered.elapsed() < BOUND + AFTER {
        let sent = answered.elapsed();
        match scene.with(VERIFY, &token).await?.status {
            200 | 429 if sent > BOUND => {
                return Err(failed(format!("it was taken {sent:?} after the answer")));
            }
            200 if refusals > 0 => {
                return Err(failed("it was taken again after it was refused"));
            }
            200 | 429 => {}
            401 => refusals += 1,
            status => return Err(failed(format!("it was answered with {status}"))),
        }
        tokio::time::sleep(PAUSE).await;
    }
    must(refusals > 0, || "it was never refused".to_owned())?;
    scene.admitted().await.map(|_| ())
}
