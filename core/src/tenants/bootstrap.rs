//! Makes the operator's tenant and the first operator, once.

use super::create;
use crate::change::Change;
use crate::error::Failure;
use crate::scope;
use crate::tenants::NewTenant;

/// What [`bootstrap`] found or made.
#[derive(Debug)]
pub enum Bootstrapped {
    /// The first operator, with the only look at its secret.
    Made(NewTenant),
    /// There is one already; nothing was changed.
    AlreadyThere,
}

/// Makes the platform's tenant; its administrator is the operator.
///
/// # Errors
/// The database's.
pub async fn bootstrap(mut change: Change<'_>) -> Result<Bootstrapped, Failure> {
    // Whoever comes second waits here, and finds the first one's tenant.
    sqlx::query!("SELECT seq FROM change_head FOR UPDATE")
        .fetch_one(change.connection())
        .await?;
    let there =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM tenants WHERE platform) AS "there!""#)
            .fetch_one(change.connection())
            .await?;
    if there {
        return Ok(Bootstrapped::AlreadyThere);
    }
    let scopes = scope::MANAGEMENT.iter().chain(scope::OPERATORS);
    let scopes = scopes.map(|scope| (*scope).to_owned()).collect();
    let made = create::insert(&mut change, "platform", "platform", true, scopes).await?;
    change.commit().await?;
    Ok(Bootstrapped::Made(made))
}
