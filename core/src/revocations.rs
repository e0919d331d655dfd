//! What kills tokens before their time: entries for a token, a credential, an
//! agent or a tenant. The table is the truth; `revoked:<jti>` in the hot store
//! and the edges' feed derive from its rows.

use agentidp_verify::Claims;
use agentidp_verify::claims::LONGEST_LIFE_S;
use agentidp_verify::feed::{Entry, Kind};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use crate::clock::{Now, from_unix_s};
use crate::hot::Mark;
use crate::ids::OrgId;

/// How long a key stays revoked, in seconds: ten years.
const KEYS_KEPT_S: u64 = 10 * 366 * 86_400;

/// An entry to be made or lifted.
#[derive(Debug, Clone)]
pub struct Revocation {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) org_id: OrgId,
    pub(crate) lifted: bool,
    /// Of a [`Kind::Cap`] or a [`Kind::TierCap`].
    pub(crate) rpm: Option<u32>,
    /// Unix seconds.
    pub(crate) expires_at: u64,
}

impl Revocation {
    /// Kills every token that falls under `id` from now on. Tokens that live
    /// past the entry's end do not exist: a life is at most a day.
    pub fn of(kind: Kind, id: impl ToString, org_id: OrgId, now: Now) -> Self {
        Self {
            kind,
            id: id.to_string(),
            org_id,
            lifted: false,
            rpm: None,
            expires_at: now.s() + LONGEST_LIFE_S,
        }
    }

    /// Kills one token, which dies by itself at `exp` (Unix seconds).
    pub fn of_token(jti: &str, org_id: OrgId, exp: u64) -> Self {
        Self {
            kind: Kind::Token,
            id: jti.to_owned(),
            org_id,
            lifted: false,
            rpm: None,
            expires_at: exp,
        }
    }

    /// Kills whatever the key `kid` signed. `org_id` is the operator's tenant. It stays
    /// for longer than anybody keeps a key set that still has the key.
    pub fn of_key(kid: &str, org_id: OrgId, now: Now) -> Self {
        Self {
            expires_at: now.s() + KEYS_KEPT_S,
            ..Self::of(Kind::Key, kid, org_id, now)
        }
    }

    /// Holds the tenant's tokens so far to `rpm` requests a minute.
    pub fn cap(org_id: OrgId, rpm: u32, now: Now) -> Self {
        Self {
            rpm: Some(rpm),
            ..Self::of(Kind::Cap, org_id, org_id, now).lifted()
        }
    }

    /// Holds the tokens so far of every tenant on `tier` to `rpm` requests a minute.
    /// `org_id` is the operator's tenant: who is on the tier is not read.
    pub fn tier_cap(tier: &str, org_id: OrgId, rpm: u32, now: Now) -> Self {
        Self {
            rpm: Some(rpm),
            ..Self::of(Kind::TierCap, tier, org_id, now).lifted()
        }
    }

    /// Lets tokens that are issued from now on live.
    pub fn lifted(self) -> Self {
        Self {
            lifted: true,
            ..self
        }
    }
}

/// The hot store's mark of a revoked token, which dies by itself at `exp` (Unix
/// seconds).
pub(crate) fn mark(jti: &str, exp: u64) -> Mark {
    Mark {
        key: format!("revoked:{jti}"),
        expires_ms: exp.saturating_mul(1_000),
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Token => "token",
        Kind::Grant => "grant",
        Kind::Agent => "agent",
        Kind::Tenant => "tenant",
        Kind::Cap => "cap",
        Kind::TierCap => "tier_cap",
        Kind::Key => "key",
    }
}

fn kind(word: &str) -> Option<Kind> {
    [
        Kind::Token,
        Kind::Grant,
        Kind::Agent,
        Kind::Tenant,
        Kind::Cap,
        Kind::TierCap,
        Kind::Key,
    ]
    .into_iter()
    .find(|kind| self::word(*kind) == word)
}

