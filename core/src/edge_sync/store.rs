//! The edges' SQL.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::model::{Edge, Filter, Life, LifeWord};
use super::register::RegisteredEdge;
use crate::clock::Now;
use crate::credentials::SecretDigest;
use crate::ids::EdgeId;
use crate::page::PageRequest;

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

/// What an active edge is known by.
pub(super) struct Active {
    pub(super) digest: SecretDigest,
    pub(super) place: String,
    pub(super) last_seen_at: Option<OffsetDateTime>,
}

pub(super) async fn active(
    executor: impl PgExecutor<'_>,
    edge_id: EdgeId,
) -> Result<Option<Active>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT secret_sha256, place, last_seen_at FROM edges
          WHERE edge_id = $1 AND revoked_at IS NULL",
        edge_id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.and_then(|row| {
        Some(Active {
            digest: SecretDigest::stored(&row.secret_sha256)?,
            place: row.place,
            last_seen_at: row.last_seen_at,
        })
    }))
}

pub(super) async fn count_active(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM edges WHERE revoked_at IS NULL"#)
        .fetch_one(executor)
        .await
}

struct Row {
    edge_id: EdgeId,
    place: String,
    created_at: OffsetDateTime,
    last_seen_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
}

impl From<Row> for Edge {
    fn from(row: Row) -> Self {
        Self {
            edge_id: row.edge_id,
            place: row.place,
            life: row
                .revoked_at
                .map_or(Life::Active, |at| Life::Revoked { at }),
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
        }
    }
}

pub(super) async fn one(
    executor: impl PgExecutor<'_>,
    edge_id: EdgeId,
) -> Result<Option<Edge>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT edge_id AS "edge_id: EdgeId", place, created_at, last_seen_at, revoked_at
             FROM edges WHERE edge_id = $1"#,
        edge_id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Edge::from))
}

/// The same, locked until the transaction ends.
pub(super) async fn lock(
    connection: &mut PgConnection,
    edge_id: EdgeId,
) -> Result<Option<Edge>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT edge_id AS "edge_id: EdgeId", place, created_at, last_seen_at, revoked_at
             FROM edges WHERE edge_id = $1 FOR UPDATE"#,
        edge_id.0,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Edge::from))
}

/// The same of the edge of this id, or the active one of this name.
pub(super) async fn lock_named(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<Edge>, sqlx::Error> {
    if let Ok(edge_id) = name.parse()
        && let Some(edge) = lock(&mut *connection, edge_id).await?
    {
        return Ok(Some(edge));
    }
    let row = sqlx::query_as!(
        Row,
        r#"SELECT edge_id AS "edge_id: EdgeId", place, created_at, last_seen_at, revoked_at
             FROM edges WHERE place = $1 AND revoked_at IS NULL FOR UPDATE"#,
        name,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Edge::from))
}

pub(super) async fn list(
    executor: impl PgExecutor<'_>,
    filter: &Filter,
    page: PageRequest,
) -> Result<Vec<Edge>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT edge_id AS "edge_id: EdgeId", place, created_at, last_seen_at, revoked_at
             FROM edges
            WHERE edge_id > $1
              AND ($3::text IS NULL
                   OR $3 = CASE WHEN revoked_at IS NULL THEN 'active' ELSE 'revoked' END)
              AND ($4::text IS NULL OR place = $4)
            ORDER BY edge_id
            LIMIT $2"#,
        page.after,
        page.fetch(),
        filter.status.map(LifeWord::word),
        filter.place,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Edge::from).collect())
}

pub(super) async fn revoke(
    connection: &mut PgConnection,
    edge_id: EdgeId,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE edges SET revoked_at = $2 WHERE edge_id = $1 AND revoked_at IS NULL",
        edge_id.0,
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// The last number that was given and committed.
pub(super) async fn head(executor: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    sqlx::query_scalar!("SELECT seq FROM change_head")
        .fetch_one(executor)
        .await
        .map(i64::unsigned_abs)
}
