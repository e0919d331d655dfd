//! The edge that is asking, by its credential.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use sqlx::PgConnection;

use super::store::{self, Active};
use crate::app::App;
use crate::clock::Now;
use crate::credentials::{Secret, SecretKind};
use crate::error::{Failure, OAuthError};
use crate::ids::EdgeId;
use crate::tokens::read_basic;

/// A registered edge that has proved who it is, by HTTP Basic. The database is asked
/// each time: a revoked one is refused at once.
#[derive(Debug)]
pub(super) struct CallingEdge {
    pub(super) edge_id: EdgeId,
    /// The operator's name for it.
    pub(super) place: String,
}

impl FromRequestParts<Arc<App>> for CallingEdge {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let refused = || {
            let why = "Only a registered edge may ask this.";
            Failure::OAuth(OAuthError::InvalidClient { basic: true }, why.into())
        };
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let header = headers.next().and_then(|value| value.to_str().ok());
        let (edge_id, secret) = header.and_then(read_basic).ok_or_else(refused)?;
        if headers.next().is_some() {
            return Err(refused());
        }
        let mut connection = app.database.connection().await?;
        let known = authenticate(&mut connection, &edge_id, &secret).await?;
        let (edge_id, stored) = known.ok_or_else(refused)?;
        app.seen.note(edge_id, stored.last_seen_at, Now::read());
        Ok(Self {
            edge_id,
            place: stored.place,
        })
    }
}

/// The active edge whose `edge_id` and `secret` these are.
async fn authenticate(
    connection: &mut PgConnection,
    edge_id: &str,
    secret: &str,
) -> Result<Option<(EdgeId, Active)>, sqlx::Error> {
    let (Ok(edge_id), Some(secret)) = (edge_id.parse(), Secret::read(SecretKind::Edge, secret))
    else {
        return Ok(None);
    };
    let stored = store::active(connection, edge_id).await?;
    let known = stored.filter(|stored| stored.digest.matches(&secret.digest()));
    Ok(known.map(|stored| (edge_id, stored)))
}

/// Whether `edge_id` and `secret` are a registered edge's.
///
/// # Errors
/// The database's.
pub async fn is_registered(
    connection: &mut PgConnection,
    edge_id: &str,
    secret: &str,
) -> Result<bool, sqlx::Error> {
    let known = authenticate(connection, edge_id, secret).await?;
    Ok(known.is_some())
}
