//! Tiers: the numbers that hold for every tenant on one, an operator's to change.
//! `free`, `pro`, `enterprise` and the operator's own `platform` are always there.

mod api;
mod model;
mod store;

pub use api::routes;
pub use model::{Numbers, Tier};
pub(crate) use store::can_be_joined;
