//! What the edge decides of a request before and beside its token: which route it
//! takes, what its path means, which scopes it needs.
//!
//! Nothing here does I/O, reads a clock or knows a secret, so that every rule has
//! tests that need no Worker.

pub mod address;
pub mod credentials;
pub mod dots;
pub mod forward_auth;
pub mod introspection;
pub mod mcp;
pub mod metadata;
pub mod path;
pub mod routes;

pub use path::Path;
pub use routes::{Away, Found, Route, Routes};
