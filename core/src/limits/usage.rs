//! What is used of the contract's limits, without using anything.

use serde::Serialize;
use time::OffsetDateTime;

use super::{Limit, LimitError, Used};
use crate::app::App;
use crate::clients::Client;
use crate::clock::{Now, from_ms};
use crate::ids::OrgId;
use crate::tenants::Tier;

/// How far a limit is used. Refused requests count in a window, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    /// So far; after the counters were lost never less than it was, and up to a
    /// mark's block more.
    used: u64,
    /// None where there is no limit.
    limit: Option<u64>,
    /// The same.
    left: Option<u64>,
    /// When it begins anew.
    #[serde(with = "time::serde::rfc3339")]
    resets_at: OffsetDateTime,
}

impl Usage {
    /// The same where `calls` were counted and are not used yet: they are not left
    /// either.
    pub(crate) const fn without(self, calls: u64) -> Self {
        Self {
            used: self.used.saturating_sub(calls),
            ..self
        }
    }
}

/// The tenant's calls and tokens of the day.
///
/// # Errors
/// Nobody knows.
pub(crate) async fn used_by_tenant(
    app: &App,
    org_id: OrgId,
    tier: &Tier,
    now: Now,
) -> Result<[Usage; 2], LimitError> {
    let limits = [
        Limit::calls(org_id, tier, now),
        Limit::tokens(org_id, tier, now),
    ];
    used(app, limits, now).await
}

/// The client's requests of the window, and its tokens of the month.
///
/// # Errors
/// Nobody knows.
pub(crate) async fn used_by_client(
    app: &App,
    client: &Client,
    now: Now,
) -> Result<[Usage; 2], LimitError> {
    let limits = [
        Limit::window(client, app.config.rate_limit_window_ms, now),
        Limit::month(client, now),
    ];
    used(app, limits, now).await
}

/// What the tenant's tokens of the day and the client's of the month would come to
/// with one more.
///
/// # Errors
/// Nobody knows.
pub(crate) async fn used_with_another(
    app: &App,
    client: &Client,
    now: Now,
) -> Result<[Used; 2], LimitError> {
    let limits = [
        Limit::tokens(client.org_id, &client.tier, now),
        Limit::month(client, now),
    ];
    let used = used(app, limits, now).await?;
    Ok(used.map(|usage| Used {
        used: usage.used + 1,
        limit: usage.limit,
    }))
}

async fn used<const N: usize>(
    app: &App,
    limits: [Limit; N],
    now: Now,
) -> Result<[Usage; N], LimitError> {
    let counters = limits.map(|limit| limit.counter);
    let counts = app.ledger.read(app, &counters, now).await?;
    let mut values = counts.values.into_iter();
    Ok(counters.map(|counter| {
        let used = values.next().unwrap_or_default();
        Usage {
            used,
            limit: counter.limit,
            left: counter.limit.map(|limit| limit.saturating_sub(used)),
            resets_at: from_ms(counter.tick.expires_ms),
        }
    }))
}
