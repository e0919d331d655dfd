//! What a handler can reach.

use sqlx::PgPool;

use crate::audit::Writer;
use crate::change::Change;
use crate::clients::Clients;
use crate::clock::Now;
use crate::config::Config;
use crate::hot::HotStore;
use crate::ids::AgentId;
use crate::keys::KeyRing;
use crate::policy::Policies;

/// The service's parts, made once at the start.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// The record.
    pub pool: PgPool,
    /// The hot counters.
    pub hot: Box<dyn HotStore>,
    /// The signing key and what is published.
    pub keys: KeyRing,
    /// The clients that were asked for lately.
    pub clients: Clients,
    /// The sandboxed modules.
    pub policy: Policies,
    /// The way of issuances into the record.
    pub audit: Writer,
}

impl App {
    /// Begins a change by `actor`.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn change(&self, actor: AgentId) -> Result<Change<'_>, sqlx::Error> {
        Change::begin(&self.pool, Some(&self.clients), Some(actor), Now::read()).await
    }
}
