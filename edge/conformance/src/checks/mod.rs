//! The checks, in their order. Those that spend a client's minute come last.

mod admitted;
mod forwarded;
mod limits;
mod refused;
mod revoked;
mod scopes;
mod signed;

use std::pin::Pin;

use crate::Stop;
use crate::scene::Scene;

type Check<'a> = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send + 'a>>;

/// All of them, by their names; none is asked before it is awaited.
pub(crate) fn all<'a>(scene: &'a Scene<'_>) -> Vec<(&'static str, Check<'a>)> {
    let mut checks: Vec<(&'static str, Check<'a>)> = Vec::new();
    checks.extend(admitted::checks(scene));
    checks.extend(refused::checks(scene));
    checks.extend(signed::checks(scene));
    checks.extend(scopes::checks(scene));
    checks.extend(forwarded::checks(scene));
    checks.extend(revoked::checks(scene));
    checks.extend(limits::checks(scene));
    checks
}
