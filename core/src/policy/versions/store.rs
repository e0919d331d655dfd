//! The versions' SQL. Every statement names the tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::ids::OrgId;
use crate::policy::{InForce, Version};

/// The versions that the tenant's decisions ask.
pub(crate) async fn in_force(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<InForce, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT digest, module_digest, settings AS "settings: Json<BTreeMap<String, String>>", claims,
                  state = 'active' AS "active!"
             FROM policy_versions
            WHERE org_id = $1 AND state IN ('active', 'shadow')"#,
        org_id.0,
    )
    .fetch_all(connection)
    .await?;
    let mut in_force = InForce::default();
    for row in rows {
        let version = Arc::new(Version {
            digest: row.digest,
            module_digest: row.module_digest,
            settings: row.settings.0.into_iter().collect(),
            claims: row.claims,
        });
        if row.active {
            in_force.active = Some(version);
        } else {
            in_force.shadow = Some(version);
        }
    }
    Ok(in_force)
}
