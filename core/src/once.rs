//! Creations that a client may repeat until it has heard the answer: with an
//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) the second one
//! gets the first one's answer. The key is taken in the creation's own
//! transaction, so that of two at once one creates. Answers may hold a secret:
//! what is kept of them is sealed, for a day.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CACHE_CONTROL, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use rand::Rng as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::body::{read, read_json};
use crate::change::Change;
use crate::config::Pem;
use crate::error::Failure;
use crate::ids::AgentId;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key that is taken, in bytes.
const LONGEST_KEY: usize = 255;

/// A body that asks for something to be created, and the key to do it once by.
pub(crate) struct Creation<T> {
    pub(crate) body: T,
    once: Option<Once>,
}

struct Once {
    key: [u8; 32],
    request: [u8; 32],
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Creation<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let headers = request.headers().clone();
        let mut keys = headers.get_all(KEY).iter();
        let key = keys.next().map(read_key).transpose()?;
        if keys.next().is_some() {
            return Err(Failure::Unreadable(
                "A request has one Idempotency-Key.".into(),
            ));
        }
        let meant = format!("{} {}\n", request.method(), request.uri().path());
        let bytes = read(request, state).await?;
        let once = key.map(|key| Once {
            key: Sha256::digest(key).into(),
            request: Sha256::new()
                .chain_update(meant)
                .chain_update(&bytes)
                .finalize()
                .into(),
        });
        let body = read_json(&headers, bytes)?;
        Ok(Self { body, once })
    }
}

/// The key's text, with or without the quotes of RFC 8941 §3.3.3.
fn read_key(value: &HeaderValue) -> Result<String, Failure> {
    let text = value.to_str().unwrap_or_default().trim();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    if text.is_empty() || text.len() > LONGEST_KEY || text.contains('"') {
        let why = format!("An Idempotency-Key has 1 to {LONGEST_KEY} printable characters.");
        return Err(Failure::Unreadable(why.into()));
    }
    Ok(text.to_owned())
}

/// What a creation is answered with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Created {
    location: String,
    etag: Option<String>,
    body: Value,
}

impl Created {
    /// `body`, which shows what is now at `location` in the version `etag`.
    ///
    /// # Errors
    /// It is no JSON.
    pub(crate) fn at(
        location: String,
        etag: Option<String>,
        body: &impl Serialize,
    ) -> Result<Self, Failure> {
        Ok(Self {
            location,
            etag,
            body: serde_json::to_value(body).map_err(Failure::internal)?,
        })
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let headers = [
            (LOCATION, self.location),
            // It may show a secret.
            (CACHE_CONTROL, "no-store".to_owned()),
        ];
        let etag = self.etag.map(|etag| AppendHeaders([(ETAG, etag)]));
        (StatusCode::CREATED, headers, etag, axum::Json(self.body)).into_response()
    }
}

impl<T> Creation<T> {
    /// The answer that this creation had before, if it did. Whoever asks with the
    /// same key meanwhile waits for `change`'s end.
    ///
    /// # Errors
    /// 422 for a key that was another request's, or the database's.
    pub(crate) async fn answered(
        &self,
        app: &App,
        change: &mut Change<'_>,
        actor: AgentId,
    ) -> Result<Option<Response>, Failure> {
        let Some(once) = &self.once else {
            return Ok(None);
        };
        let now = change.now().timestamp();
        let taken = sqlx::query!(
            "INSERT INTO idempotency_keys (actor, key_sha256, request_sha256, created_at)
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            actor.0,
            &once.key[..],
            &once.request[..],
            now,
        )
        .execute(change.connection())
        .await?;
        if taken.rows_affected() == 1 {
            return Ok(None);
        }
        let kept = sqlx::query!(
            "SELECT request_sha256, answer FROM idempotency_keys WHERE actor = $1 AND key_sha256 = $2",
            actor.0,
            &once.key[..],
        )
        .fetch_one(change.connection())
        .await?;
        if kept.request_sha256 != once.request {
            let why = "was used for another request";
            return Err(Failure::invalid("Idempotency-Key", why));
        }
        let opened = kept
            .answer
            .and_then(|sealed| app.seal.open(&once.context(actor), sealed));
        let Some(created) = opened.and_then(|json| serde_json::from_slice::<Created>(&json).ok())
        else {
            let why = "This was created before, and its answer can be shown no more.";
            return Err(Failure::Conflict(why.into()));
        };
        let replayed = [(REPLAYED, HeaderValue::from_static("true"))];
        Ok(Some((replayed, created).into_response()))
    }

