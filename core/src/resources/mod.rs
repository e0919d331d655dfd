//! Resources: the audiences that a tenant protects (RFC 8707), with the scopes
//! that each defines. One is the tenant's default.

mod api;
mod model;
mod store;

pub use api::routes;
pub use model::{NewResource, Resource};
pub(crate) use store::{defined_scopes, delete_all, insert, list, of_tenant, set_default};
