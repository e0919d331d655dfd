//! Tokens: authenticates clients, decides what a token may say, signs it, and
//! answers for it later. A token leaves no row but its audit event.

mod audience;
mod client_auth;
mod grants;
mod introspect;
mod issue;
mod metadata;
mod record;
mod revoke;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

pub(crate) use client_auth::read_basic;
pub use metadata::well_known;

use crate::app::App;

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/token", post(token::token))
        .route("/api/v1/token/introspect", post(introspect::introspect))
        .route("/api/v1/token/revoke", post(revoke::revoke))
}