    /// Commits `change` and answers with what was `created`.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn finish(
        &self,
        app: &App,
        mut change: Change<'_>,
        actor: AgentId,
        created: Created,
    ) -> Result<Response, Failure> {
        if let Some(once) = &self.once {
            let json = serde_json::to_vec(&created).map_err(Failure::internal)?;
            let sealed = app.seal.seal(&once.context(actor), json)?;
            sqlx::query!(
                "UPDATE idempotency_keys SET answer = $3 WHERE actor = $1 AND key_sha256 = $2",
                actor.0,
                &once.key[..],
                sealed,
            )
            .execute(change.connection())
            .await?;
        }
        change.commit().await?;
        Ok(created.into_response())
    }
}

/// Forgets what was answered to these agents.
pub(crate) async fn forget(
    connection: &mut PgConnection,
    actors: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM idempotency_keys WHERE actor = ANY ($1)",
        actors
    )
    .execute(connection)
    .await
    .map(|_| ())
}

impl Once {
    /// What an answer is sealed for: nobody else's key opens it.
    fn context(&self, actor: AgentId) -> Vec<u8> {
        [actor.0.as_bytes(), &self.key[..], &self.request[..]].concat()
    }
}

/// Seals what is kept, by a key that every replica derives from the signing key.
pub struct Seal(Prk);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

impl Seal {
    /// A seal that goes by the signing key.
    pub fn new(private_key: &Pem) -> Self {
        let salt = Salt::new(HKDF_SHA256, b"agentidp idempotency");
        Self(salt.extract(private_key.0.as_bytes()))
    }

    fn key(&self, context: &[u8]) -> Option<LessSafeKey> {
        let mut bytes = [0; 32];
        self.0
            .expand(&[context], KeyLength)
            .and_then(|okm| okm.fill(&mut bytes))
            .ok()?;
        UnboundKey::new(&AES_256_GCM, &bytes)
            .ok()
            .map(LessSafeKey::new)
    }

    /// The nonce, then the text and its tag.
    fn seal(&self, context: &[u8], mut text: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let failed = || Failure::internal("an answer could not be sealed");
        let key = self.key(context).ok_or_else(failed)?;
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
            .map_err(|_| failed())?;
        Ok([&nonce[..], &text].concat())
    }

    fn open(&self, context: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let mut text = sealed.split_off(NONCE_LEN.min(sealed.len()));
        let nonce = Nonce::try_assume_unique_for_key(&sealed).ok()?;
        let opened = self
            .key(context)?
            .open_in_place(nonce, Aad::empty(), &mut text)
            .ok()?;
        Some(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_the_same_request_of_the_same_service_alone() {
        let seal = Seal::new(&Pem("a key".to_owned()));
        let sealed = seal.seal(b"context", b"secret".to_vec()).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(seal.open(b"context", sealed.clone()).unwrap(), b"secret");
        assert_eq!(seal.open(b"another", sealed.clone()), None);
        let other = Seal::new(&Pem("another key".to_owned()));
        assert_eq!(other.open(b"context", sealed.clone()), None);
        let mut changed = sealed;
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(seal.open(b"context", changed), None);
        assert_eq!(seal.open(b"context", vec![1, 2]), None);
    }

    #[test]
    fn a_key_may_be_quoted_and_is_neither_empty_nor_endless() {
        let read = |text: &str| read_key(&HeaderValue::from_str(text).unwrap()).ok();
        assert_eq!(read("\"abc\""), Some("abc".to_owned()));
        assert_eq!(read(" abc "), Some("abc".to_owned()));
        assert_eq!(read(""), None);
        assert_eq!(read("\"\""), None);
        assert_eq!(read("a\"b"), None);
        assert_eq!(read(&"x".repeat(256)), None);
    }
}
