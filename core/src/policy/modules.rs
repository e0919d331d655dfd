//! The modules by their digests: loaded once, from the database's machine code or
//! by way of the compiler, and kept while there is room.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use uuid::Uuid;

use super::artifacts::{Artifact, Artifacts};
use super::builtin::digest_of;
use super::compiler::{CompileError, Compiler, Haste};
use super::engine::{Engine, Module, Trapped};
use super::inspect::{LARGEST, inspect};
use super::queue::Queue;
use super::refused::Refused;
use super::traffic::Traffic;
use crate::config::Pem;
use crate::database::Database;
use crate::ids::OrgId;

/// What the kept modules of all tenants come to at most, in bytes of machine code.
const KEPT: u64 = 64 << 20;
/// About what one takes.
const USUAL: u64 = 128 << 10;
/// What one that cannot be loaded takes.
const REFUSED: u64 = 1 << 10;
/// How long a decision waits for a module that has to be compiled.
const PATIENCE: Duration = Duration::from_millis(1_500);

type Loaded = Result<Arc<Module>, String>;

#[derive(Debug, Clone)]
struct BySize;

impl Weighter<String, Loaded> for BySize {
    fn weight(&self, _: &String, loaded: &Loaded) -> u64 {
        loaded.as_ref().map_or(REFUSED, |module| module.size)
    }
}

type Kept = Cache<String, Loaded, BySize>;

/// The sandbox and what it was asked for so far. One that will never load is
/// remembered too: its digest will not change.
pub struct Policies {
    pub(super) engine: Arc<Engine>,
    compiler: Arc<Compiler>,
    /// One at a time, and every tenant its turn.
    pub(super) replays: Queue,
    pub(super) traffic: Arc<Traffic>,
    /// The operator's: what tenants upload drives none of them out.
    of_tiers: Kept,
    of_tenants: Kept,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Policies")
    }
}

/// What may be otherwise the next time, and is not remembered.
enum Passing {
    Database(sqlx::Error),
    Other(String),
}

impl From<sqlx::Error> for Passing {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Policies {
    /// Starts the engine. `program` is this service's binary, which compiles; what
    /// it makes is sealed by a key that goes by `private_key`.
    ///
    /// # Errors
    /// The machine cannot run it.
    pub fn start(private_key: &Pem, program: PathBuf) -> Result<Self, Trapped> {
        let engine = Arc::new(Engine::start()?);
        let traffic = Arc::<Traffic>::default();
        let compiler = Compiler {
            artifacts: Artifacts::new(private_key, &engine)?,
            program,
            queue: Queue::default(),
            traffic: Arc::clone(&traffic),
        };
        Ok(Self {
            engine,
            compiler: Arc::new(compiler),
            replays: Queue::default(),
            traffic,
            of_tiers: kept(KEPT)?,
            of_tenants: kept(KEPT)?,
        })
    }

    /// Looks at a module of at most `most` bytes, before anything is done with it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn inspect(&self, module: &[u8], most: usize) -> Result<(), Refused> {
        inspect(module, most)
    }

