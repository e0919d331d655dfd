//! The way of a request through the gate: token, revocations, limit, and the
//! revocations' age once more.

use std::rc::Rc;

use agentidp_gateway::credentials;
use agentidp_verify::Rejected;
use agentidp_verify::limit::Spent;
use agentidp_verify::token::bearer;

use crate::call::{Call, Needs};
use crate::tokens::Kept;
use crate::{feed, permits, report, tokens};

/// A request that may go on.
pub(crate) struct Admitted {
    pub(crate) token: Rc<Kept>,
    /// What the minute has left, where it has a limit.
    pub(crate) spent: Option<Spent>,
    /// How old the revocations were, in milliseconds, where that is more than
    /// any other route would have taken: the core is away.
    pub(crate) view_age_ms: Option<u64>,
}

impl Admitted {
    /// `X-Revocation-Age`, in seconds.
    pub(crate) fn revocation_age(&self) -> Option<f64> {
        self.view_age_ms.map(|age| age.div_ceil(1_000) as f64)
    }
}

/// Admits a call by its `Authorization`.
///
/// # Errors
/// Why not.
pub(crate) async fn admit(call: &Call<'_>, needs: &Needs<'_>) -> Result<Admitted, Rejected> {
    let mut token = None;
    let admitted = decide(call, needs, &mut token).await;
    report::count(admitted.as_ref().err(), token.as_deref());
    admitted
}

/// The same; leaves the `verified` token for the counts.
async fn decide(
    call: &Call<'_>,
    needs: &Needs<'_>,
    verified: &mut Option<Rc<Kept>>,
) -> Result<Admitted, Rejected> {
    let settings = call.settings;
    credentials::check(call.authorization, call.query)?;
    let presented = bearer(call.authorization)?;
    // The feed first: it brings the core's clock, by which the token is judged.
    let reached = feed::freshen(settings, call.context, needs.away).await;
    let token = tokens::verify(settings, presented).await?;
    *verified = Some(Rc::clone(&token));
    reached?;
    if gate(&token, needs) == Err(Rejected::Revoked) {
        feed::freshen_to_refuse(settings, needs.away).await?;
    }
    gate(&token, needs)?;

    let claims = token.verified().claims();
    let spent = match feed::requests_per_minute(token.verified()) {
        None => None,
        Some(limit) => {
            Some(permits::spend(call.env, &claims.client_id, limit, feed::window_ms()).await?)
        }
    };
    // Time has passed since: what is admitted is admitted on a view that is young
    // enough now, and on whatever it has learnt.
    let view_age_ms = feed::still_fresh(needs.away)?;
    gate(&token, needs)?;
    if let Some(age) = view_age_ms {
        feed::admitted_on_an_old_view(age);
    }
    Ok(Admitted {
        token,
        spent,
        view_age_ms,
    })
}

/// Refuses a token that is for something else, was revoked, or lacks a scope.
pub(crate) fn gate(token: &Kept, needs: &Needs<'_>) -> Result<(), Rejected> {
    let token = token.verified();
    if needs
        .resource
        .is_some_and(|only| only != token.claims().aud)
    {
        return Err(Rejected::Audience);
    }
    feed::gate(token, &needs.scopes)
}
