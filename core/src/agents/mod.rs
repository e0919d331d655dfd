//! Agents: everybody who gets tokens, administrators and the operator too. An
//! agent's id is its `client_id`.

mod api;
mod create;
mod model;
mod store;

pub use api::routes;
pub use create::{NewAgent, create};
pub(crate) use model::Filter;
pub use model::{Agent, Status};
pub(crate) use store::{delete, list, lock, one, some};
