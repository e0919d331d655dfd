//! What operators see of a request: it is counted and timed by its route's
//! template, and logged.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::access_log::Line;
use crate::app::App;

/// The route of a request that matches none.
const NO_ROUTE: &str = "none";

/// Counts, times and logs a request.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = word(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or_else(
        || NO_ROUTE.into(),
        |matched| Arc::<str>::from(matched.as_str()),
    );
    let line = Line::begin(app.config.app_env, &request);

    let response = next.run(request).await;
    let took = begun.elapsed();
    app.metrics
        .answered(method, &route, response.status().as_u16(), took);
    if let Some(line) = line {
        line.end(app.config.app_env, &route, &response, took);
    }
    response
}

/// The methods that are used somewhere; what else is sent is one series.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