    /// Compiles a tenant's module, in the tenant's turn, and stores what becomes of
    /// it, so that every replica loads it at once. The module is a component or a
    /// core module with its metadata, as it was uploaded, and `module_digest` the
    /// SHA-256 of that (hex), under which it stands in `policy_modules` already.
    ///
    /// # Errors
    /// It is refused, or cannot be compiled or stored now.
    pub async fn compile(
        &self,
        database: &Database,
        org_id: OrgId,
        module_digest: &str,
        module: Vec<u8>,
    ) -> Result<(), CompileError> {
        let looked =
            tokio::task::spawn_blocking(move || inspect(&module, LARGEST).map(|()| module));
        let module = looked.await.map_err(|_| CompileError::Unavailable)??;
        let known = self.compiler.artifacts.load(database, module_digest);
        if known.await?.is_none() {
            self.compiler
                .artifact(database, org_id.0, module_digest, module, Haste::Upload)
                .await?;
        }
        Ok(())
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
            let loaded = match self.load(database, &digest, None).await {
                Ok(loaded) => loaded,
                Err(Passing::Other(why)) => Err(why),
                Err(Passing::Database(error)) => return Err(error),
            };
            match loaded {
                Ok(module) => self.of_tiers.insert(digest, Ok(module)),
                Err(why) => tracing::error!("policy {digest} cannot be loaded: {why}"),
            }
        }
        Ok(())
    }

    /// Has a tenant's module at hand before it is asked, if that can be.
    pub async fn prepare(&self, database: &Database, org_id: OrgId, digest: &str) {
        match self.module(database, digest, Some(org_id)).await {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => tracing::error!("policy {digest} cannot be loaded: {why}"),
            Err(error) => tracing::error!("Unexpected pg pool error {error}"),
        }
    }

    /// A module, the operator's or a tenant's.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn module(
        &self,
        database: &Database,
        digest: &str,
        whose: Option<OrgId>,
    ) -> Result<Loaded, sqlx::Error> {
        let kept = match whose {
            None => &self.of_tiers,
            Some(_) => &self.of_tenants,
        };
        if let Some(known) = kept.get(digest) {
            return Ok(known);
        }
        let loading = kept.get_or_insert_async(digest, self.load(database, digest, whose));
        match tokio::time::timeout(PATIENCE, loading).await {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(Passing::Database(error))) => Err(error),
            Ok(Err(Passing::Other(why))) => Ok(Err(why)),
            Err(_) => Ok(Err("it is still being compiled".to_owned())),
        }
    }

    async fn load(
        &self,
        database: &Database,
        digest: &str,
        whose: Option<OrgId>,
    ) -> Result<Loaded, Passing> {
        if let Some(artifact) = self.compiler.artifacts.load(database, digest).await? {
            match self.run(artifact).await {
                Ok(module) => return Ok(Ok(module)),
                Err(why) => tracing::error!("the compiled policy {digest} does not load: {why}"),
            }
        }
        let component = sqlx::query_scalar!(
            "SELECT component FROM policy_modules WHERE digest = $1",
            digest
        )
        .fetch_optional(&mut *database.connection().await?)
        .await?;
        let Some(component) = component else {
            // It may come yet.
            return Err(Passing::Other("it is not there".to_owned()));
        };
        if digest_of(&component) != digest {
            return Ok(Err("its bytes are not those of its digest".to_owned()));
        }
        if let Err(refused) = inspect(&component, LARGEST) {
            return Ok(Err(refused.to_string()));
        }
        let whose = whose.map_or(Uuid::nil(), |org_id| org_id.0);
        let compiler = &self.compiler;
        let compiled = compiler.artifact(database, whose, digest, component, Haste::Decision);
        match compiled.await {
            Ok(artifact) => self.run(artifact).await.map(Ok).map_err(Passing::Other),
            Err(CompileError::Refused(refused)) => Ok(Err(refused.to_string())),
            Err(CompileError::Database(error)) => Err(Passing::Database(error)),
            Err(passing) => Err(Passing::Other(passing.to_string())),
        }
    }

    async fn run(&self, artifact: Artifact) -> Loaded {
        let engine = Arc::clone(&self.engine);
        let loaded = tokio::task::spawn_blocking(move || engine.load(&artifact)).await;
        match loaded {
            Ok(Ok(module)) => Ok(Arc::new(module)),
            Ok(Err(trapped)) => Err(trapped.to_string()),
            Err(_) => Err("its loading panicked".to_owned()),
        }
    }
}

/// Room for `room` bytes of machine code.
fn kept(room: u64) -> Result<Kept, Trapped> {
    let options = OptionsBuilder::new()
        // One, or the largest module would not fit into any.
        .shards(1)
        .estimated_items_capacity(usize::try_from(room / USUAL).unwrap_or(usize::MAX))
        .weight_capacity(room)
        .build()
        .map_err(|_| Trapped::because("no room can be made for modules"))?;
    Ok(Cache::with_options(
        options,
        BySize,
        DefaultHashBuilder::default(),
        DefaultLifecycle::default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::module_of_text::{DENIES, compiled};
    use super::*;

    const ROOM: u64 = 1 << 20;

    /// One whose tenants have less room.
    fn policies() -> Policies {
        Policies {
            of_tenants: kept(ROOM).unwrap(),
            ..Policies::start(&Pem("a key".to_owned()), "/nowhere".into()).unwrap()
        }
    }

    #[test]
    fn tenants_share_their_room_by_the_size_of_machine_code_and_drive_no_tiers_module_out() {
        let policies = policies();
        let artifact = compiled(DENIES);
        let module = || Ok(Arc::new(policies.engine.load(&artifact).unwrap()));
        for tier in ["free", "pro"] {
            policies.of_tiers.insert(tier.to_owned(), module());
        }
        let size = artifact.bytes().len() as u64;
        let most = ROOM / size;
        // What a tenant asks for again and again stays, whatever others bring.
        policies.of_tenants.insert("busy".to_owned(), module());
        for nth in 0..most * 2 {
            policies.of_tenants.insert(format!("{nth}"), module());
            assert!(policies.of_tenants.get("busy").is_some(), "{nth}");
            assert!(policies.of_tenants.weight() <= ROOM, "{nth}");
        }
        let kept = policies.of_tenants.len() as u64;
        assert!((most * 9 / 10..=most).contains(&kept), "{kept} of {most}");
        assert!(policies.of_tiers.get("free").is_some());
        assert!(policies.of_tiers.get("pro").is_some());
    }

    #[test]
    fn what_cannot_be_loaded_takes_room_too() {
        let policies = policies();
        let most = ROOM / REFUSED;
        for nth in 0..most + 1_000 {
            let refused = Err("it is no module".to_owned());
            policies.of_tenants.insert(format!("{nth}"), refused);
        }
        assert!(policies.of_tenants.weight() <= ROOM);
        assert!(policies.of_tenants.len() as u64 <= most);
    }
}
