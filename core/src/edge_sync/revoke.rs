//! Takes a place of the edge out of service.

use serde_json::json;

use super::model::{Edge, Life};
use super::store;
use crate::change::Change;
use crate::error::Failure;
use crate::tenants;

/// Revokes `edge`, which `change` has locked: its secret opens nothing from then on.
/// `false` where it was revoked before.
///
/// # Errors
/// The database's.
pub(super) async fn revoke(change: &mut Change<'_>, edge: &Edge) -> Result<bool, Failure> {
    if matches!(edge.life, Life::Revoked { .. }) {
        return Ok(false);
    }
    let now = change.now();
    store::revoke(change.connection(), edge.edge_id, now).await?;
    let platform = tenants::platform(change.connection()).await?;
    let details = json!({ "place": edge.place });
    change
        .record(platform, "edge.revoked", edge.edge_id, details)
        .await?;
    Ok(true)
}
