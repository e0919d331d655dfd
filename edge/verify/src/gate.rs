//! The last question before a call goes through: is this verified token good
//! for this call, now?

use crate::rejected::Rejected;
use crate::revocations::Revocations;
use crate::token::Verified;

/// Refuses a token that was revoked, or that lacks one of `needed`.
///
/// # Errors
/// [`Rejected::Revoked`], [`Rejected::InsufficientScope`].
pub fn admit<S: AsRef<str>>(
    token: &Verified,
    revocations: &Revocations,
    needed: &[S],
) -> Result<(), Rejected> {
    if revocations.kill(token.claims()) || revocations.kill_key(token.kid()) {
        return Err(Rejected::Revoked);
    }
    require_scopes(token, needed)
}

/// Refuses a token that lacks one of `needed`.
///
/// # Errors
/// [`Rejected::InsufficientScope`], which names all of `needed`.
pub fn require_scopes<S: AsRef<str>>(token: &Verified, needed: &[S]) -> Result<(), Rejected> {
    if token.claims().allows(needed) {
        return Ok(());
    }
    let needed = needed
        .iter()
        .map(|scope| scope.as_ref().to_owned())
        .collect();
    Err(Rejected::InsufficientScope { needed })
}
