//! Many tenants, each with a module of its own: what the service takes in memory
//! when each has asked for a token, and how long the first decision takes, whose
//! module comes out of the database. Beside that, the same before the modules are
//! in force: a first token needs other things too.

use std::sync::Arc;
use std::time::Duration;

use agentidp_core::clock::Now;
use sqlx::{Connection as _, PgConnection};

use crate::http::post_form;
use crate::load::{Load, Measured, Requests};
use crate::plan::Plan;
use crate::policies::LABEL;
use crate::service::{self, LIFETIME_S, SCOPE, Service, TOKEN_PATH};
use crate::tenant::Tenant;
use crate::verify::Alg;
use crate::{Outcome, check, cpu, decisions, modules, ports, say};

/// What a service that has just started is left alone for.
const REST: Duration = Duration::from_secs(1);
/// How often it is looked whether Postgres has ended a service's connections.
const PAUSE: Duration = Duration::from_millis(20);
const LOOKS: usize = 250;
/// How long all of them may take to ask once, one after another.
const MOST: Duration = Duration::from_secs(120);
/// How often each asks: the first time, and the next.
const TIMES: usize = 2;

/// What was seen.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    pub(crate) tenants: usize,
    /// Bytes of machine code, of all modules together.
    pub(crate) code: u64,
    /// With the tier's module alone.
    pub(crate) without: Seen,
    pub(crate) with: Seen,
}

/// What a start of the service saw: everybody asks twice, in the same order.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Bytes, right after the start and after all have asked.
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) first: Measured,
    pub(crate) next: Measured,
    /// How often compiled modules were read from the database.
    pub(crate) reads: u64,
}

/// Measures with a running service, which is stopped.
pub(crate) async fn measure(plan: &Plan, service: &mut Service) -> Outcome<Crowd> {
    say(format!("  {} tenants upload...", plan.crowd));
    let module = modules::example("scopes-by-label")?;
    let settings = decisions::settings();
    let operator = service.management_token(&service.operator).await?;
    let (mut tenants, mut versions) = (Vec::new(), Vec::new());
    for number in 0..u32::try_from(plan.crowd)? {
        let name = format!("Crowd {number}");
        let resource = format!("https://crowd-{number}.bench.example");
        let tenant = Tenant::make_as(service, &operator, &name, &resource, 1, &[LABEL]).await?;
        let own = modules::numbered(&module, number);
        versions.push(tenant.upload_good(service, own, &settings).await?);
        tenants.push(tenant);
    }
    service.stop().await;
    let without = see(service, &tenants).await?;
    service.serve().await?;
    for (tenant, version) in tenants.iter().zip(&versions) {
        tenant.activate(service, version).await?;
    }
    service.stop().await;
    let mut with = see(service, &tenants).await?;
    // What a start reads are the tiers' modules.
    with.reads = with.reads.saturating_sub(without.reads);
    let code = check_record(service, &tenants, &versions).await?;
    let crowd = Crowd {
        tenants: tenants.len(),
        code,
        without,
        with,
    };
    say(format!("  {crowd:.2?}"));
    Ok(crowd)
}

/// With a stopped service, which is stopped again.
async fn see(service: &mut Service, tenants: &[Tenant]) -> Outcome<Seen> {
    let reads = reads(service).await?;
    service.serve().await?;
    tokio::time::sleep(REST).await;
    let before = cpu::resident(service.pid)?;
    let first = ask_all(service, tenants).await?;
    let next = ask_all(service, tenants).await?;
    let after = cpu::resident(service.pid)?;
    service.stop().await;
    Ok(Seen {
        before,
        after,
        first,
        next,
        reads: self::reads(service).await?.saturating_sub(reads),
    })
}

/// Every tenant's agent gets a token, one after another; all are verified.
async fn ask_all(service: &Service, tenants: &[Tenant]) -> Outcome<Measured> {
    let requests = tenants.iter().flat_map(|tenant| {
        let form = service::form(&tenant.resource);
        let agents = tenant.agents.iter();
        agents.map(move |agent| post_form(TOKEN_PATH, agent, &form))
    });
    let load = Load {
        address: ports::at(service.port),
        connections: 1,
        requests: Requests::Once(Arc::new(requests.collect())),
        warm_up: Duration::ZERO,
        measured: MOST,
        check: check::token(SCOPE, LIFETIME_S),
        meters: Vec::new(),
    };
    let begun = Now::read().s();
    let (measured, kept) = load.run().await?;
    if kept.len() != tenants.len() {
        return Err(format!("{} of {} got a token", kept.len(), tenants.len()).into());
    }
    let between = (begun, Now::read().s());
    let mut issuance = service.issuance(Alg::EdDSA).await?;
    for kept in &kept {
        // Each has one agent.
        let tenant = &tenants[kept.request];
        issuance.audience.clone_from(&tenant.resource);
        issuance.verify(&kept.text, &tenant.agents[0].id, between)?;
    }
    Ok(measured)
}

/// How often the table of compiled modules was looked into, by a service that has
/// stopped: its connections report it when they end, which is waited for.
async fn reads(service: &Service) -> Outcome<u64> {
    let mut connection = PgConnection::connect(&service.database_url).await?;
    for _ in 0..LOOKS {
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND backend_type = 'client backend'
                AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut connection)
        .await?;
        if others == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let reads: i64 = sqlx::query_scalar(
        "SELECT (coalesce(idx_scan, 0) + seq_scan)::bigint FROM pg_stat_user_tables
          WHERE relname = 'policy_artifacts'",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(u64::try_from(reads)?)
}

/// Each tenant's own version decided as often as it was asked; answers with the
/// bytes of machine code of all of them.
async fn check_record(service: &Service, tenants: &[Tenant], versions: &[String]) -> Outcome<u64> {
    let ids: Vec<&str> = tenants.iter().map(|tenant| &*tenant.org_id).collect();
    let mut connection = PgConnection::connect(&service.database_url).await?;
    let decided: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_events
           JOIN unnest($1::text[], $2::text[]) AS own (org_id, version)
             ON audit_events.org_id = own.org_id::uuid AND details->>'policy' = own.version
          WHERE action = 'token.issued'",
    )
    .bind(&ids)
    .bind(versions)
    .fetch_one(&mut connection)
    .await?;
    let (modules, code): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(length(artifact)), 0)::bigint FROM policy_artifacts
          WHERE module_digest IN (SELECT module_digest FROM policy_versions WHERE digest = ANY($1))",
    )
    .bind(versions)
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    if usize::try_from(modules)? != tenants.len() {
        return Err(format!("{} tenants have {modules} modules", tenants.len()).into());
    }
    match usize::try_from(decided)? == tenants.len() * TIMES {
        true => Ok(u64::try_from(code)?),
        false => Err(format!("{} tenants' modules decided {decided} times", tenants.len()).into()),
    }
}
