//! Who lacks a scope is told every scope that the call needs.

use crate::checks::Check;
use crate::scene::{Scene, must, skip};
use crate::{Stop, core_api};

pub(crate) fn checks<'a>(scene: &'a Scene<'_>) -> [(&'static str, Check<'a>); 1] {
    [(
        "a token without a scope that the path needs is told which, in one challenge",
        Box::pin(narrow(scene)),
    )]
}

async fn narrow(scene: &Scene<'_>) -> Result<(), Stop> {
    let scoped = scene.target.scoped.as_ref();
    let scoped = scoped.ok_or_else(|| skip("it needs SCOPED_PATH and NARROW_SCOPE"))?;
    let core = scene.core()?;
    let token = core_api::token(core, &core.client, Some(&scoped.narrow)).await?;
    let answer = scene.with(&scoped.path, &token).await?;
    must(answer.status == 403, || {
        format!("{} was answered with {}", scoped.narrow, answer.status)
    })?;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    let named = challenge.split(r#" scope=""#).nth(1);
    let named = named.and_then(|rest| rest.split('"').next());
    let right = challenge.starts_with("Bearer")
        && challenge.contains(r#"error="insufficient_scope""#)
        && named.is_some_and(|scopes| scopes.split(' ').any(|scope| scope != scoped.narrow));
    must(right, || format!("the challenge is {challenge:?}"))?;
    let wide = scene.patiently("GET", &scoped.path, &[], scene.good()?);
    let status = wide.await?.status;
    must(status != 401 && status != 403, || {
        format!("all scopes were answered with {status}")
    })
}
