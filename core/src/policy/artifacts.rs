//! Compiled modules in the database, for every replica of the same build. Loading
//! one runs what it says, so that each has a MAC by a key that the database does
//! not have: what does not fit is not there.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq as _;

use super::engine::{Engine, Trapped};
use crate::clock::Now;
use crate::config::Pem;
use crate::database::Database;

/// After how long what another engine compiled is removed, in days: a replica of
/// the build before may still want it.
const KEPT_DAYS: i32 = 30;

/// Machine code that this service's own compiler made of a module.
pub(super) struct Artifact(Vec<u8>);

impl Artifact {
    /// What this process's own compiler has just made.
    pub(super) const fn just_compiled(code: Vec<u8>) -> Self {
        Self(code)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What makes and knows artifacts.
#[derive(Clone)]
pub(super) struct Artifacts {
    key: hmac::Key,
    /// The name of the compiler with its settings and of the key: with another key
    /// an artifact is another one, and no reason for an alarm.
    engine: String,
}

impl Artifacts {
    /// Those of one engine, by a key that every replica derives from the signing key.
    ///
    /// # Errors
    /// No key can be derived.
    pub(super) fn new(private_key: &Pem, engine: &Engine) -> Result<Self, Trapped> {
        let salt = Salt::new(HKDF_SHA256, b"agentidp policy artifacts");
        let secret = salt.extract(private_key.0.as_bytes());
        let key = |purpose: &[u8]| {
            secret
                .expand(&[purpose], hmac::HMAC_SHA256)
                .map(hmac::Key::from)
                .map_err(|_| Trapped::because("no key can be derived"))
        };
        let name = hmac::sign(&key(b"name")?, &engine.compatibility());
        Ok(Self {
            key: key(b"mac")?,
            engine: data_encoding::HEXLOWER.encode(name.as_ref()),
        })
    }

    /// Over engine, module and code, each with its length.
    fn mac(&self, module_digest: &str, code: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [self.engine.as_bytes(), module_digest.as_bytes(), code] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }

    /// What was stored, if it is what this service stored.
    fn authentic(&self, module_digest: &str, code: Vec<u8>, mac: &[u8]) -> Option<Artifact> {
        let expected = self.mac(module_digest, &code);
        let fits: bool = expected.as_ref().ct_eq(mac).into();
        fits.then_some(Artifact(code))
    }

    /// A module's artifact, where there is one.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn load(
        &self,
        database: &Database,
        module_digest: &str,
    ) -> Result<Option<Artifact>, sqlx::Error> {
        let stored = sqlx::query!(
            "SELECT artifact, mac FROM policy_artifacts WHERE module_digest = $1 AND engine = $2",
            module_digest,
            self.engine,
        )
        .fetch_optional(&mut *database.connection().await?)
        .await?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let (own, digest) = (self.clone(), module_digest.to_owned());
        // Of 16 MiB it takes milliseconds, in which this thread would serve nobody else.
        let authentic = tokio::task::spawn_blocking(move || {
            own.authentic(&digest, stored.artifact, &stored.mac)
        });
        let artifact = authentic.await.unwrap_or_default();
        if artifact.is_none() {
            tracing::error!(
                "the compiled policy {module_digest} in the database is not what this service stored; it is compiled again"
            );
        }
        Ok(artifact)
    }

    /// Stores what the compiler made, in the place of what was there. The module
    /// has its row already.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn store(
        &self,
        database: &Database,
        module_digest: &str,
        code: Vec<u8>,
        now: Now,
    ) -> Result<Artifact, sqlx::Error> {
        let mac = self.mac(module_digest, &code);
        let mut connection = database.connection().await?;
        sqlx::query!(
            "INSERT INTO policy_artifacts (module_digest, engine, artifact, mac, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (module_digest, engine) DO UPDATE
                SET artifact = excluded.artifact, mac = excluded.mac, created_at = excluded.created_at",
            module_digest,
            self.engine,
            code,
            mac.as_ref(),
            now.timestamp(),
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "DELETE FROM policy_artifacts
              WHERE module_digest = $1 AND engine <> $2
                AND created_at < $3::timestamptz - make_interval(days => $4)",
            module_digest,
            self.engine,
            now.timestamp(),
            KEPT_DAYS,
        )
        .execute(&mut *connection)
        .await?;
        Ok(Artifact(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts(key: &str) -> Artifacts {
        Artifacts::new(&Pem(key.to_owned()), &Engine::start().unwrap()).unwrap()
    }

    #[test]
    fn an_artifact_with_a_byte_changed_or_of_another_module_engine_or_key_is_not_there() {
        let own = artifacts("a key");
        let code = b"machine code".to_vec();
        let mac = own.mac("digest", &code).as_ref().to_vec();
        let fits = |artifacts: &Artifacts, digest: &str, code: &[u8], mac: &[u8]| {
            artifacts.authentic(digest, code.to_vec(), mac).is_some()
        };
        assert!(fits(&own, "digest", &code, &mac));
        for at in 0..code.len() {
            let mut changed = code.clone();
            changed[at] ^= 1;
            assert!(!fits(&own, "digest", &changed, &mac), "byte {at}");
        }
        for at in 0..mac.len() {
            let mut changed = mac.clone();
            changed[at] ^= 1;
            assert!(!fits(&own, "digest", &code, &changed), "byte {at}");
        }
        assert!(!fits(&own, "another", &code, &mac));
        assert!(!fits(&own, "digestm", &code[1..], &mac));
        assert!(!fits(&own, "digest", &code, &mac[..31]));
        assert!(!fits(&own, "digest", &code, b""));
        let other = artifacts("another key");
        assert_ne!(other.engine, own.engine);
        assert!(!fits(&other, "digest", &code, &mac));
        let engine = "another engine".to_owned();
        let other = Artifacts {
            engine,
            ..artifacts("a key")
        };
        assert!(!fits(&other, "digest", &code, &mac));
    }

    #[test]
    fn replicas_with_one_key_take_each_others_artifacts() {
        let (one, other) = (artifacts("a key"), artifacts("a key"));
        assert_eq!(one.engine, other.engine);
        let mac = one.mac("digest", b"code");
        let taken = other.authentic("digest", b"code".to_vec(), mac.as_ref());
        assert_eq!(taken.unwrap().bytes(), b"code");
    }
}
