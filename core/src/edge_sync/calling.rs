//! The edge that is asking, by its credential.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::store;
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
        let edge_id: EdgeId = edge_id.parse().map_err(|()| refused())?;
        let secret = Secret::read(SecretKind::Edge, &secret).ok_or_else(refused)?;
        let mut connection = app.database.connection().await?;
        let stored = store::active(&mut *connection, edge_id).await?;
        let stored = stored.ok_or_else(refused)?;
        if !stored.digest.matches(&secret.digest()) {
            return Err(refused());
        }
        app.seen.note(edge_id, stored.last_seen_at, Now::read());
        Ok(Self {
            edge_id,
            place: stored.place,
        })
    }
}
