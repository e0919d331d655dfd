//! The modules by their digests: read from the database once, compiled once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::builtin::digest_of;
use super::decide::{Decided, Decision, Denial, Question, clamp, to_wit};
use super::engine::{Engine, Module, Trapped};
use crate::clock::Now;
use crate::database::Database;
use crate::tenants::Tier;

type Loaded = Result<Arc<Module>, String>;

/// Every module that was asked so far.
pub struct Policies {
    engine: Arc<Engine>,
    /// One that cannot be loaded is remembered too: its digest will not change.
    modules: RwLock<HashMap<String, Loaded>>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Policies")
    }
}

impl Policies {
    /// Starts the engine.
    ///
    /// # Errors
    /// The machine cannot run it.
    pub fn start() -> Result<Self, Trapped> {
        Ok(Self {
            engine: Arc::new(Engine::start()?),
            modules: RwLock::default(),
        })
    }

    /// Asks the tier's module, and clamps what it says.
    ///
    /// # Errors
    /// The database's, where the module had to be read. A module that is not
    /// there, cannot be compiled, traps or runs out is a denial.
    pub async fn decide(
        &self,
        database: &Database,
        question: &Question<'_>,
        tier: &Tier,
        now: Now,
    ) -> Result<Decided, sqlx::Error> {
        let Some(digest) = tier.module_digest.clone() else {
            let why = format!("the tier {} has none", tier.name);
            return Ok(Decided {
                digest: String::new(),
                decision: Decision::Deny(Denial::NoModule(why)),
            });
        };
        let decision = match self.module(database, &digest).await? {
            Err(why) => Decision::Deny(Denial::NoModule(why)),
            Ok(module) => match self.engine.ask(&module, &to_wit(question, tier, now)) {
                Ok(said) => clamp(said, question.scopes, tier),
                Err(trapped) => {
                    tracing::warn!("policy {digest} failed: {trapped}");
                    Decision::Deny(Denial::Failed(trapped.to_string()))
                }
            },
        };
        Ok(Decided { digest, decision })
    }

    /// Loads the modules of every tier, so that nobody waits for a compiler.
    ///
    /// # Errors
    /// The database's.
    pub async fn warm_up(&self, database: &Database) -> Result<(), sqlx::Error> {
        let digests =
            sqlx::query_scalar!(r#"SELECT DISTINCT module_digest AS "digest!" FROM tiers WHERE module_digest IS NOT NULL"#)
                .fetch_all(&mut *database.connection().await?)
                .await?;
        for digest in digests {
            if let Err(why) = self.module(database, &digest).await? {
                tracing::error!("policy {digest} cannot be loaded: {why}");
            }
        }
        Ok(())
    }

    async fn module(&self, database: &Database, digest: &str) -> Result<Loaded, sqlx::Error> {
        let known = self
            .modules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let component = sqlx::query_scalar!(
            "SELECT component FROM policy_modules WHERE digest = $1",
            digest
        )
        .fetch_optional(&mut *database.connection().await?)
        .await?;
        let loaded = match component {
            None => Err("it is not there".to_owned()),
            Some(component) if digest_of(&component) != digest => {
                Err("its bytes are not those of its digest".to_owned())
            }
            Some(component) => self.compile(component).await,
        };
        let mut modules = self.modules.write().unwrap_or_else(PoisonError::into_inner);
        Ok(modules.entry(digest.to_owned()).or_insert(loaded).clone())
    }

    async fn compile(&self, component: Vec<u8>) -> Loaded {
        let engine = Arc::clone(&self.engine);
        let compiled = tokio::task::spawn_blocking(move || engine.compile(&component)).await;
        match compiled {
            Ok(Ok(module)) => Ok(Arc::new(module)),
            Ok(Err(trapped)) => Err(trapped.to_string()),
            Err(_) => Err("its compilation panicked".to_owned()),
        }
    }
}