/// Makes an entry, or lifts it as of `lifted_at` (Unix seconds), under the number
/// `seq`.
pub(crate) async fn put(
    connection: &mut PgConnection,
    revocation: &Revocation,
    seq: i64,
    lifted_at: u64,
    now: Now,
) -> Result<(), sqlx::Error> {
    let lifted_at = if revocation.lifted {
        let latest = latest_lifting(connection, revocation).await?;
        // Whoever got a token after that one has it dated the second after it.
        let least = latest.map_or(0, |latest| latest.unix_timestamp().unsigned_abs() + 1);
        // To the second, as `iat` is.
        Some(from_unix_s(lifted_at.max(least)))
    } else {
        None
    };
    sqlx::query!(
        "INSERT INTO revocations (kind, id, org_id, seq, revoked_at, lifted_at, expires_at, rpm)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (kind, id) DO UPDATE
            SET seq = excluded.seq, lifted_at = excluded.lifted_at, expires_at = excluded.expires_at,
                rpm = excluded.rpm,
                lifted_before = greatest(revocations.lifted_before, revocations.lifted_at)",
        word(revocation.kind),
        revocation.id,
        revocation.org_id.0,
        seq,
        now.timestamp(),
        lifted_at,
        from_unix_s(revocation.expires_at),
        revocation.rpm.map(|rpm| i32::try_from(rpm).unwrap_or(i32::MAX)),
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// The latest lifting that a token which falls under `revocation` may be dated by.
async fn latest_lifting(
    connection: &mut PgConnection,
    revocation: &Revocation,
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    if revocation.kind == Kind::TierCap {
        // Any tenant may be on the tier.
        return sqlx::query_scalar!(
            "SELECT max(greatest(lifted_at, lifted_before))
               FROM revocations
              WHERE kind IN ('agent', 'tenant')",
        )
        .fetch_one(connection)
        .await;
    }
    let agent = (revocation.kind == Kind::Agent).then_some(revocation.id.as_str());
    sqlx::query_scalar!(
        "SELECT max(greatest(lifted_at, lifted_before))
           FROM revocations
          WHERE org_id = $1 AND kind IN ('agent', 'tenant')
            AND (kind = 'tenant' OR $2::text IS NULL OR id = $2)",
        revocation.org_id.0,
        agent,
    )
    .fetch_one(connection)
    .await
}

/// Whether an entry kills a token with these claims. The rule is
/// [`agentidp_verify::revocations::falls_under`].
pub(crate) async fn is_revoked(
    executor: impl PgExecutor<'_>,
    claims: &Claims,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM revocations
                WHERE ((kind = 'token' AND id = $1)
                    OR (kind = 'grant' AND id = ANY ($2))
                    OR (kind = 'agent' AND id IN ($3, $4))
                    OR (kind = 'tenant' AND id = $5))
                  AND (lifted_at IS NULL OR lifted_at >= $6)) AS "revoked!""#,
        claims.jti,
        &claims.agentidp.grants,
        claims.sub,
        claims.client_id,
        claims.org_id,
        from_unix_s(claims.iat),
    )
    .fetch_one(executor)
    .await
}

/// The entries after `after` that still matter, in their order, and the number
/// of the last.
pub(crate) async fn after(
    executor: impl PgExecutor<'_>,
    after: u64,
    limit: i64,
    now: Now,
) -> Result<Vec<(u64, Entry)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT seq, kind, id, lifted_at, expires_at, rpm
           FROM revocations
          WHERE seq > $1 AND expires_at > $2
          ORDER BY seq
          LIMIT $3",
        i64::try_from(after).unwrap_or(i64::MAX),
        now.timestamp(),
        limit,
    )
    .fetch_all(executor)
    .await?;
    let entries = rows.into_iter().filter_map(|row| {
        let entry = Entry {
            kind: kind(&row.kind)?,
            id: row.id,
            lifted_at: row.lifted_at.map(|at| at.unix_timestamp().unsigned_abs()),
            expires_at: row.expires_at.unix_timestamp().unsigned_abs(),
            rpm: row.rpm.map(|rpm| rpm.unsigned_abs().into()),
        };
        Some((row.seq.unsigned_abs(), entry))
    });
    Ok(entries.collect())
}
