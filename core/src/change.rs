//! A change of what the service knows: one transaction that holds the change,
//! its audit event and its number for whoever follows by cursor. Handlers get no
//! other way to write.

use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::audit::{self, Event};
use crate::clients::Clients;
use crate::clock::Now;
use crate::database::Database;
use crate::error::Failure;
use crate::ids::{AgentId, EventId, OrgId};
use crate::revocations::{self, Revocation};

/// How long another replica may still issue by what it had read, in whole seconds:
/// four times what it waits between two looks (see [`crate::follow`]).
const PROPAGATION_S: u64 = 1;

/// A change that has begun. Dropped without [`Change::commit`] it never was.
#[derive(Debug)]
pub struct Change<'a> {
    transaction: Transaction<'static, Postgres>,
    clients: Option<&'a Clients>,
    actor: Option<AgentId>,
    now: Now,
    touched: Vec<(OrgId, Option<AgentId>)>,
    revocations: Vec<Revocation>,
}

impl<'a> Change<'a> {
    /// Begins. `clients` is this process's cache, where it serves.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn begin(
        database: &Database,
        clients: Option<&'a Clients>,
        actor: Option<AgentId>,
        now: Now,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self {
            transaction: database.begin().await?,
            clients,
            actor,
            now,
            touched: Vec::new(),
            revocations: Vec::new(),
        })
    }

    /// Where to write.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// When it happens.
    pub const fn now(&self) -> Now {
        self.now
    }

    /// Writes the audit event of this change.
    ///
    /// # Errors
    /// The database's.
    pub async fn record(
        &mut self,
        org_id: OrgId,
        action: &'static str,
        subject: impl ToString,
        details: Value,
    ) -> Result<(), sqlx::Error> {
        let event = Event {
            id: EventId::new(self.now, &mut rand::rng()),
            at: self.now,
            org_id,
            actor: self.actor,
            action,
            subject: subject.to_string(),
            details: details.to_string(),
        };
        audit::insert(&mut self.transaction, vec![event]).await
    }

    /// What is cached of this agent is out of date once this commits.
    pub fn touch_agent(&mut self, org_id: OrgId, agent_id: AgentId) {
        self.touched.push((org_id, Some(agent_id)));
    }

    /// What is cached of this tenant's agents is out of date once this commits.
    pub fn touch_tenant(&mut self, org_id: OrgId) {
        self.touched.push((org_id, None));
    }

    /// Kills tokens, or lets new ones live, once this commits.
    pub fn revoke(&mut self, revocation: Revocation) {
        self.revocations.push(revocation);
    }

    /// Commits. Numbers are taken last: from the first one on, no other change
    /// can commit before this one does.
    ///
    /// # Errors
    /// The database's; then nothing has changed, or it is not known.
    pub async fn commit(mut self) -> Result<(), Failure> {
        // Read anew: tokens were issued while this waited for its locks, and others
        // will be until every replica has heard of it. They all are older tokens.
        let lifted_at = Now::read().s() + PROPAGATION_S;
        for revocation in std::mem::take(&mut self.revocations) {
            let seq = self.next_number().await?;
            revocations::put(&mut self.transaction, &revocation, seq, lifted_at, self.now).await?;
        }
        let touched = std::mem::take(&mut self.touched);
        for (org_id, agent_id) in &touched {
            let seq = self.next_number().await?;
            sqlx::query!(
                "INSERT INTO client_changes (seq, org_id, agent_id, changed_at) VALUES ($1, $2, $3, $4)",
                seq,
                org_id.0,
                agent_id.map(|id| id.0),
                self.now.timestamp(),
            )
            .execute(&mut *self.transaction)
            .await?;
        }
        let committed = self.transaction.commit().await;
        // Forgetting too much is harmless, so also where the outcome is unknown.
        if let Some(clients) = self.clients {
            for (org_id, agent_id) in touched {
                clients.forget(org_id, agent_id);
            }
        }
        Ok(committed?)
    }

    async fn next_number(&mut self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar!("UPDATE change_head SET seq = seq + 1 RETURNING seq")
            .fetch_one(&mut *self.transaction)
            .await
    }
}

/// The number of the last change. Whatever has a number up to it is visible.
pub(crate) async fn head(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("SELECT seq FROM change_head")
        .fetch_one(connection)
        .await
}
