//! Tenants' versions: uploaded, checked, watched in shadow, active, retired.

mod api;
mod life;
mod model;
mod replay;
mod store;
mod try_it;
mod upload;

pub(crate) use api::routes;
pub(crate) use store::in_force;
pub(crate) use upload::is_upload;

use crate::caller::Caller;
use crate::error::Failure;
use crate::ids::OrgId;

/// Lets an administrator of the tenant do what `scope` is for, and the operator.
fn may(caller: &Caller, scope: &'static str, org_id: OrgId) -> Result<(), Failure> {
    caller.may(scope)?;
    if org_id == caller.org_id() || caller.is_operator() {
        return Ok(());
    }
    Err(Failure::NotFound)
}
