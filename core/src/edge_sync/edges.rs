//! `/api/v1/edges`: the operator's alone.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::model::{Edge, Filter};
use super::{register, revoke, store};
use crate::app::App;
use crate::caller::Caller;
use crate::credentials::{Secret, reveal};
use crate::error::Failure;
use crate::etag::{self, IfMatch};
use crate::ids::EdgeId;
use crate::once::{Created, Creation};
use crate::page::{Listing, Page};
use crate::path::Id;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/edges", get(list).post(make))
        .route("/api/v1/edges/{edge_id}", get(one).delete(end))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeEdge {
    place: String,
}

/// A new edge and the only look at its secret.
#[derive(Serialize)]
struct MadeEdge {
    #[serde(flatten)]
    edge: Edge,
    #[serde(serialize_with = "reveal")]
    edge_secret: Secret,
}

async fn make(
    State(app): State<Arc<App>>,
    caller: Caller,
    creation: Creation<MakeEdge>,
) -> Result<Response, Failure> {
    caller.may("edges:write")?;
    let actor = caller.agent_id();
    let mut change = app.change(actor).await?;
    if let Some(answer) = creation.answered(&app, &mut change, actor).await? {
        return Ok(answer);
    }
    let made = register(&mut change, &creation.body.place).await?;
    let edge = store::one(change.connection(), made.edge_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let location = format!("/api/v1/edges/{}", made.edge_id);
    let tag = etag::of(&edge.version())?;
    let shown = MadeEdge {
        edge,
        edge_secret: made.secret,
    };
    let created = Created::at(location, Some(tag), &shown)?;
    creation.finish(&app, change, actor, created).await
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Listing { page, filter }: Listing<Filter>,
) -> Result<Json<Page<Edge>>, Failure> {
    caller.may("edges:read")?;
    let connection = &mut *app.database.connection().await?;
    let edges = store::list(connection, &filter, page).await?;
    Ok(Json(Page::of(edges, page, |edge| edge.edge_id.0)))
}

async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(edge_id): Id<EdgeId>,
) -> Result<Response, Failure> {
    caller.may("edges:read")?;
    let connection = &mut *app.database.connection().await?;
    let edge = store::one(connection, edge_id).await?;
    let edge = edge.ok_or(Failure::NotFound)?;
    Ok(([(ETAG, etag::of(&edge.version())?)], Json(edge)).into_response())
}

async fn end(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(edge_id): Id<EdgeId>,
    if_match: IfMatch,
) -> Result<StatusCode, Failure> {
    caller.may_even_when_spent("edges:write")?;
    let mut change = app.change(caller.agent_id()).await?;
    let edge = store::lock(change.connection(), edge_id).await?;
    let edge = edge.ok_or(Failure::NotFound)?;
    if_match.check(&edge.version())?;
    if revoke(&mut change, &edge).await? {
        change.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
