//! Makes a tenant with its first administrator, in one change.

use serde_json::json;

use super::store;
use crate::agents::{self, NewAgent};
use crate::change::Change;
use crate::credentials::{self, IssuedCredential};
use crate::error::Failure;
use crate::ids::OrgId;
use crate::{scope, tiers};

/// The name of every tenant's first administrator.
const ADMINISTRATOR: &str = "administrator";

/// A new tenant, and the only look at its administrator's secret.
#[derive(Debug)]
pub struct NewTenant {
    /// The tenant.
    pub org_id: OrgId,
    /// The first administrator.
    pub administrator: IssuedCredential,
}

/// Makes the tenant `name` on `tier`.
///
/// # Errors
/// A name or tier that is none, or the database's.
pub async fn create(change: &mut Change<'_>, name: &str, tier: &str) -> Result<NewTenant, Failure> {
    super::model::check_name(name)?;
    check_tier(change, tier).await?;
    let scopes = scope::MANAGEMENT
        .iter()
        .map(|scope| (*scope).to_owned())
        .collect();
    insert(change, name, tier, false, scopes).await
}

/// Checks that a tenant can be put on `tier`, which stays until the change is over.
///
/// # Errors
/// 422, or the database's.
pub(super) async fn check_tier(change: &mut Change<'_>, tier: &str) -> Result<(), Failure> {
    if tiers::can_be_joined(change.connection(), tier).await? {
        return Ok(());
    }
    let why = "must be a tier that there is, and not the operator's own";
    Err(Failure::invalid("tier", why))
}

/// The same for any tier, with the scopes that its administrator gets.
pub(super) async fn insert(
    change: &mut Change<'_>,
    name: &str,
    tier: &str,
    platform: bool,
    scopes: Vec<String>,
) -> Result<NewTenant, Failure> {
    let now = change.now();
    let org_id = OrgId::new(now, &mut rand::rng());
    store::insert(change.connection(), org_id, name, tier, platform, now).await?;
    let details = json!({ "name": name, "tier": tier });
    change
        .record(org_id, "tenant.created", org_id, details)
        .await?;

    let administrator = NewAgent {
        scopes,
        ..NewAgent::named(ADMINISTRATOR)
    };
    let agent_id = agents::create(change, org_id, administrator).await?;
    let administrator = credentials::issue(change, org_id, agent_id, None).await?;
    Ok(NewTenant {
        org_id,
        administrator,
    })
}
