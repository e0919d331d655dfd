//! Tokens: authenticates clients, decides what a token may say, signs it, and
//! answers for it later. A token leaves no row but its audit event.

mod audience;
mod client_auth;
mod grants;
mod introspect;
mod issue;
mod metadata;
mod revoke;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

pub(crate) use client_auth::read_basic;
pub use metadata::well_known;

use crate::app::App;

/// The routes below `/api/v1`.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/token", post(token::token))
        .route("/token/introspect", post(introspect::introspect))
        .route("/token/revoke", post(revoke::revoke))
}
