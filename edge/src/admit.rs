//! The way of a request through the gate: token, revocations, limit, and the
//! revocations' age once more.

use std::rc::Rc;

use agentidp_verify::limit::Spent;
use agentidp_verify::token::bearer;
use agentidp_verify::{Rejected, Verified};
use worker::{Context, Env, Headers};

use crate::settings::Settings;
use crate::{feed, permits, tokens};

/// A request that may go on.
pub(crate) struct Admitted {
    pub(crate) token: Rc<Verified>,
    /// What the minute has left, where it has a limit.
    pub(crate) spent: Option<Spent>,
}

/// Admits the request with these headers.
///
/// # Errors
/// Why not.
pub(crate) async fn admit(
    settings: &Rc<Settings>,
    env: &Env,
    context: &Context,
    headers: &Headers,
) -> Result<Admitted, Rejected> {
    let authorization = headers
        .get("Authorization")
        .map_err(|_| Rejected::Malformed)?;
    let presented = bearer(authorization.as_deref())?;
    // The feed first: it brings the core's clock, by which the token is judged.
    let reached = feed::freshen(settings, context).await;
    let token = tokens::verify(settings, presented).await?;
    reached?;
    if feed::gate(&token, &settings.required_scopes) == Err(Rejected::Revoked) {
        feed::freshen_to_refuse(settings).await?;
    }
    feed::gate(&token, &settings.required_scopes)?;

    let claims = token.claims();
    let spent = match feed::requests_per_minute(&token) {
        None => None,
        Some(limit) => {
            Some(permits::spend(env, &claims.client_id, limit, feed::window_ms()).await?)
        }
    };
    // Time has passed since: what is admitted is admitted on a view that is young
    // enough now, and on whatever it has learnt.
    feed::still_fresh()?;
    feed::gate(&token, &settings.required_scopes)?;
    Ok(Admitted { token, spent })
}
