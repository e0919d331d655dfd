//! Migrations: safe to run twice, and from two processes at once. All of them
//! and the built-in policies go in by one transaction that holds a lock of its
//! own, so that a pooler in transaction mode does.

use sqlx::migrate::Migrator;
use sqlx::{Postgres, Transaction};

use crate::clock::Now;
use crate::database::Database;
use crate::policy;

static MIGRATIONS: Migrator = Migrator {
    locking: false,
    ..sqlx::migrate!("../migrations")
};

/// The advisory lock of whoever migrates; any number that nobody else uses.
pub const LOCK: i64 = 0x4167_656e_7449_6450;

/// Applies what has not been applied.
///
/// # Errors
/// Nothing has changed then.
pub async fn migrate(database: &Database, now: Now) -> Result<(), sqlx::migrate::MigrateError> {
    let mut transaction: Transaction<'static, Postgres> = database.begin().await?;
    // Another process's migrations may take their time.
    sqlx::query("SET LOCAL lock_timeout = 0")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    MIGRATIONS
        .run_direct(None, &mut *transaction, false)
        .await?;
    policy::install(&mut transaction, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// Whether every migration of this binary has been applied.
///
/// # Errors
/// The database cannot be reached.
pub async fn is_current(database: &Database) -> Result<bool, sqlx::Error> {
    let applied: Result<Vec<i64>, sqlx::Error> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(&mut *database.connection().await?)
            .await;
    match applied {
        Ok(applied) => Ok(MIGRATIONS
            .iter()
            .all(|migration| applied.contains(&migration.version))),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(false),
        Err(error) => Err(error),
    }
}
