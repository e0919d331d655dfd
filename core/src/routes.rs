//! The URL table, and the order of the middleware.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONNECTION, CONTENT_TYPE, ETAG, HOST, IF_MATCH,
    LOCATION, RETRY_AFTER,
};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, Uri, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::addresses::by_address;
use crate::app::App;
use crate::body::whole_body;
use crate::error::Failure;
use crate::observe::observe;
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

    let limited = Router::new()
        .merge(tokens::well_known(&app.config.issuer))
        .nest("/api/v1", api)
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async |uri: Uri| {
            Failure::MethodNotAllowed.into_response_at(uri.path())
        })
        // From the handler outwards.
        .layer(from_fn(in_time))
        .layer(from_fn(whole_body))
        .layer(app.addresses.layer())
        .layer(from_fn_with_state(Arc::clone(&app), by_address));
    let probes = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready));
    let probes = match app.config.metrics_port {
        None => probes.route("/metrics", get(health::metrics)),
        Some(_) => probes,
    };
    limited
        .merge(probes)
        .layer(from_fn(one_host))
        .layer(cors(&app.config.cors_origins))
        .layer(from_fn(no_stray_cors))
        .layer(from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// What listens on `METRICS_PORT`.
pub fn metrics_router(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .fallback(async || Failure::NotFound)
        .with_state(app)
}

/// RFC 9112 §3.2: a request of HTTP/1.1 has one Host, and it is one.
async fn one_host(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let one = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    };
    if !one {
        let mut response = Failure::Unreadable("A request has one Host.".into()).into_response();
        // Whoever confuses hosts may confuse where requests end too.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        return response;
    }
    next.run(request).await
}

/// A name or an address, and perhaps a port; nobody logs in by it.
fn is_host(host: &HeaderValue) -> bool {
    let authority = Authority::try_from(host.as_bytes());
    authority.is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// Nobody waits for longer than [`PATIENCE`]. What was being done is dropped: a
/// transaction that has not committed never was.
async fn in_time(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::Unavailable("This took too long.").into_response_at(&path),
    }
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
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([
            ETAG,
            LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("x-ratelimit-limit"),
            HeaderName::from_static("x-ratelimit-remaining"),
            HeaderName::from_static("x-ratelimit-reset"),
        ])
}
