//! What the core tells its edges: who they are, and what is revoked.

mod api;
mod register;
mod store;

pub use api::routes;
pub use register::{RegisteredEdge, is_registered, register};
