//! Registers a place of the edge.

use serde_json::json;

use super::store;
use crate::change::Change;
use crate::credentials::{Secret, SecretKind};
use crate::error::{Failure, breaks_constraint};
use crate::ids::EdgeId;
use crate::tenants;

/// How many edges there may be at a time: each is a series of the metrics.
const MOST_EDGES: i64 = 1_000;

/// A new place, with the only look at its secret.
#[derive(Debug)]
pub struct RegisteredEdge {
    /// The user name at the feed.
    pub edge_id: EdgeId,
    /// The password there.
    pub secret: Secret,
}

/// Registers `place`: a Durable Object namespace, by the name that the operator
/// gives it.
///
/// # Errors
/// 409 where there is one of this name, or as many as there may be; or no operator
/// before `agentidp bootstrap`.
pub async fn register(change: &mut Change<'_>, place: &str) -> Result<RegisteredEdge, Failure> {
    crate::text::check("place", place, 1, 64)?;
    let platform = tenants::platform(change.connection()).await?;
    if store::count_active(change.connection()).await? >= MOST_EDGES {
        let why = format!("There are at most {MOST_EDGES} edges that work.");
        return Err(Failure::Conflict(why.into()));
    }
    let edge = RegisteredEdge {
        edge_id: EdgeId::new(change.now(), &mut rand::rng()),
        secret: Secret::generate(SecretKind::Edge, &mut rand::rng()),
    };
    let now = change.now();
    store::insert(change.connection(), &edge, place, now)
        .await
        .map_err(|error| {
            if breaks_constraint(&error, "edges_place_unique") {
                Failure::Conflict("There is an edge at this place already.".into())
            } else {
                error.into()
            }
        })?;
    change
        .record(
            platform,
            "edge.registered",
            edge.edge_id,
            json!({ "place": place }),
        )
        .await?;
    Ok(edge)
}
