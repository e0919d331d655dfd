//! What tenants may upload, and what becomes of it: looked at, compiled by a child
//! with limits, stored under a MAC, run. Bombs of every kind get a clear answer.

mod artifacts;
mod child;
mod uploads;

use std::time::{Duration, Instant};

use agentidp_core::clock::Now;
use agentidp_core::config::{DatabaseUrl, Pem};
use agentidp_core::database::Database;
use agentidp_core::ids::OrgId;
use agentidp_core::limits::Used;
use agentidp_core::policy::{Allowed, CompileError, Policies, Question, Verdict, Version};

use crate::support::modules::digest;
use crate::support::{BINARY, Deployment, memory};

/// A sandbox of its own beside the service's, on the same database.
struct Sandbox {
    deployment: Deployment,
    database: Database,
    policies: Policies,
    org_id: OrgId,
}

impl Sandbox {
    async fn start() -> Self {
        let deployment = Deployment::start().await;
        let url = DatabaseUrl::from(deployment.vars()["DATABASE_URL"].clone());
        let database = Database::connect(&url, 4).await.unwrap();
        let policies = sandbox(&deployment);
        Self {
            database,
            policies,
            org_id: OrgId::new(Now::read(), &mut rand::rng()),
            deployment,
        }
    }

    /// Puts a module where an upload would; answers with its digest.
    async fn put(&self, module: &[u8]) -> String {
        let digest = digest(module);
        sqlx::query("INSERT INTO policy_modules (digest, component, built_in, created_at) VALUES ($1, $2, false, $3) ON CONFLICT DO NOTHING")
            .bind(&digest)
            .bind(module)
            .bind(Now::read().timestamp())
            .execute(&self.deployment.pool)
            .await
            .unwrap();
        digest
    }

    /// Uploads a module: what was said to it, after how long, and by how many KiB
    /// this process grew meanwhile.
    async fn upload(&self, module: &[u8]) -> (Result<(), CompileError>, Duration, u64) {
        let digest = self.put(module).await;
        let module = module.to_vec();
        memory::forget_peak();
        let before = memory::peak_kib();
        let begun = Instant::now();
        let compiled = self
            .policies
            .compile(&self.database, self.org_id, &digest, module)
            .await;
        let grown = memory::peak_kib().saturating_sub(before);
        (compiled, begun.elapsed(), grown)
    }

    async fn ask(&self, module_digest: &str) -> Verdict {
        ask(&self.policies, &self.database, self.org_id, module_digest).await
    }

    async fn stop(self) {
        self.database.close().await;
        self.deployment.stop().await;
    }
}

/// One with the deployment's key, and nothing loaded.
fn sandbox(deployment: &Deployment) -> Policies {
    let key = Pem::from(deployment.private_key.clone());
    Policies::start(&key, BINARY.into()).unwrap()
}

/// What a tenant's module makes of a token for `a:read`.
async fn ask(
    policies: &Policies,
    database: &Database,
    org_id: OrgId,
    module_digest: &str,
) -> Verdict {
    let none = Used {
        used: 1,
        limit: None,
    };
    let question = Question {
        agent_id: OrgId::new(Now::read(), &mut rand::rng()).to_string(),
        agent_type: "worker".to_owned(),
        deployment_env: "production".to_owned(),
        capabilities: Vec::new(),
        org_id: org_id.to_string(),
        tier: "pro".to_owned(),
        audience: "https://api.example".to_owned(),
        scopes: vec!["a:read".to_owned()],
        now: Now::read().s(),
        tokens_today: none,
        tokens_this_month: none,
    };
    let left = Allowed {
        scopes: question.scopes.clone(),
        lifetime_s: 600,
        requests_per_minute: None,
        claims: Default::default(),
    };
    let version = Version {
        digest: "version".to_owned(),
        module_digest: module_digest.to_owned(),
        settings: Vec::new(),
        claims: Vec::new(),
    };
    policies
        .ask_tenant(database, &question, &left, &version)
        .await
        .unwrap()
}
