//! The way of a request through the gate: token, revocations, limit, and the
//! revocations' age once more.

use std::rc::Rc;

use agentidp_gateway::credentials;
use agentidp_verify::Rejected;
use agentidp_verify::limit::{Spent, retry_after_s};
use agentidp_verify::permits::Counted;
use agentidp_verify::token::bearer;

use crate::call::{Call, Needs};
use crate::clock::core_ms;
use crate::tokens::Kept;
use crate::{feed, permits, report, tokens};

/// The length of a day, milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;

/// A request that may go on.
pub(crate) struct Admitted {
    pub(crate) token: Rc<Kept>,
    /// What its limits have left.
    pub(crate) counted: Counted,
    /// How old the revocations were, in milliseconds, where that is more than
    /// any other route would have taken: the core is away.
    pub(crate) view_age_ms: Option<u64>,
    /// When it was admitted, by the core's clock in Unix milliseconds.
    now_ms: u64,
    /// What its token took, and its limits, in milliseconds.
    took_ms: [u64; 2],
}

impl Admitted {
    /// What is left of each window, for `glue.js`: its limit, what remains, when it
    /// ends (Unix seconds), in how many seconds, how many seconds it has. The
    /// minute is the first, with a limit of -1 where there is none; then the day.
    pub(crate) fn figures(&self) -> Vec<f64> {
        let of = |spent: Spent, length_ms: u64| {
            let [limit, remaining, reset] = spent.figures();
            let left = retry_after_s(spent.ends_ms, self.now_ms);
            [limit, remaining, reset, left, length_ms.div_ceil(1_000)].map(|n| n as f64)
        };
        let mut figures = Vec::with_capacity(10);
        if let Some(minute) = self.counted.minute {
            figures.extend(of(minute, feed::window_ms()));
        }
        if let Some(day) = self.counted.day {
            if figures.is_empty() {
                figures.extend([-1.0; 5]);
            }
            figures.extend(of(day, DAY_MS));
        }
        figures
    }

    /// `verify` and `limit` of `Server-Timing`.
    pub(crate) fn took(&self) -> [f64; 2] {
        self.took_ms.map(|ms| ms as f64)
    }

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
    call.line.decided(token, admitted.as_ref().err());
    admitted
}

/// The same; leaves the `verified` token for the log.
async fn decide(
    call: &Call<'_>,
    needs: &Needs<'_>,
    verified: &mut Option<Rc<Kept>>,
) -> Result<Admitted, Rejected> {
    let token = read(call, needs, verified).await?;
    gate(&token, needs)?;
    let verify_ms = call.line.ms();

    let limit = permits::Limit {
        minute: feed::requests_per_minute(token.verified()),
        dead_until: feed::leases_dead_until(token.verified()),
        window_ms: feed::window_ms(),
    };
    let counted = permits::spend(call.env, token.verified().claims(), limit).await?;
    // Time has passed since: what is admitted is admitted on a view that is young
    // enough now, and on whatever it has learnt.
    let view_age_ms = feed::still_fresh(needs.away)?;
    gate(&token, needs)?;
    if let Some(age) = view_age_ms {
        feed::admitted_on_an_old_view(age);
    }
    Ok(Admitted {
        token,
        counted,
        view_age_ms,
        now_ms: core_ms(),
        took_ms: [verify_ms, call.line.ms().saturating_sub(verify_ms)],
    })
}

/// The token that a call brings, if it is good here and was not revoked. Its scopes
/// are not asked.
///
/// # Errors
/// Why not.
pub(crate) async fn known(call: &Call<'_>, needs: &Needs<'_>) -> Result<Rc<Kept>, Rejected> {
    let mut token = None;
    let known = read(call, needs, &mut token).await;
    if let Err(rejected) = &known {
        report::count(Some(rejected), token.as_deref());
    }
    call.line.decided(token, known.as_ref().err());
    known
}

async fn read(
    call: &Call<'_>,
    needs: &Needs<'_>,
    verified: &mut Option<Rc<Kept>>,
) -> Result<Rc<Kept>, Rejected> {
    let settings = call.settings;
    credentials::check(call.authorization, call.query)?;
    let presented = bearer(call.authorization)?;
    // The feed first: it brings the core's clock, by which the token is judged.
    let reached = feed::freshen(settings, call.context, needs.away).await;
    let token = tokens::verify(settings, presented).await?;
    *verified = Some(Rc::clone(&token));
    reached?;
    if is_good(&token, needs.resource, &[]) == Err(Rejected::Revoked) {
        feed::freshen_to_refuse(settings, needs.away).await?;
    }
    is_good(&token, needs.resource, &[])?;
    Ok(token)
}

/// Refuses a token that is for something else, was revoked, or lacks a scope.
pub(crate) fn gate(token: &Kept, needs: &Needs<'_>) -> Result<(), Rejected> {
    is_good(token, needs.resource, &needs.scopes)
}

fn is_good(token: &Kept, only: Option<&str>, scopes: &[String]) -> Result<(), Rejected> {
    let token = token.verified();
    if only.is_some_and(|only| only != token.claims().aud) {
        return Err(Rejected::Audience);
    }
    feed::gate(token, scopes)
}
