//! Tenants: who is told apart from whom, and on which tier.

mod api;
mod bootstrap;
mod create;
mod model;
mod store;

pub use api::routes;
pub use bootstrap::{Bootstrapped, bootstrap};
pub use create::{NewTenant, create};
pub use model::{Status, Tenant, Tier};
pub(crate) use store::{is_there, lock, tier_of};
