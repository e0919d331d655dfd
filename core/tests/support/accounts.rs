//! Whether every token that was answered is in the record, and everything in the
//! record was counted: answered ⊆ events ≤ counters.

use std::collections::HashSet;

use agentidp_core::clock::Now;
use redis::AsyncCommands as _;
use uuid::Uuid;

use super::load::Answer;
use super::{Client, Deployment, Tenant};

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    pub answered: usize,
    /// Issuances to the client on record.
    pub events: u64,
    /// `monthly:<client_id>:…`.
    pub month: u64,
    /// Issuances to the tenant on record.
    pub tenants_events: u64,
    /// `rate:tier:tokens:<org_id>`.
    pub day: u64,
}

impl Deployment {
    /// The accounts of the tenant's agent, which must hold.
    pub async fn accounts(&self, tenant: &Tenant, answers: &[Answer]) -> Account {
        let answered: Vec<Uuid> = answers.iter().filter_map(Answer::jti).collect();
        let recorded = self.issued(&tenant.agent).await;
        let missing: Vec<_> = answered
            .iter()
            .filter(|jti| !recorded.contains(jti))
            .collect();
        assert!(missing.is_empty(), "not on record: {missing:?}");

        let tenants_events: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM audit_events WHERE action = 'token.issued' AND org_id = $1",
        )
        .bind(tenant.org_id.parse::<Uuid>().unwrap())
        .fetch_one(&self.pool)
        .await
        .unwrap();
        let account = Account {
            answered: answered.len(),
            events: recorded.len() as u64,
            month: self.counter(&monthly(&tenant.agent)).await,
            tenants_events: tenants_events.unsigned_abs(),
            day: self
                .counter(&format!("rate:tier:tokens:{}", tenant.org_id))
                .await,
        };
        assert!(account.events <= account.month, "{account:?}");
        assert!(account.tenants_events <= account.day, "{account:?}");
        account
    }

    /// The ids of all tokens that the record says the client was issued.
    async fn issued(&self, client: &Client) -> HashSet<Uuid> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT event_id FROM audit_events WHERE action = 'token.issued' AND actor = $1",
        )
        .bind(client.id.parse::<Uuid>().unwrap())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        ids.into_iter().collect()
    }

    /// A counter of this deployment's Redis; 0 where there is none.
    pub async fn counter(&self, key: &str) -> u64 {
        let client = redis::Client::open(self.vars()["REDIS_URL"].as_str()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let count: Option<u64> = redis.get(key).await.unwrap();
        count.unwrap_or_default()
    }
}

fn monthly(client: &Client) -> String {
    let today = Now::read().timestamp().date();
    format!(
        "monthly:{}:{}:{}",
        client.id,
        today.year(),
        u8::from(today.month())
    )
}
