//! Decisions: explained after they were made, and asked for without a token.

mod authzen;
mod authzen_batch;
mod explain;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

/// The routes of this feature.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/decisions/{decision_id}", get(explain::explain))
        .route("/access/v1/evaluation", post(authzen::evaluate))
        .route("/access/v1/evaluations", post(authzen_batch::evaluate_all))
        .route("/.well-known/authzen-configuration", get(authzen::metadata))
}
