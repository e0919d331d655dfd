//! Clients as the token endpoint and the API need them: one entry, read once and kept until
//! a change of it is heard of. What is kept can only be too old by a change that
//! another replica made within the last poll (see [`crate::follow`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;

use crate::agents::Status;
use crate::clock::Now;
use crate::credentials::{self, LastUse, SecretDigest};
use crate::database::Database;
use crate::ids::{AgentId, CredentialId, OrgId};
use crate::policy::{self, InForce};
use crate::tenants::{self, Status as TenantStatus, Tier};
use crate::{resources, scope};

/// How many clients are kept, about 1 KB each.
const MOST_KEPT: usize = 50_000;

/// An audience that the client's tenant protects.
#[derive(Debug, Clone)]
pub struct Audience {
    pub(crate) identifier: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) default: bool,
}

/// A client's secret that works until `expires_at` (Unix seconds).
#[derive(Debug)]
pub struct UsableSecret {
    pub(crate) credential_id: CredentialId,
    pub(crate) digest: SecretDigest,
    pub(crate) expires_at: u64,
    pub(crate) last_use: LastUse,
}

/// Everything about a client that an issuance asks for.
#[derive(Debug)]
pub struct Client {
    /// The agent.
    pub agent_id: AgentId,
    /// Its tenant.
    pub org_id: OrgId,
    /// Its tier's numbers.
    pub tier: Tier,
    /// What it may ask for.
    pub scopes: Vec<String>,
    pub(crate) agent_type: String,
    pub(crate) deployment_env: String,
    pub(crate) capabilities: Vec<String>,
    /// Its tenant's versions; none where it administers, or it could lock itself out.
    pub(crate) policy: InForce,
    /// Neither the agent nor its tenant is suspended or gone.
    pub(crate) in_service: bool,
    /// The last second whose tokens are dead, from an entry that was lifted.
    pub(crate) dead_until: Option<u64>,
    pub(crate) audiences: Vec<Audience>,
    pub(crate) secrets: Vec<UsableSecret>,
}

/// The clients that were asked for lately.
#[derive(Debug)]
pub struct Clients {
    kept: Cache<AgentId, Arc<Client>>,
    /// Counts what was forgotten, so that an entry that was read before a change
    /// is not put in after it. Locked while entries are put in or forgotten.
    forgotten: Mutex<u64>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            kept: Cache::new(MOST_KEPT),
            forgotten: Mutex::new(0),
        }
    }
}

impl Client {
    /// Neither the agent nor its tenant is suspended or gone.
    pub const fn is_in_service(&self) -> bool {
        self.in_service
    }
}

impl Clients {
    /// The client, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn find(
        &self,
        database: &Database,
        agent_id: AgentId,
        now: Now,
    ) -> Result<Option<Arc<Client>>, sqlx::Error> {
        if let Some(client) = self.kept.get(&agent_id) {
            return Ok(Some(client));
        }
        let before = *self.forgotten();
        let Some(client) = read(database, agent_id, now).await?.map(Arc::new) else {
            return Ok(None);
        };
        let forgotten = self.forgotten();
        if *forgotten == before {
            self.kept.insert(agent_id, Arc::clone(&client));
        }
        drop(forgotten);
        Ok(Some(client))
    }

    /// Forgets an agent, or all of a tenant's.
    pub fn forget(&self, org_id: OrgId, agent_id: Option<AgentId>) {
        let mut forgotten = self.forgotten();
        *forgotten += 1;
        match agent_id {
            Some(agent_id) => {
                self.kept.remove(&agent_id);
            }
            None => self.kept.retain(|_, client| client.org_id != org_id),
        }
    }

    /// Forgets everything.
    pub fn forget_all(&self) {
        let mut forgotten = self.forgotten();
        *forgotten += 1;
        self.kept.clear();
    }

    fn forgotten(&self) -> MutexGuard<'_, u64> {
        self.forgotten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(
    database: &Database,
    agent_id: AgentId,
    now: Now,
) -> Result<Option<Client>, sqlx::Error> {
    // One transaction's snapshot, so that no half of a change is seen.
    let mut transaction = database.begin().await?;
    sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query!(
        r#"SELECT a.org_id AS "org_id: OrgId", a.agent_type, a.deployment_env, a.capabilities, a.scopes,
                  a.status AS "status: Status", t.status AS "tenant_status: TenantStatus",
                  (SELECT max(lifted_at) FROM revocations r
                    WHERE (r.kind = 'agent' AND r.id = a.agent_id::text)
                       OR (r.kind = 'tenant' AND r.id = a.org_id::text)) AS lifted_at
             FROM agents a JOIN tenants t USING (org_id)
            WHERE a.agent_id = $1"#,
        agent_id.0,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let secrets = credentials::usable(&mut *transaction, row.org_id, agent_id, now).await?;
    let audiences = resources::of_tenant(&mut *transaction, row.org_id).await?;
    let tier = tenants::tier_of(&mut *transaction, row.org_id).await?;
    let policy = if scope::administers(&row.scopes) {
        InForce::default()
    } else {
        policy::in_force(&mut transaction, row.org_id).await?
    };
    transaction.commit().await?;
    Ok(Some(Client {
        agent_id,
        org_id: row.org_id,
        tier,
        scopes: row.scopes,
        agent_type: row.agent_type,
        deployment_env: row.deployment_env,
        capabilities: row.capabilities,
        policy,
        in_service: row.status == Status::Active && row.tenant_status == TenantStatus::Active,
        dead_until: row.lifted_at.map(|at| at.unix_timestamp().unsigned_abs()),
        audiences: audiences
            .into_iter()
            .map(|(identifier, scopes, default)| Audience {
                identifier,
                scopes,
                default,
            })
            .collect(),
        secrets: secrets
            .into_iter()
            .map(|(credential_id, digest, expires_at)| UsableSecret {
                credential_id,
                digest,
                expires_at,
                last_use: LastUse::default(),
            })
            .collect(),
    }))
}
