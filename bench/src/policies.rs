//! What policies cost: a decision, an issuance with one module and with two, many
//! tenants with a module each, and a hostile tenant's neighbours. A service of its
//! own, on the stores of the run.

use crate::crowd::Crowd;
use crate::hostile::Neighbours;
use crate::load::{Measured, SHORTEST, median_of};
use crate::plan::Plan;
use crate::service::Service;
use crate::stores::{Folder, Stores};
use crate::tenant::Tenant;
use crate::tokens::Contender;
use crate::verify::Alg;
use crate::{Outcome, crowd, decisions, hostile, modules, say};

const CONNECTIONS: usize = 32;
/// Of a tenant whose issuance is measured.
const AGENTS: usize = 8;
/// What they may be.
pub(crate) const LABEL: &str = "reader";

/// A whole run.
pub(crate) struct Policies {
    pub(crate) decisions: Vec<decisions::Row>,
    /// With the tier's module alone, and with the tenant's too.
    pub(crate) issuance: [Measured; 2],
    pub(crate) crowd: Crowd,
    pub(crate) neighbours: Neighbours,
}

/// Measures all of it.
pub(crate) async fn measure(plan: &Plan, stores: &Stores, folder: &Folder) -> Outcome<Policies> {
    say("Policies:");
    let mut service = Service::start(stores, folder, Alg::EdDSA).await?;
    let decisions = decisions::measure(plan, &service).await?;
    let issuance = issuance(plan, stores, &service).await?;
    let neighbours = hostile::measure(plan, stores, &service).await?;
    let crowd = crowd::measure(plan, &mut service).await?;
    service.stop().await;
    Ok(Policies {
        decisions,
        issuance,
        crowd,
        neighbours,
    })
}

/// Tenants whose clients ask for tokens, and what decides beside the tier's module.
pub(crate) struct Asker {
    pub(crate) tenant: Tenant,
    pub(crate) contender: Contender,
    version: Option<String>,
}

impl Asker {
    /// One with `scopes-by-label` in force, or with nothing of its own.
    pub(crate) async fn make(
        service: &Service,
        stores: &Stores,
        resource: &str,
        with_module: bool,
    ) -> Outcome<Self> {
        let tenant = Tenant::make(service, resource, resource, AGENTS, &[LABEL]).await?;
        let mut version = None;
        if with_module {
            let module = modules::example("scopes-by-label")?;
            let settings = decisions::settings();
            let digest = tenant.upload_good(service, module, &settings).await?;
            tenant.activate(service, &digest).await?;
            version = Some(digest);
        }
        Ok(Self {
            tenant,
            contender: Contender::service(service, stores, Alg::EdDSA, resource).await?,
            version,
        })
    }

    /// A round of the plan's.
    pub(crate) async fn round(&mut self, plan: &Plan, connections: usize) -> Outcome<Measured> {
        let agents = &self.tenant.agents;
        self.contender
            .round(connections, plan.warm_up, plan.measured, agents)
            .await
    }

    /// So that the first round is like the others.
    pub(crate) async fn settle(&mut self, plan: &Plan, connections: usize) -> Outcome<()> {
        let agents = &self.tenant.agents;
        self.contender
            .round(connections, plan.settle, SHORTEST, agents)
            .await
            .map(drop)
    }

    /// Every token is on record, decided by whom it should be.
    pub(crate) async fn check_record(&self, service: &Service) -> Outcome<()> {
        let (jtis, version) = (&self.contender.jtis, self.version.as_deref());
        self.tenant.check_record(service, jtis, version).await
    }
}

async fn issuance(plan: &Plan, stores: &Stores, service: &Service) -> Outcome<[Measured; 2]> {
    let mut askers = [
        Asker::make(service, stores, "https://one.bench.example", false).await?,
        Asker::make(service, stores, "https://two.bench.example", true).await?,
    ];
    for asker in &mut askers {
        asker.settle(plan, CONNECTIONS).await?;
    }
    let mut rounds: [Vec<Measured>; 2] = Default::default();
    for round in 0..plan.rounds {
        for turn in 0..askers.len() {
            // Another one begins in each round.
            let index = (round + turn) % askers.len();
            rounds[index].push(askers[index].round(plan, CONNECTIONS).await?);
        }
    }
    for asker in &askers {
        asker.check_record(service).await?;
    }
    let measured = rounds.map(|rounds| median_of(&rounds));
    for (modules, measured) in measured.iter().enumerate() {
        say(format!(
            "  issuance with {} module(s): {:.0}/s, CPU-µs {:.1?}",
            modules + 1,
            measured.a_second,
            measured.cpu_us
        ));
    }
    Ok(measured)
}
