//! Client secrets: several for an agent, each with an end. A secret is shown
//! once; what is kept is its SHA-256.

mod api;
mod issue;
mod model;
mod rotate;
mod secret;
mod store;
mod uses;

pub use api::routes;
pub(crate) use issue::reveal;
pub use issue::{IssuedCredential, issue};
pub(crate) use model::Filter;
pub use secret::{Secret, SecretDigest, SecretKind};
pub(crate) use store::{count_ending, delete_of, list, usable};
pub use uses::{LastUse, Uses};
