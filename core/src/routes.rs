//! The URL table, and the order of the middleware.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONTENT_TYPE, HOST,
};
use axum::http::{HeaderName, HeaderValue, Method, Uri, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::access_log::access_log;
use crate::app::App;
use crate::body::LARGEST_BODY;
use crate::error::{Failure, OAuthFailure};
use crate::{agents, credentials, edge_sync, health, resources, tenants, tokens};

/// How long a request may take before it is answered with 503.
const PATIENCE: Duration = Duration::from_millis(1_900);

/// The whole service.
pub fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .merge(tokens::routes())
        .merge(tenants::routes())
        .merge(resources::routes())
        .merge(agents::routes())
        .merge(credentials::routes())
        .merge(edge_sync::routes());

    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .merge(tokens::well_known(&app.config.issuer))
        .nest("/api/v1", api)
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async |uri: Uri| refuse(uri.path(), Failure::MethodNotAllowed))
        // From the handler outwards.
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(in_time))
        .layer(from_fn(one_host))
        .layer(cors(&app.config.cors_origins))
        .layer(from_fn(no_stray_cors))
        .layer(from_fn_with_state(Arc::clone(&app), access_log))
        .with_state(app)
}

/// RFC 9112 §3.2: a request of HTTP/1.1 has one Host.
async fn one_host(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Failure::Unreadable("A request has one Host.".into()).into_response();
    }
    next.run(request).await
}

/// Nobody waits for longer than [`PATIENCE`]. What was being done is dropped: a
/// transaction that has not committed never was.
async fn in_time(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refuse(&path, Failure::Unavailable("This took too long.")),
    }
}

/// The refusal in the words of the endpoint that was meant.
fn refuse(path: &str, failure: Failure) -> Response {
    if path.starts_with("/api/v1/token") {
        return OAuthFailure(failure).into_response();
    }
    failure.into_response()
}

/// An origin that is not on the list gets no CORS header at all.
async fn no_stray_cors(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        for name in [
            ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            headers.remove(name);
        }
    }
    response
}

/// Answers the browsers of the origins on the list.
fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers(
            [
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
                "retry-after",
            ]
            .map(HeaderName::from_static),
        )
}
