//! `POST /token` on the service, on npm's oidc-provider and on the ceiling: the
//! same request, in rounds that take turns, so that what else the machine does
//! hits all alike.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agentidp_core::clock::Now;

use crate::cpu::Meter;
use crate::http::{Client, post_form};
use crate::load::{Load, Measured, Requests, SHORTEST, median_of};
use crate::peers::{Peer, Settings};
use crate::plan::Plan;
use crate::service::{self, LIFETIME_S, RESOURCE, SCOPE, Service, TOKEN_PATH};
use crate::stores::{Folder, Stores};
use crate::verify::{Alg, Issuance};
use crate::{Outcome, check, ports, say};

/// Who is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Service,
    OidcProvider,
    Ceiling,
}

/// A row: the medians of the rounds.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) alg: Alg,
    pub(crate) who: Who,
    pub(crate) connections: usize,
    pub(crate) measured: Measured,
}

/// Somebody to ask, and what their tokens must be.
pub(crate) struct Contender {
    who: Who,
    address: SocketAddr,
    path: &'static str,
    meters: Vec<Meter>,
    issuance: Issuance,
    /// Of every token that it gave.
    pub(crate) jtis: HashSet<String>,
}

/// Measures all three with keys of one algorithm. `service` has answered nobody
/// else's requests for a token of the resource; answers with the `jti`s that it
/// gave out.
pub(crate) async fn measure(
    plan: &Plan,
    stores: &Stores,
    service: &Service,
    folder: &Folder,
    alg: Alg,
) -> Outcome<(Vec<Row>, HashSet<String>)> {
    let settings = || -> Outcome<Settings> {
        Ok(Settings {
            alg,
            port: ports::free()?,
            clients: service.agents.clone(),
            resource: RESOURCE.to_owned(),
            scope: SCOPE.to_owned(),
            lifetime: LIFETIME_S,
        })
    };
    let npm = Peer::oidc_provider(&settings()?, &folder.path().join("oidc-provider.log")).await?;
    let ceiling = Peer::ceiling(&settings()?, &folder.path().join("ceiling.log")).await?;
    let mut contenders = [
        Contender::service(service, stores, alg, RESOURCE).await?,
        Contender::peer(Who::OidcProvider, &npm, alg).await?,
        Contender::peer(Who::Ceiling, &ceiling, alg).await?,
    ];
    for contender in &mut contenders {
        contender
            .round(32, plan.settle, SHORTEST, &service.agents)
            .await?;
    }
    let mut rows = Vec::new();
    for connections in [1, 32, 128] {
        let mut rounds: [Vec<Measured>; 3] = Default::default();
        for round in 0..plan.rounds {
            // Another one begins in each round.
            for turn in 0..contenders.len() {
                let index = (round + turn) % contenders.len();
                let contender = &mut contenders[index];
                let (warm_up, measured) = (plan.warm_up, plan.measured);
                let measured = contender.round(connections, warm_up, measured, &service.agents);
                rounds[index].push(measured.await?);
            }
        }
        for (contender, rounds) in contenders.iter().zip(&rounds) {
            let measured = median_of(rounds);
            let (who, alg_name) = (contender.who, alg.name());
            say(format!(
                "  {alg_name} {who:?} at {connections}: {:.0}/s, CPU-µs {:.1?}",
                measured.a_second, measured.cpu_us
            ));
            rows.push(Row {
                alg,
                who,
                connections,
                measured,
            });
        }
    }
    npm.stop().await;
    ceiling.stop().await;
    let [of_service, ..] = contenders;
    Ok((rows, of_service.jtis))
}

impl Contender {
    /// The service, for the clients of the tenant whose resource that is.
    pub(crate) async fn service(
        service: &Service,
        stores: &Stores,
        alg: Alg,
        resource: &str,
    ) -> Outcome<Self> {
        let issuance = service.issuance(alg).await?;
        Ok(Self {
            who: Who::Service,
            address: ports::at(service.port),
            path: TOKEN_PATH,
            meters: service.meters(stores),
            issuance: Issuance {
                audience: resource.to_owned(),
                ..issuance
            },
            jtis: HashSet::new(),
        })
    }

    async fn peer(who: Who, peer: &Peer, alg: Alg) -> Outcome<Self> {
        let url = format!("http://127.0.0.1:{}", peer.port);
        Ok(Self {
            who,
            address: ports::at(peer.port),
            path: "/token",
            meters: vec![Meter::of(peer.pid)],
            issuance: service::issuance(alg, &url, "/jwks").await?,
            jtis: HashSet::new(),
        })
    }

    /// A load, and the verification of every token that it gave.
    pub(crate) async fn round(
        &mut self,
        connections: usize,
        warm_up: Duration,
        measured: Duration,
        clients: &[Client],
    ) -> Outcome<Measured> {
        let form = service::form(&self.issuance.audience);
        let requests = clients
            .iter()
            .map(|client| post_form(self.path, client, &form));
        let load = Load {
            address: self.address,
            connections,
            requests: Requests::Repeated(Arc::new(requests.collect())),
            warm_up,
            measured,
            check: check::token(SCOPE, LIFETIME_S),
            meters: self.meters.clone(),
        };
        let begun = Now::read().s();
        let result = load.run().await;
        let between = (begun, Now::read().s());
        let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
        let checked = result.and_then(|(measured, kept)| {
            self.issuance
                .verify_all(&kept, &ids, between, &mut self.jtis)?;
            Ok(measured)
        });
        checked.map_err(|why| format!("{:?} at {connections} connections: {why}", self.who).into())
    }
}
