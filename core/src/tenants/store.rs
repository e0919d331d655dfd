//! The tenants' SQL.

use sqlx::{PgConnection, PgExecutor};

use super::model::{Filter, Status, Tenant, Tier};
use crate::clock::Now;
use crate::ids::OrgId;
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

pub(super) async fn one(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Option<Tenant>, sqlx::Error> {
    sqlx::query_as!(
        Tenant,
        r#"SELECT org_id AS "org_id: OrgId", name, tier, status AS "status: Status", created_at, updated_at
             FROM tenants JOIN tenant_tiers USING (org_id)
            WHERE org_id = $1"#,
        org_id.0,
    )
    .fetch_optional(executor)
    .await
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

/// Tenants, or that one alone which `only` names.
pub(super) async fn list(
    executor: impl PgExecutor<'_>,
    only: Option<OrgId>,
    filter: &Filter,
    page: PageRequest,
) -> Result<Vec<Tenant>, sqlx::Error> {
    sqlx::query_as!(
        Tenant,
        r#"SELECT org_id AS "org_id: OrgId", name, tier, status AS "status: Status", created_at, updated_at
             FROM tenants JOIN tenant_tiers USING (org_id)
            WHERE org_id > $1
              AND ($3::uuid IS NULL OR org_id = $3)
              AND ($4::text IS NULL OR status = $4)
              AND ($5::text IS NULL OR tier = $5)
              AND ($6::text IS NULL OR position(lower($6) IN lower(name)) > 0)
            ORDER BY org_id
            LIMIT $2"#,
        page.after,
        page.fetch(),
        only.map(|org_id| org_id.0),
        filter.status.map(Status::word),
        filter.tier,
        filter.q,
    )
    .fetch_all(executor)
    .await
}

pub(super) async fn update(
    connection: &mut PgConnection,
    org_id: OrgId,
    name: Option<&str>,
    status: Option<Status>,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE tenants
            SET name = coalesce($2, name), status = coalesce($3, status), updated_at = $4
          WHERE org_id = $1",
        org_id.0,
        name,
        status.map(Status::word),
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// The numbers of the tier that the tenant is on.
pub(crate) async fn tier_of(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Tier, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT tier, calls_per_day, tokens_per_day, tokens_per_month, requests_per_minute,
                token_lifetime_s, samples_per_day, policy_bytes, module_digest
           FROM tenant_tiers JOIN tiers USING (tier)
          WHERE org_id = $1",
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
