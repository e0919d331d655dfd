//! The tiers' SQL. A trigger has every replica forget its clients after a change.

use sqlx::{PgConnection, PgExecutor};

use super::model::{Numbers, PLATFORM, Tier, check_name};

struct Row {
    tier: String,
    calls_per_day: Option<i64>,
    tokens_per_day: Option<i64>,
    tokens_per_month: Option<i64>,
    requests_per_minute: Option<i32>,
    token_lifetime_s: i32,
    policy_bytes: i32,
    samples_per_day: i32,
    module_digest: Option<String>,
}

impl From<Row> for Tier {
    fn from(row: Row) -> Self {
        Self {
            tier: row.tier,
            numbers: Numbers {
                calls_per_day: row.calls_per_day,
                tokens_per_day: row.tokens_per_day,
                tokens_per_month: row.tokens_per_month,
                requests_per_minute: row.requests_per_minute,
                token_lifetime_s: row.token_lifetime_s,
                policy_bytes: row.policy_bytes,
                samples_per_day: row.samples_per_day,
            },
            module_digest: row.module_digest,
        }
    }
}

/// All of them: operators write tiers by hand, so there are few.
pub(super) async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<Tier>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT tier, calls_per_day, tokens_per_day, tokens_per_month, requests_per_minute,
                token_lifetime_s, policy_bytes, samples_per_day, module_digest
           FROM tiers
          ORDER BY tier",
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Tier::from).collect())
}

pub(super) async fn one(
    executor: impl PgExecutor<'_>,
    tier: &str,
) -> Result<Option<Tier>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT tier, calls_per_day, tokens_per_day, tokens_per_month, requests_per_minute,
                token_lifetime_s, policy_bytes, samples_per_day, module_digest
           FROM tiers
          WHERE tier = $1",
        tier,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(Tier::from))
}

/// The same, locked until the transaction ends.
pub(super) async fn lock(
    connection: &mut PgConnection,
    tier: &str,
) -> Result<Option<Tier>, sqlx::Error> {
    let there = sqlx::query_scalar!(
        r#"SELECT true AS "there!" FROM tiers WHERE tier = $1 FOR UPDATE"#,
        tier,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match there {
        Some(_) => one(connection, tier).await,
        None => Ok(None),
    }
}

/// How many tiers there are.
pub(super) async fn count(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM tiers"#)
        .fetch_one(executor)
        .await
}

/// Makes a tier whose module is `enterprise`'s built-in one; `false` where
/// somebody else has made it meanwhile.
pub(super) async fn insert(
    connection: &mut PgConnection,
    tier: &str,
    numbers: &Numbers,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO tiers (tier, calls_per_day, tokens_per_day, tokens_per_month,
                            requests_per_minute, token_lifetime_s, policy_bytes, samples_per_day,
                            module_digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT DO NOTHING",
        tier,
        numbers.calls_per_day,
        numbers.tokens_per_day,
        numbers.tokens_per_month,
        numbers.requests_per_minute,
        numbers.token_lifetime_s,
        numbers.policy_bytes,
        numbers.samples_per_day,
        crate::policy::enterprise_digest(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn update(
    connection: &mut PgConnection,
    tier: &str,
    numbers: &Numbers,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE tiers
            SET calls_per_day = $2, tokens_per_day = $3, tokens_per_month = $4,
                requests_per_minute = $5, token_lifetime_s = $6, policy_bytes = $7,
                samples_per_day = $8
          WHERE tier = $1",
        tier,
        numbers.calls_per_day,
        numbers.tokens_per_day,
        numbers.tokens_per_month,
        numbers.requests_per_minute,
        numbers.token_lifetime_s,
        numbers.policy_bytes,
        numbers.samples_per_day,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

pub(super) async fn delete(connection: &mut PgConnection, tier: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM tiers WHERE tier = $1", tier)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Whether a tenant can be put on it. It stays there until the transaction ends.
pub(crate) async fn can_be_joined(
    connection: &mut PgConnection,
    tier: &str,
) -> Result<bool, sqlx::Error> {
    if check_name(tier).is_err() {
        return Ok(false);
    }
    let there = sqlx::query_scalar!(
        r#"SELECT true AS "there!" FROM tiers WHERE tier = $1 AND tier <> $2 FOR KEY SHARE"#,
        tier,
        PLATFORM,
    )
    .fetch_optional(connection)
    .await?;
    Ok(there.is_some())
}
