//! The signing keys. A private key is read from PEM once, lives in a [`Signer`]
//! and never leaves it; what others need is its JWK.
//!
//! jwt-simple reads and writes keys; aws-lc-rs signs and checks, at half the cost
//! and, for RSA, in constant time (see `docs/decisions/`).

mod check;
mod generate;
mod pem;
mod revoke;
mod signer;

use std::sync::Arc;

use agentidp_verify::Jwks;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;

pub use check::AwsLc;
pub use generate::{GeneratedPair, generate};
pub use pem::KeyError;
pub use revoke::revoke;
pub use signer::Signer;

use crate::app::App;
use crate::config::Config;

/// How long a verifier may keep the key set, in seconds.
const JWKS_MAX_AGE_S: u32 = 300;

/// The key that signs, and every key that a verifier must know.
#[derive(Debug)]
pub struct KeyRing {
    /// Signs new tokens.
    pub signer: Signer,
    /// What `/.well-known/jwks.json` says.
    pub published: Jwks,
}

impl KeyRing {
    /// The ring of the pair in the settings.
    ///
    /// # Errors
    /// The pair cannot be read, or its halves do not belong together.
    pub async fn from_config(config: &Config) -> Result<Self, KeyError> {
        let signer = pem::import(&config.jwt_private_key, &config.jwt_public_key).await?;
        let published = Jwks {
            keys: vec![signer.public().clone()],
        };
        Ok(Self { signer, published })
    }
}

/// `GET /.well-known/jwks.json`, RFC 7517 §5.
pub async fn jwks(State(app): State<Arc<App>>) -> ([(HeaderName, String); 1], Json<Jwks>) {
    let cached = format!("public, max-age={JWKS_MAX_AGE_S}");
    ([(CACHE_CONTROL, cached)], Json(app.keys.published.clone()))
}
