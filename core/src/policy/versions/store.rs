//! The versions' SQL. Every statement names the tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use super::model::{Shown, State, Upload};
use crate::clock::Now;
use crate::ids::{AgentId, OrgId};
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

/// The tenant's versions, the latest upload first.
pub(super) async fn list(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Vec<Shown>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT digest, module_digest, settings AS "settings: Json<BTreeMap<String, String>>", claims,
                  state AS "state: State", reason, uploaded_by AS "uploaded_by: AgentId", uploaded_at,
                  changed_at, activated_at
             FROM policy_versions
            WHERE org_id = $1
            ORDER BY uploaded_at DESC, digest"#,
        org_id.0,
    )
    .fetch_all(executor)
    .await?;
    let shown = rows.into_iter().map(|row| Shown {
        digest: row.digest,
        module_digest: row.module_digest,
        settings: row.settings.0,
        claims: row.claims,
        state: row.state,
        reason: row.reason,
        uploaded_by: row.uploaded_by,
        uploaded_at: row.uploaded_at,
        changed_at: row.changed_at,
        activated_at: row.activated_at,
    });
    Ok(shown.collect())
}

/// All of them, as they are exported.
pub(crate) async fn versions_of(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Vec<impl Serialize>, sqlx::Error> {
    list(executor, org_id).await
}

/// One of them.
pub(super) async fn one(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    digest: &str,
) -> Result<Option<Shown>, sqlx::Error> {
    // There are few of a tenant's.
    let mut all = list(executor, org_id).await?;
    let found = all.iter().position(|version| version.digest == digest);
    Ok(found.map(|at| all.swap_remove(at)))
}

/// Puts the module and the version there; what is there already stays.
pub(super) async fn insert(
    connection: &mut PgConnection,
    org_id: OrgId,
    upload: &Upload,
    uploaded_by: AgentId,
    now: Now,
) -> Result<(), sqlx::Error> {
    let module_digest = upload.module_digest();
    sqlx::query!(
        "INSERT INTO policy_modules (digest, component, built_in, created_at)
         VALUES ($1, $2, false, $3)
         -- Held until the version is there: whoever deletes its last one waits.
         ON CONFLICT (digest) DO UPDATE SET created_at = policy_modules.created_at",
        module_digest,
        upload.module,
        now.timestamp(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO policy_versions (org_id, digest, module_digest, settings, claims, state,
                                      uploaded_by, uploaded_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, 'uploaded', $6, $7, $7)",
        org_id.0,
        upload.digest(),
        module_digest,
        Json(&upload.settings) as _,
        &upload.claims,
        uploaded_by.0,
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Moves a version to `state`.
pub(super) async fn set_state(
    connection: &mut PgConnection,
    org_id: OrgId,
    digest: &str,
    state: State,
    reason: Option<&str>,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE policy_versions
            SET state = $3, reason = $4, changed_at = $5,
                activated_at = CASE WHEN $3 = 'active' THEN $5 ELSE activated_at END
          WHERE org_id = $1 AND digest = $2",
        org_id.0,
        digest,
        state as State,
        reason,
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Deletes all of them, before the tenant goes.
pub(crate) async fn delete_all(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<(), sqlx::Error> {
    for version in list(&mut *connection, org_id).await? {
        delete(connection, org_id, &version).await?;
    }
    Ok(())
}

/// Deletes a version, and its module where that was the last one that used it.
pub(super) async fn delete(
    connection: &mut PgConnection,
    org_id: OrgId,
    version: &Shown,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM policy_versions WHERE org_id = $1 AND digest = $2",
        org_id.0,
        version.digest,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM policy_modules m
          WHERE digest = $1 AND NOT built_in
            AND NOT EXISTS (SELECT FROM policy_versions v WHERE v.module_digest = m.digest)
            AND NOT EXISTS (SELECT FROM tiers t WHERE t.module_digest = m.digest)",
        version.module_digest,
    )
    .execute(connection)
    .await
    .map(|_| ())
}
