//! The tenants' SQL.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::model::{Filter, Life, Settings, Status, Tenant, Tier};
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::{OrgId, ResourceId};
use crate::page::PageRequest;

pub(super) async fn insert(
    connection: &mut PgConnection,
    org_id: OrgId,
    name: &str,
    tier: &str,
    platform: bool,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO tenants (org_id, name, status, platform, created_at, updated_at)
         VALUES ($1, $2, 'active', $3, $4, $4)",
        org_id.0,
        name,
        platform,
        now.timestamp(),
    )
    .execute(&mut *connection)
    .await?;
    set_tier(connection, org_id, tier, now).await
}

pub(super) async fn set_tier(
    connection: &mut PgConnection,
    org_id: OrgId,
    tier: &str,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO tenant_tiers (org_id, tier, changed_at) VALUES ($1, $2, $3)
         ON CONFLICT (org_id) DO UPDATE SET tier = excluded.tier, changed_at = excluded.changed_at",
        org_id.0,
        tier,
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

struct Row {
    org_id: OrgId,
    name: String,
    tier: String,
    status: Status,
    deletes_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl From<Row> for Tenant {
    fn from(row: Row) -> Self {
        Self {
            org_id: row.org_id,
            name: row.name,
            tier: row.tier,
            life: Life::of(row.status, row.deletes_at),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

pub(super) async fn one(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Option<Tenant>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT org_id AS "org_id: OrgId", name, tier, status AS "status: Status", deletes_at,
                  created_at, updated_at
             FROM tenants JOIN tenant_tiers USING (org_id)
            WHERE org_id = $1"#,
        org_id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Tenant::from))
}

/// The operator's tenant, whose record holds what concerns the whole service.
///
/// # Errors
/// 409 before `agentidp bootstrap`; or the database's.
pub(crate) async fn platform(connection: &mut PgConnection) -> Result<OrgId, Failure> {
    sqlx::query_scalar!(r#"SELECT org_id AS "org_id: OrgId" FROM tenants WHERE platform"#)
        .fetch_optional(connection)
        .await?
        .ok_or(Failure::Conflict(
            "There is no operator yet: run `agentidp bootstrap` first.".into(),
        ))
}

/// Whether there is such a tenant.
pub(crate) async fn is_there(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM tenants WHERE org_id = $1) AS "there!""#,
        org_id.0,
    )
    .fetch_one(executor)
    .await
}

/// The tenant, locked until the transaction ends, and whether it is the platform's.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT platform FROM tenants WHERE org_id = $1 FOR UPDATE",
        org_id.0
    )
    .fetch_optional(connection)
    .await
}

/// Tenants, or that one alone which `only` names. Needs a transaction.
pub(super) async fn list(
    connection: &mut PgConnection,
    only: Option<OrgId>,
    filter: &Filter,
    page: PageRequest,
) -> Result<Vec<Tenant>, sqlx::Error> {
    // Planned anew each time: a plan for all lists would not know which filters
    // there are, nor that a page is short, and might read every tenant.
    sqlx::query!("SET LOCAL plan_cache_mode = force_custom_plan")
        .execute(&mut *connection)
        .await?;
    // Both tables from the cursor on: whichever leads, what is before it is not read.
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT t.org_id AS "org_id: OrgId", name, tier, status AS "status: Status", deletes_at,
                  created_at, updated_at
             FROM tenants t JOIN tenant_tiers o ON o.org_id = t.org_id
            WHERE t.org_id > $1 AND o.org_id > $1
              AND ($3::uuid IS NULL OR t.org_id = $3)
              AND ($4::text IS NULL OR status = $4)
              AND ($5::text IS NULL OR tier = $5)
              AND ($6::text IS NULL OR position(lower($6) IN lower(name)) > 0)
            ORDER BY t.org_id
            LIMIT $2"#,
        page.after,
        page.fetch(),
        only.map(|org_id| org_id.0),
        filter.status.map(Status::word),
        filter.tier,
        filter.q,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Tenant::from).collect())
}

pub(super) async fn update(
    connection: &mut PgConnection,
    org_id: OrgId,
    name: Option<&str>,
    life: Option<Life>,
    now: Now,
) -> Result<(), sqlx::Error> {
    let deletes_at = match life {
        Some(Life::Deleting { deletes_at }) => Some(deletes_at),
        _ => None,
    };
    sqlx::query!(
        "UPDATE tenants
            SET name = coalesce($2, name),
                status = coalesce($3, status),
                deletes_at = CASE WHEN $3::text IS NULL THEN deletes_at ELSE $4 END,
                updated_at = $5
          WHERE org_id = $1",
        org_id.0,
        name,
        life.map(|life| life.status().word()),
        deletes_at,
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// The numbers of the tier that the tenant is on, within its own settings.
pub(crate) async fn tier_of(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Tier, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT tier, calls_per_day, tokens_per_day, tokens_per_month, requests_per_minute,
                  least(tiers.token_lifetime_s, tenants.token_lifetime_s) AS "token_lifetime_s!",
                  samples_per_day, policy_bytes, module_digest
             FROM tenant_tiers JOIN tiers USING (tier) JOIN tenants USING (org_id)
            WHERE org_id = $1"#,
        org_id.0,
    )
    .fetch_one(executor)
    .await?;
    Ok(Tier {
        name: row.tier,
        calls_per_day: row.calls_per_day.map(i64::unsigned_abs),
        tokens_per_day: row.tokens_per_day.map(i64::unsigned_abs),
        tokens_per_month: row.tokens_per_month.map(i64::unsigned_abs),
        requests_per_minute: row.requests_per_minute.map(i32::unsigned_abs),
        token_lifetime_s: row.token_lifetime_s.unsigned_abs(),
        samples_per_day: row.samples_per_day.unsigned_abs(),
        policy_bytes: row.policy_bytes.unsigned_abs(),
        module_digest: row.module_digest,
    })
}

/// What the tenant's administrators have set.
pub(super) async fn settings(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Option<Settings>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT token_lifetime_s,
                  (SELECT resource_id FROM resources r
                    WHERE r.org_id = t.org_id AND is_default) AS "default_resource: ResourceId"
             FROM tenants t
            WHERE org_id = $1"#,
        org_id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Settings {
        token_lifetime_s: row.token_lifetime_s.map(i32::unsigned_abs),
        default_resource: row.default_resource,
    }))
}

pub(super) async fn set_token_lifetime(
    connection: &mut PgConnection,
    org_id: OrgId,
    token_lifetime_s: Option<u32>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE tenants SET token_lifetime_s = $2 WHERE org_id = $1",
        org_id.0,
        token_lifetime_s.map(|life| i32::try_from(life).unwrap_or(i32::MAX)),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Deletes a tenant that has nothing any more; answers with its name.
pub(super) async fn delete(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<String, sqlx::Error> {
    sqlx::query!("DELETE FROM tenant_tiers WHERE org_id = $1", org_id.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar!(
        "DELETE FROM tenants WHERE org_id = $1 RETURNING name",
        org_id.0
    )
    .fetch_one(connection)
    .await
}
