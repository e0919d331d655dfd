//! A tenant that does its worst beside one that asks for tokens: its policy never
//! ends, its clients ask for tokens all the time, and it uploads bombs. What the
//! other one sees, beside an idle neighbour, beside a busy one, beside this one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::http::post_form;
use crate::load::{Load, Measured, Requests, median_of};
use crate::plan::Plan;
use crate::policies::Asker;
use crate::service::{self, Service, TOKEN_PATH};
use crate::stores::Stores;
use crate::tenant::Tenant;
use crate::{Outcome, check, cpu, modules, ports, say};

const RESOURCE: &str = "https://hostile.bench.example";
/// Of each of the two tenants.
const CONNECTIONS: usize = 16;
/// How many agents the hostile one has.
const AGENTS: usize = 8;
/// How long bombs may still be compiled when nobody uploads any more.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What the tenant saw beside its neighbour.
pub(crate) struct Neighbours {
    pub(crate) idle: Measured,
    pub(crate) busy: Measured,
    pub(crate) hostile: Measured,
    /// Requests of the hostile one that ran into its policy, in all rounds.
    pub(crate) loops: usize,
    /// Bombs that it uploaded.
    pub(crate) bombs: usize,
}

/// Measures with a service that nobody else asks.
pub(crate) async fn measure(
    plan: &Plan,
    stores: &Stores,
    service: &Service,
) -> Outcome<Neighbours> {
    let mut tenant = Asker::make(service, stores, "https://beside.bench.example", true).await?;
    let mut busy = Asker::make(service, stores, "https://busy.bench.example", true).await?;
    let mut hostile = Hostile::make(service).await?;
    tenant.settle(plan, CONNECTIONS).await?;
    busy.settle(plan, CONNECTIONS).await?;
    let [mut beside_idle, mut beside_busy, mut beside_hostile]: [Vec<Measured>; 3] =
        Default::default();
    let (mut loops, mut bombs) = (0, 0);
    for round in 0..plan.rounds {
        for turn in 0..3 {
            // Another one begins in each round.
            match (round + turn) % 3 {
                0 => beside_idle.push(tenant.round(plan, CONNECTIONS).await?),
                1 => {
                    let other = busy.round(plan, CONNECTIONS);
                    let (seen, _) = tokio::try_join!(tenant.round(plan, CONNECTIONS), other)?;
                    beside_busy.push(seen);
                }
                _ => {
                    let other = hostile.attack(plan, service, &mut bombs);
                    let (seen, asked) = tokio::try_join!(tenant.round(plan, CONNECTIONS), other)?;
                    beside_hostile.push(seen);
                    loops += asked;
                    compiled(service).await?;
                }
            }
        }
    }
    tenant.check_record(service).await?;
    busy.check_record(service).await?;
    let neighbours = Neighbours {
        idle: median_of(&beside_idle),
        busy: median_of(&beside_busy),
        hostile: median_of(&beside_hostile),
        loops,
        bombs,
    };
    for (beside, seen) in [
        ("an idle neighbour", &neighbours.idle),
        ("a busy one", &neighbours.busy),
        ("a hostile one", &neighbours.hostile),
    ] {
        let Measured {
            a_second,
            p50_ms,
            p99_ms,
            ..
        } = seen;
        say(format!(
            "  beside {beside}: {a_second:.0}/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms"
        ));
    }
    Ok(neighbours)
}

/// The tenant with the policy that never ends.
struct Hostile {
    tenant: Tenant,
    bomb: Vec<u8>,
    uploaded: u32,
}

impl Hostile {
    async fn make(service: &Service) -> Outcome<Self> {
        let tenant = Tenant::make(service, "Hostile", RESOURCE, AGENTS, &[]).await?;
        let endless = modules::hostile("endless-loop")?;
        let digest = tenant.upload_good(service, endless, &json!({})).await?;
        tenant.activate(service, &digest).await?;
        Ok(Self {
            tenant,
            bomb: modules::bomb()?,
            uploaded: 0,
        })
    }

    /// Runs loops for as long as a round takes, and uploads bombs meanwhile;
    /// answers with how many requests there were.
    async fn attack(
        &mut self,
        plan: &Plan,
        service: &Service,
        bombs: &mut usize,
    ) -> Outcome<usize> {
        let form = service::form(RESOURCE);
        let requests = self
            .tenant
            .agents
            .iter()
            .map(|agent| post_form(TOKEN_PATH, agent, &form));
        let load = Load {
            address: ports::at(service.port),
            connections: CONNECTIONS,
            requests: Requests::Repeated(Arc::new(requests.collect())),
            warm_up: plan.warm_up,
            measured: plan.measured,
            check: check::undecided(),
            meters: Vec::new(),
        };
        tokio::select! {
            done = load.run() => Ok(done?.0.answers),
            failed = self.upload_bombs(service, bombs) => failed,
        }
    }

    /// One after another, each of its own digest, until it is dropped.
    async fn upload_bombs(&mut self, service: &Service, bombs: &mut usize) -> Outcome<usize> {
        loop {
            self.uploaded += 1;
            *bombs += 1;
            let bomb = modules::numbered(&self.bomb, self.uploaded);
            let (status, said) = self.tenant.upload(service, bomb, &json!({})).await?;
            // Some compilers are fast enough.
            if !matches!(status, 201 | 422) {
                return Err(format!("a bomb was answered with {status}: {said}").into());
            }
        }
    }
}

/// Waits until no compiler runs any more: the next round is not to see it.
async fn compiled(service: &Service) -> Outcome<()> {
    let wait = async {
        // One that has ended may be followed by one that has waited.
        for _ in 0..5 {
            while !cpu::children_of(service.pid)?.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .map_err(|_| "a bomb is compiled for longer than it may be")?
}
