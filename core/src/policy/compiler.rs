//! A module's machine code: from the database, or compiled in the module's turn and
//! stored there.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::artifacts::{Artifact, Artifacts};
use super::compile::{Uncompiled, compile};
use super::queue::{Full, Queue};
use super::refused::Refused;
use super::traffic::Traffic;
use crate::clock::Now;
use crate::database::Database;

/// Why a module was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Its own fault, each time.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Too many wait to be compiled.
    #[error("Too many modules wait to be compiled; try again.")]
    Busy,
    /// There is no compiler to be had at this moment.
    #[error("The module cannot be compiled now; try again.")]
    Unavailable,
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<Full> for CompileError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

impl From<Uncompiled> for CompileError {
    fn from(error: Uncompiled) -> Self {
        match error {
            Uncompiled::Refused(refused) => Self::Refused(refused),
            Uncompiled::Failed(why) => {
                tracing::error!("no policy can be compiled: {why}");
                Self::Unavailable
            }
        }
    }
}

/// The way to machine code.
pub(super) struct Compiler {
    pub(super) artifacts: Artifacts,
    pub(super) program: PathBuf,
    pub(super) queue: Queue,
    pub(super) traffic: Arc<Traffic>,
}

/// Who waits for machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// Whoever uploaded the module.
    Upload,
    /// A decision.
    Decision,
}

impl Compiler {
    /// What a module was compiled to, by whomever, or is now, and is stored. It goes
    /// on where nobody waits for it any more, so that it is there the next time.
    pub(super) async fn artifact(
        self: &Arc<Self>,
        database: &Database,
        whose: Uuid,
        module_digest: &str,
        module: Vec<u8>,
        haste: Haste,
    ) -> Result<Artifact, CompileError> {
        let (own, database) = (Arc::clone(self), database.clone());
        let module_digest = module_digest.to_owned();
        let work = async move {
            let _hurry = (haste == Haste::Decision).then(|| own.traffic.hurry());
            let _turn = own.queue.turn(whose).await?;
            // Somebody else, here or elsewhere, may have done it meanwhile.
            if let Some(artifact) = own.artifacts.load(&database, &module_digest).await? {
                return Ok(artifact);
            }
            let code = own.compile(&module, haste).await?;
            let stored = own
                .artifacts
                .store(&database, &module_digest, code, Now::read());
            Ok(stored.await?)
        };
        tokio::spawn(work)
            .await
            .unwrap_or(Err(CompileError::Unavailable))
    }

    async fn compile(&self, module: &[u8], haste: Haste) -> Result<Vec<u8>, Uncompiled> {
        let traffic = (haste == Haste::Upload).then_some(&*self.traffic);
        compile(&self.program, module, traffic).await
    }
}
