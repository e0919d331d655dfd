//! The edges' SQL.

use sqlx::{PgConnection, PgExecutor};

use super::register::RegisteredEdge;
use crate::clock::Now;
use crate::credentials::SecretDigest;
use crate::ids::{EdgeId, OrgId};

pub(super) async fn insert(
    connection: &mut PgConnection,
    edge: &RegisteredEdge,
    place: &str,
    now: Now,
) -> Result<(), sqlx::Error> {
    let digest = edge.secret.digest();
    sqlx::query!(
        "INSERT INTO edges (edge_id, place, secret_sha256, created_at) VALUES ($1, $2, $3, $4)",
        edge.edge_id.0,
        place,
        &digest.bytes()[..],
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

pub(super) async fn digest(
    executor: impl PgExecutor<'_>,
    edge_id: EdgeId,
) -> Result<Option<SecretDigest>, sqlx::Error> {
    let stored = sqlx::query_scalar!(
        "SELECT secret_sha256 FROM edges WHERE edge_id = $1",
        edge_id.0
    )
    .fetch_optional(executor)
    .await?;
    Ok(stored.and_then(|bytes| SecretDigest::stored(&bytes)))
}

/// The operator's tenant, whose record holds what concerns the whole service.
pub(super) async fn platform(connection: &mut PgConnection) -> Result<Option<OrgId>, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT org_id AS "org_id: OrgId" FROM tenants WHERE platform"#)
        .fetch_optional(connection)
        .await
}

/// The last number that was given and committed.
pub(super) async fn head(executor: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    sqlx::query_scalar!("SELECT seq FROM change_head")
        .fetch_one(executor)
        .await
        .map(i64::unsigned_abs)
}
