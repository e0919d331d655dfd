//! The resources' SQL. Every statement names the tenant.

use sqlx::{PgConnection, PgExecutor};

use super::model::{NewResource, Resource, spelling};
use crate::clock::Now;
use crate::ids::{OrgId, ResourceId};
use crate::page::PageRequest;

/// Makes a resource, which is not the default yet.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    org_id: OrgId,
    resource_id: ResourceId,
    new: &NewResource,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO resources (resource_id, org_id, identifier, spelling, name, scopes, is_default,
                                created_at, updated_at)
         VALUES ($1, $2, $3, $7, $4, $5, NOT EXISTS (SELECT FROM resources WHERE org_id = $2),
                 $6, $6)",
        resource_id.0,
        org_id.0,
        new.identifier,
        new.name.as_ref().unwrap_or(&new.identifier),
        &new.scopes,
        now.timestamp(),
        spelling(&new.identifier),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Makes one the default, and no other; `false` where the tenant has no such one,
/// and then the change must not be committed.
pub(crate) async fn set_default(
    connection: &mut PgConnection,
    org_id: OrgId,
    resource_id: ResourceId,
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "UPDATE resources SET is_default = false WHERE org_id = $1 AND is_default",
        org_id.0,
    )
    .execute(&mut *connection)
    .await?;
    let done = sqlx::query!(
        "UPDATE resources SET is_default = true WHERE org_id = $1 AND resource_id = $2",
        org_id.0,
        resource_id.0,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn update(
    connection: &mut PgConnection,
    org_id: OrgId,
    resource_id: ResourceId,
    name: Option<&str>,
    scopes: Option<&[String]>,
    now: Now,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE resources
            SET name = coalesce($3, name), scopes = coalesce($4, scopes), updated_at = $5
          WHERE org_id = $1 AND resource_id = $2",
        org_id.0,
        resource_id.0,
        name,
        scopes,
        now.timestamp(),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

pub(super) async fn delete(
    connection: &mut PgConnection,
    org_id: OrgId,
    resource_id: ResourceId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM resources WHERE org_id = $1 AND resource_id = $2",
        org_id.0,
        resource_id.0,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Deletes all that the tenant has.
pub(crate) async fn delete_all(
    connection: &mut PgConnection,
    org_id: OrgId,
) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM resources WHERE org_id = $1", org_id.0)
        .execute(connection)
        .await
        .map(|_| ())
}

pub(super) async fn one(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    resource_id: ResourceId,
) -> Result<Option<Resource>, sqlx::Error> {
    sqlx::query_as!(
        Resource,
        r#"SELECT resource_id AS "resource_id: ResourceId", identifier, name, scopes,
                  is_default AS "default", created_at, updated_at
             FROM resources
            WHERE org_id = $1 AND resource_id = $2"#,
        org_id.0,
        resource_id.0,
    )
    .fetch_optional(executor)
    .await
}

pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
    page: PageRequest,
) -> Result<Vec<Resource>, sqlx::Error> {
    sqlx::query_as!(
        Resource,
        r#"SELECT resource_id AS "resource_id: ResourceId", identifier, name, scopes,
                  is_default AS "default", created_at, updated_at
             FROM resources
            WHERE org_id = $1 AND resource_id > $2
            ORDER BY resource_id
            LIMIT $3"#,
        org_id.0,
        page.after,
        page.fetch(),
    )
    .fetch_all(executor)
    .await
}

/// How many resources the tenant has.
pub(super) async fn count(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "n!" FROM resources WHERE org_id = $1"#,
        org_id.0
    )
    .fetch_one(executor)
    .await
}

/// Every scope that one of the tenant's resources defines.
pub(crate) async fn defined_scopes(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT unnest(scopes) AS "scope!" FROM resources WHERE org_id = $1"#,
        org_id.0,
    )
    .fetch_all(executor)
    .await
}

/// Identifier, scopes and whether it is the default, of each resource.
pub(crate) async fn of_tenant(
    executor: impl PgExecutor<'_>,
    org_id: OrgId,
) -> Result<Vec<(String, Vec<String>, bool)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT identifier, scopes, is_default FROM resources WHERE org_id = $1 ORDER BY resource_id",
        org_id.0,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.identifier, row.scopes, row.is_default))
        .collect())
}
