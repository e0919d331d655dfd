//! The tiers' own modules, built from `policies/` with this binary.

use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::clock::Now;

/// Tier and component. The operator's own tier is decided as an enterprise's.
const BUILT_IN: [(&str, &[u8]); 4] = [
    (
        "free",
        include_bytes!(concat!(env!("OUT_DIR"), "/free.component.wasm")),
    ),
    (
        "pro",
        include_bytes!(concat!(env!("OUT_DIR"), "/pro.component.wasm")),
    ),
    (
        "enterprise",
        include_bytes!(concat!(env!("OUT_DIR"), "/enterprise.component.wasm")),
    ),
    (
        "platform",
        include_bytes!(concat!(env!("OUT_DIR"), "/enterprise.component.wasm")),
    ),
];

/// Puts the built-in modules into the database, and gives each tier its own
/// where it has none or an older built-in one. One that an operator chose stays.
///
/// # Errors
/// The database's.
pub async fn install(connection: &mut PgConnection, now: Now) -> Result<(), sqlx::Error> {
    for (tier, component) in BUILT_IN {
        let digest = digest_of(component);
        sqlx::query!(
            "INSERT INTO policy_modules (digest, component, built_in, created_at)
             VALUES ($1, $2, true, $3) ON CONFLICT (digest) DO NOTHING",
            digest,
            component,
            now.timestamp(),
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "UPDATE tiers SET module_digest = $1
              WHERE tier = $2
                AND (module_digest IS NULL
                  OR module_digest IN (SELECT digest FROM policy_modules WHERE built_in))",
            digest,
            tier,
        )
        .execute(&mut *connection)
        .await?;
    }
    // The tiers that an operator added.
    let lasting = BUILT_IN.map(|(tier, _)| tier.to_owned());
    sqlx::query!(
        "UPDATE tiers SET module_digest = $1
          WHERE tier <> ALL ($2)
            AND module_digest <> $1
            AND module_digest IN (SELECT digest FROM policy_modules WHERE built_in)",
        enterprise_digest(),
        &lasting,
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// The module that a tier has which an operator adds: it holds nobody to more
/// than the tier's numbers do.
pub(crate) fn enterprise_digest() -> String {
    digest_of(BUILT_IN[2].1)
}

/// A component's name: the SHA-256 of its bytes, in hex.
pub(super) fn digest_of(component: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(component))
}
