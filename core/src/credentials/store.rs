//! The credentials' SQL. Every statement names the tenant.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::issue::IssuedCredential;
use super::model::{Credential, Filter, Life, LifeWord};
use super::secret::SecretDigest;
use crate::clock::Now;
use crate::ids::{AgentId, CredentialId, OrgId};
use crate::page::PageRequest;

pub(super) async fn insert(
    connection: &mut PgConnection,
    org_id: OrgId,
    issued: &IssuedCredential,
) -> Result<(), sqlx::Error> {
    let digest = issued.client_secret.digest();
    sqlx::query!(
        "INSERT INTO credentials (credential_id, agent_id, org_id, secret_sha256, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        issued.credential_id.0,
        issued.agent_id.0,
        org_id.0,
        &digest.bytes()[..],
        issued.expires_at,
        issued.created_at,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

struct Row {
    credential_id: CredentialId,
    agent_id: AgentId,
    expires_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
    revoked_by: Option<AgentId>,
    replaced_by: Option<CredentialId>,
    created_at: OffsetDateTime,
    last_used_at: Option<OffsetDateTime>,
}

impl Row {
    fn into_credential(self, now: Now) -> Credential {
        let life = match (self.revoked_at, self.revoked_by) {
            (Some(at), Some(by)) => Life::Revoked { at, by },
            _ if self.expires_at <= now.timestamp() => Life::Expired,
            _ => Life::Active,
        };
        Credential {
            credential_id: self.credential_id,
            agent_id: self.agent_id,
            life,
            replaced_by: self.replaced_by,
            expires_at: self.expires_at,
            created_at: self.created_at,
            last_used_at: self.last_used_at,
        }
    }
}

pub(super) async fn one(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    agent_id: AgentId,
    credential_id: CredentialId,
    now: Now,
) -> Result<Option<Credential>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT credential_id AS "credential_id: CredentialId", agent_id AS "agent_id: AgentId",
                  expires_at, revoked_at, revoked_by AS "revoked_by: AgentId",
                  replaced_by AS "replaced_by: CredentialId", created_at, last_used_at
             FROM credentials
            WHERE org_id = $1 AND agent_id = $2 AND credential_id = $3"#,
        org_id.0,
        agent_id.0,
        credential_id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| row.into_credential(now)))
}

/// Deletes all that these agents have. What is replaced is of the same agent as
/// its successor, so that nothing is left that names what is gone.
pub(crate) async fn delete_of(
    connection: &mut PgConnection,
    org_id: OrgId,
    agents: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM credentials WHERE org_id = $1 AND agent_id = ANY ($2)",
        org_id.0,
        agents,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Credentials of the tenant, or of the one agent.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    agent_id: Option<AgentId>,
    filter: &Filter,
    page: PageRequest,
    now: Now,
) -> Result<Vec<Credential>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT credential_id AS "credential_id: CredentialId", agent_id AS "agent_id: AgentId",
                  expires_at, revoked_at, revoked_by AS "revoked_by: AgentId",
                  replaced_by AS "replaced_by: CredentialId", created_at, last_used_at
             FROM credentials
            WHERE org_id = $1 AND ($2::uuid IS NULL OR agent_id = $2) AND credential_id > $3
              AND ($5::text IS NULL
                   OR $5 = CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
                                WHEN expires_at <= $6 THEN 'expired'
                                ELSE 'active' END)
              AND ($7::timestamptz IS NULL OR expires_at < $7)
            ORDER BY credential_id
            LIMIT $4"#,
        org_id.0,
        agent_id.map(|id| id.0),
        page.after,
        page.fetch(),
        filter.status.map(LifeWord::word),
        now.timestamp(),
        filter.expires_before,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| row.into_credential(now))
        .collect())
}

/// How many credentials of all tenants end from `now` to `until` with no
/// successor.
pub(crate) async fn count_ending(
    executor: impl PgExecutor<'_>,
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "n!" FROM credentials
            WHERE revoked_at IS NULL AND replaced_by IS NULL
              AND expires_at > $1 AND expires_at <= $2"#,
        now,
        until,
    )
    .fetch_one(executor)
    .await
}

/// How many credentials of the agent work.
pub(super) async fn count_active(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    agent_id: AgentId,
    now: Now,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "n!" FROM credentials
            WHERE org_id = $1 AND agent_id = $2 AND revoked_at IS NULL AND expires_at > $3"#,
        org_id.0,
        agent_id.0,
        now.timestamp(),
    )
    .fetch_one(executor)
    .await
}

pub(super) async fn revoke(
    connection: &mut PgConnection,
    org_id: OrgId,
    agent_id: AgentId,
    credential_id: CredentialId,
    by: AgentId,
    now: Now,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE credentials SET revoked_at = $4, revoked_by = $5
          WHERE org_id = $1 AND agent_id = $2 AND credential_id = $3 AND revoked_at IS NULL",
        org_id.0,
        agent_id.0,
        credential_id.0,
        now.timestamp(),
        by.0,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends `old` at `ends`, as the predecessor of `new`; `false` where it has a
/// successor already.
pub(super) async fn replace(
    connection: &mut PgConnection,
    org_id: OrgId,
    old: CredentialId,
    new: CredentialId,
    ends: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE credentials SET replaced_by = $3, expires_at = $4
          WHERE org_id = $1 AND credential_id = $2 AND replaced_by IS NULL",
        org_id.0,
        old.0,
        new.0,
        ends,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The agent's credentials that work at `now`: id, digest, and end in Unix seconds.
pub(crate) async fn usable(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    agent_id: AgentId,
    now: Now,
) -> Result<Vec<(CredentialId, SecretDigest, u64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT credential_id AS "credential_id: CredentialId", secret_sha256, expires_at
             FROM credentials
            WHERE org_id = $1 AND agent_id = $2 AND revoked_at IS NULL AND expires_at > $3"#,
        org_id.0,
        agent_id.0,
        now.timestamp(),
    )
    .fetch_all(executor)
    .await?;
    let usable = rows.into_iter().filter_map(|row| {
        let digest = SecretDigest::stored(&row.secret_sha256)?;
        Some((
            row.credential_id,
            digest,
            row.expires_at.unix_timestamp().unsigned_abs(),
        ))
    });
    Ok(usable.collect())
}
