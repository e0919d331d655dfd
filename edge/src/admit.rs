//! The way of a request through the gate: token, revocations, limit, and the
//! revocations' age once more.

use std::rc::Rc;

use agentidp_verify::Rejected;
use agentidp_verify::limit::Spent;
use agentidp_verify::token::bearer;
use worker::{Context, Env};

use crate::settings::Settings;
use crate::tokens::Kept;
use crate::{feed, permits, tokens};

/// A request that may go on.
pub(crate) struct Admitted {
    pub(crate) token: Rc<Kept>,
    /// What the minute has left, where it has a limit.
    pub(crate) spent: Option<Spent>,
}

/// Admits a request by its `Authorization`.
///
/// # Errors
/// Why not.
pub(crate) async fn admit(
    settings: &Rc<Settings>,
    env: &Env,
    context: &Context,
    authorization: Option<&str>,
) -> Result<Admitted, Rejected> {
    let presented = bearer(authorization)?;
    // The feed first: it brings the core's clock, by which the token is judged.
    let reached = feed::freshen(settings, context).await;
    let token = tokens::verify(settings, presented).await?;
    reached?;
    if feed::gate(token.verified(), &settings.required_scopes) == Err(Rejected::Revoked) {
        feed::freshen_to_refuse(settings).await?;
    }
    feed::gate(token.verified(), &settings.required_scopes)?;

    let claims = token.verified().claims();
    let spent = match feed::requests_per_minute(token.verified()) {
        None => None,
        Some(limit) => {
            Some(permits::spend(env, &claims.client_id, limit, feed::window_ms()).await?)
        }
    };
    // Time has passed since: what is admitted is admitted on a view that is young
    // enough now, and on whatever it has learnt.
    feed::still_fresh()?;
    feed::gate(token.verified(), &settings.required_scopes)?;
    Ok(Admitted { token, spent })
}
