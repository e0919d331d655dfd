//! The URL table, and the order of the middleware.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, IF_MATCH,
    IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::addresses::CountedAddress;
use crate::app::App;
use crate::body::whole_body;
use crate::error::Failure;
use crate::etag::Known;
use crate::observe::observe;
use crate::{
    agents, credentials, decisions, edge_sync, health, policy, resources, tenants, tiers, tokens,
};

/// How long a request may take before it is answered with 503.
const PATIENCE: Duration = Duration::from_millis(1_900);

/// How long an upload may take, with the look at it.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(20);

/// The whole service. What a request passes on its way to a handler: [`observe`],
/// CORS, and [`guard`] or, at the probes, [`one_host`] alone.
pub fn router(app: Arc<App>) -> Router {
    // Few layers, each of which does several things: a layer costs each request
    // more than most of what is done in one.
    let guarded = Router::new()
        .merge(tokens::well_known(&app.config.issuer))
        .merge(tokens::routes())
        .merge(tenants::routes())
        .merge(tiers::routes())
        .merge(resources::routes())
        .merge(agents::routes())
        .merge(credentials::routes())
        .merge(edge_sync::routes())
        .merge(policy::routes())
        .merge(decisions::routes())
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async |uri: Uri| {
            Failure::MethodNotAllowed.into_response_at(uri.path())
        })
        .layer(from_fn_with_state(Arc::clone(&app), guard));
    let mut probes = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready));
    if app.config.metrics_port.is_none() {
        probes = probes.route("/metrics", get(health::metrics));
    }
    let probes = probes.layer(from_fn(
        async |request: Request, next: Next| match one_host(&request) {
            Ok(()) => next.run(request).await,
            Err(failure) => failure.into_response(),
        },
    ));
    let mut router = guarded.merge(probes);
    if !app.config.cors_origins.is_empty() {
        router = router
            .layer(cors(&app.config.cors_origins))
            .layer(from_fn(no_stray_cors));
    }
    router
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

/// What stands before every handler: one Host, an address that has not spent what
/// it may, a body that is whole, and a limit of time.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let address = CountedAddress::of(&request);
    let answered = async {
        one_host(&request)?;
        app.addresses.admit(address)?;
        let known = Known::of(&request);
        let (request, patience) = if policy::is_upload(&request) {
            // Its handler reads the body, of whoever may upload.
            (request, UPLOAD_PATIENCE)
        } else {
            (whole_body(request).await?, PATIENCE)
        };
        let answered = in_time(patience, next.run(request)).await?;
        Ok::<_, Failure>(known.spare(answered))
    };
    let response = match answered.await {
        Ok(response) => response,
        Err(failure) => failure.into_response_at(&path),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        app.addresses.failed(address);
    }
    response
}

/// RFC 9112 §3.2: a request of HTTP/1.1 has one Host, and it is one.
fn one_host(request: &Request) -> Result<(), Failure> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let one = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    };
    one.then_some(()).ok_or(Failure::NoHost)
}

/// A name or an address, and perhaps a port; nobody logs in by it.
fn is_host(host: &HeaderValue) -> bool {
    let authority = Authority::try_from(host.as_bytes());
    authority.is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// Nobody waits for longer than `patience`. What was being done is dropped: a
/// transaction that has not committed never was.
async fn in_time(
    patience: Duration,
    answered: impl Future<Output = Response>,
) -> Result<Response, Failure> {
    let answered = tokio::time::timeout(patience, answered).await;
    answered.map_err(|_| Failure::Unavailable("This took too long."))
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
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([
            ETAG,
            LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("idempotency-replayed"),
            HeaderName::from_static("x-ratelimit-limit"),
            HeaderName::from_static("x-ratelimit-remaining"),
            HeaderName::from_static("x-ratelimit-reset"),
        ])
}
