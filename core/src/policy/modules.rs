//! The modules by their digests: read from the database once, compiled once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::builtin::digest_of;
pub(super) use super::engine::Module;
use super::engine::{Engine, Trapped};
use crate::database::Database;
use crate::ids::OrgId;

type Loaded = Result<Arc<Module>, String>;

/// What is wrong with a module.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Why a module was not compiled.
#[derive(Debug)]
pub enum CompileError {
    /// It is no policy, or a hostile one.
    Refused(Refused),
    /// Too many wait already.
    Busy,
    /// It could not be kept.
    Database(sqlx::Error),
}

/// Every module that was asked so far.
pub struct Policies {
    pub(super) engine: Arc<Engine>,
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

    pub(super) async fn module(
        &self,
        database: &Database,
        digest: &str,
    ) -> Result<Loaded, sqlx::Error> {
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
            Some(component) => self.compile_here(component).await,
        };
        let mut modules = self.modules.write().unwrap_or_else(PoisonError::into_inner);
        Ok(modules.entry(digest.to_owned()).or_insert(loaded).clone())
    }

    /// Loads a module, so that nobody waits for it.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn load(&self, database: &Database, digest: &str) -> Result<(), sqlx::Error> {
        self.module(database, digest).await.map(|_| ())
    }

    /// A first look at a module.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn inspect(&self, _module: &[u8]) -> Result<(), Refused> {
        Ok(())
    }

    /// Compiles a tenant's module and keeps what comes of it.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub(super) async fn compile(
        &self,
        _database: &Database,
        _org_id: OrgId,
        _digest: &str,
        module: Vec<u8>,
    ) -> Result<(), CompileError> {
        match self.compile_here(module).await {
            Ok(_) => Ok(()),
            Err(why) => Err(CompileError::Refused(Refused(why))),
        }
    }

    async fn compile_here(&self, component: Vec<u8>) -> Loaded {
        let engine = Arc::clone(&self.engine);
        let compiled = tokio::task::spawn_blocking(move || engine.compile(&component)).await;
        match compiled {
            Ok(Ok(module)) => Ok(Arc::new(module)),
            Ok(Err(trapped)) => Err(trapped.to_string()),
            Err(_) => Err("its compilation panicked".to_owned()),
        }
    }
}
