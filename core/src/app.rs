//! What a handler can reach.

use std::sync::Arc;

use crate::addresses::Addresses;
use crate::audit::Writer;
use crate::change::Change;
use crate::clients::Clients;
use crate::clock::Now;
use crate::config::Config;
use crate::credentials::Uses;
use crate::database::Database;
use crate::edge_sync::{Kept, Seen};
use crate::health::Looked;
use crate::hot::HotStore;
use crate::ids::AgentId;
use crate::keys::KeyRing;
use crate::limits::Ledger;
use crate::metrics::Metrics;
use crate::once::Seal;
use crate::policy::{Policies, Samples};

/// The service's parts, made once at the start.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// The record.
    pub database: Database,
    /// The hot counters.
    pub hot: Box<dyn HotStore>,
    /// The signing key and what is published.
    pub keys: KeyRing,
    /// The clients that were asked for lately.
    pub clients: Clients,
    /// The sandboxed modules.
    pub policy: Arc<Policies>,
    /// Which decisions keep their input.
    pub(crate) samples: Samples,
    /// The way of issuances into the record.
    pub audit: Writer,
    /// What the counters were allowed to come to.
    pub ledger: Ledger,
    /// When credentials were last used.
    pub uses: Uses,
    /// When edges were last seen.
    pub seen: Seen,
    /// The feed's pages of a moment ago.
    pub pages: Kept,
    /// What Prometheus reads.
    pub metrics: Arc<Metrics>,
    /// What addresses may do before anybody has authenticated.
    pub addresses: Addresses,
    /// What `/ready` said last.
    pub looked: Looked,
    /// Seals what is kept of answers that hold secrets.
    pub seal: Seal,
}

impl App {
    /// Begins a change by `actor`.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn change(&self, actor: AgentId) -> Result<Change<'_>, sqlx::Error> {
        Change::begin(
            &self.database,
            Some(&self.clients),
            Some(actor),
            Now::read(),
        )
        .await
    }
}
