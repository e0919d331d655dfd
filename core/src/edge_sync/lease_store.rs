//! The leases' SQL.

use agentidp_verify::limit::Window;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::clock::{Now, from_ms};
use crate::ids::{AgentId, EdgeId, OrgId};
use crate::limits::{self, Debited};
use crate::tenants::{self, Tier};

/// For whom a lease is, as the database has it now.
pub(super) struct Subject {
    pub(super) in_service: bool,
    pub(super) tier: Tier,
    /// The latest entry that ends older leases, Unix seconds.
    pub(super) dead_until: Option<u64>,
}

/// The client and its tenant, if there is such a client of that tenant. Read anew for
/// each lease: what replicas keep may be a moment behind a downgrade.
pub(super) async fn subject(
    connection: &mut PgConnection,
    org_id: OrgId,
    client_id: AgentId,
) -> Result<Option<Subject>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT a.status = 'active' AND t.status = 'active' AS "in_service!",
                  (SELECT max(lifted_at) FROM revocations r
                    WHERE (r.kind = 'agent' AND r.id = a.agent_id::text)
                       OR (r.kind IN ('tenant', 'cap') AND r.id = a.org_id::text)
                       OR (r.kind = 'tier_cap' AND r.id = tt.tier)) AS lifted_at
             FROM agents a JOIN tenants t USING (org_id) JOIN tenant_tiers tt USING (org_id)
            WHERE a.agent_id = $1 AND a.org_id = $2"#,
        client_id.0,
        org_id.0,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(Subject {
        in_service: row.in_service,
        tier: tenants::tier_of(connection, org_id).await?,
        dead_until: row.lifted_at.map(|at| at.unix_timestamp().unsigned_abs()),
    }))
}

/// A lease that was debited.
pub(super) struct Row {
    pub(super) edge_id: EdgeId,
    pub(super) lease_id: Uuid,
    pub(super) org_id: OrgId,
    pub(super) client_id: AgentId,
    pub(super) granted: u64,
    pub(super) debited: Debited,
    pub(super) ends_ms: u64,
}

/// Writes a lease down; false where there is one of this id. One of nothing is
/// settled with that.
pub(super) async fn insert(connection: &mut PgConnection, row: &Row) -> Result<bool, sqlx::Error> {
    let written = sqlx::query!(
        "INSERT INTO edge_leases
                (edge_id, lease_id, org_id, client_id, granted, used, window_index, window_ms,
                 day_starts_ms, epoch, ends_at)
         VALUES ($1, $2, $3, $4, $5, CASE WHEN $5::bigint = 0 THEN 0 END, $6, $7, $8, $9, $10)
         ON CONFLICT DO NOTHING",
        row.edge_id.0,
        row.lease_id,
        row.org_id.0,
        row.client_id.0,
        signed(row.granted),
        row.debited.window.map(|window| signed(window.index)),
        signed(row.debited.window.map_or(1, |window| window.length_ms)),
        signed(row.debited.day_starts_ms),
        signed(row.debited.epoch),
        from_ms(row.ends_ms),
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// A lease that was settled just now.
pub(super) struct Settled {
    pub(super) org_id: OrgId,
    pub(super) granted: u64,
    pub(super) used: u64,
    pub(super) client_id: AgentId,
    pub(super) debited: Debited,
    /// The tenant's, unless that is gone.
    pub(super) tier: Option<String>,
}

/// Settles a lease; none where it was settled before. One that nobody knows yet is
/// written down as settled, and its question refused when it comes. A place that
/// says it used more than it had used all.
pub(super) async fn settle(
    connection: &mut PgConnection,
    edge_id: EdgeId,
    lease_id: Uuid,
    used: u64,
    now: Now,
) -> Result<Option<Settled>, sqlx::Error> {
    let settled = sqlx::query!(
        r#"INSERT INTO edge_leases AS l
                  (edge_id, lease_id, org_id, client_id, granted, used, window_ms, day_starts_ms,
                   epoch, ends_at)
           VALUES ($1, $2, $3, $3, 0, 0, 1, 0, 0, $5)
           ON CONFLICT (edge_id, lease_id) DO UPDATE
              SET used = least(l.granted, $4) WHERE l.used IS NULL
           RETURNING org_id AS "org_id: OrgId", client_id AS "client_id: AgentId", granted,
                     used AS "used!", window_index, window_ms, day_starts_ms, epoch,
                     (SELECT tier FROM tenant_tiers tt WHERE tt.org_id = l.org_id) AS tier"#,
        edge_id.0,
        lease_id,
        Uuid::nil(),
        signed(used),
        now.timestamp(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(settled.map(|row| Settled {
        org_id: row.org_id,
        granted: row.granted.unsigned_abs(),
        used: row.used.unsigned_abs(),
        client_id: row.client_id,
        debited: Debited {
            window: row.window_index.map(|index| Window {
                index: index.unsigned_abs(),
                length_ms: row.window_ms.unsigned_abs(),
            }),
            day_starts_ms: row.day_starts_ms.unsigned_abs(),
            epoch: row.epoch.unsigned_abs(),
        },
        tier: row.tier,
    }))
}

/// How many calls of the tenant's day, as it is now, edges have and may still use.
pub(crate) async fn outstanding(
    connection: &mut PgConnection,
    org_id: OrgId,
    now: Now,
) -> Result<u64, sqlx::Error> {
    // Whoever has not settled a while after the end does not come back.
    sqlx::query_scalar!(
        r#"SELECT coalesce(sum(granted), 0)::bigint AS "sum!"
             FROM edge_leases
            WHERE org_id = $1 AND used IS NULL AND ends_at > $2 AND day_starts_ms = $3"#,
        org_id.0,
        now.timestamp() - time::Duration::minutes(1),
        signed(limits::day_starts_ms(now)),
    )
    .fetch_one(connection)
    .await
    .map(i64::unsigned_abs)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
