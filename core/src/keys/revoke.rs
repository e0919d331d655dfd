//! Revokes a signing key by its id: edges refuse whatever it signed.

use serde_json::json;

use crate::change::Change;
use crate::error::Failure;
use crate::revocations::Revocation;
use crate::tenants;

/// Revokes the key `kid`. Another one must be signing already: edges believe nothing
/// that a revoked key says, the feed included.
///
/// # Errors
/// 422 for what is no key's id; 409 where there is no operator yet.
pub async fn revoke(mut change: Change<'_>, kid: &str) -> Result<(), Failure> {
    // RFC 7638: a thumbprint, SHA-256 in base64url.
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if kid.len() != 43 || !kid.bytes().all(letters) {
        return Err(Failure::invalid("kid", "must be a key's thumbprint"));
    }
    let platform = tenants::platform(change.connection()).await?;
    let now = change.now();
    change.revoke(Revocation::of_key(kid, platform, now));
    change
        .record(platform, "key.revoked", kid, json!({}))
        .await?;
    change.commit().await
}
