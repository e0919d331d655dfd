//! Tenants' versions: uploaded, checked, watched in shadow, active, retired.

mod api;
mod life;
mod model;
mod replay;
mod store;
mod try_it;
mod upload;

pub(crate) use api::routes;
pub(crate) use store::{delete_all, in_force, versions_of};
pub(crate) use upload::is_upload;

use crate::app::App;
use crate::caller::Caller;
use crate::error::Failure;
use crate::ids::OrgId;
use crate::tenants;

/// Lets an administrator of the tenant do what `scope` is for, and the operator.
async fn may(
    app: &App,
    caller: &Caller,
    scope: &'static str,
    org_id: OrgId,
) -> Result<(), Failure> {
    caller.may(scope)?;
    is_theirs(app, caller, org_id).await
}

/// The same for what switches something off, which no spent limit refuses.
async fn may_even_when_spent(
    app: &App,
    caller: &Caller,
    scope: &'static str,
    org_id: OrgId,
) -> Result<(), Failure> {
    caller.may_even_when_spent(scope)?;
    is_theirs(app, caller, org_id).await
}

async fn is_theirs(app: &App, caller: &Caller, org_id: OrgId) -> Result<(), Failure> {
    let there = org_id == caller.org_id()
        || (caller.is_operator()
            && tenants::is_there(&mut *app.database.connection().await?, org_id).await?);
    there.then_some(()).ok_or(Failure::NotFound)
}
