//! Tenants: who is told apart from whom, and on which tier.

mod api;
mod bootstrap;
mod create;
mod end;
mod export;
mod model;
mod settings;
mod store;
mod usage;

pub use api::routes;
pub use bootstrap::{Bootstrapped, bootstrap};
pub use create::{NewTenant, create};
pub(crate) use end::end_due;
pub use model::{Life, Status, Tenant, Tier};
pub(crate) use store::{is_there, lock, platform, tier_of};
