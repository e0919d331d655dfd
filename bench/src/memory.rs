//! How much memory the service takes: idle, and with very many agents registered,
//! of whom tens of thousands have just asked for a token. The agents are copies,
//! in SQL, of one that was made through the API.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use agentidp_core::clock::Now;
use agentidp_core::credentials::{Secret, SecretKind};
use sqlx::{Connection as _, PgConnection};

use crate::http::{Client, post_form};
use crate::load::{Load, Requests};
use crate::plan::Plan;
use crate::service::{self, LIFETIME_S, RESOURCE, SCOPE, Service, TOKEN_PATH};
use crate::verify::Alg;
use crate::{Outcome, check, cpu, ports, say};

/// What the idle service is left alone for.
const REST: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 32;

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Bytes, right after the start.
    pub(crate) idle: u64,
    /// Bytes, after the agents have asked.
    pub(crate) peopled: u64,
    pub(crate) registered: usize,
    pub(crate) asking: usize,
}

/// Measures with a stopped service, which is stopped again.
pub(crate) async fn measure(plan: &Plan, service: &mut Service, alg: Alg) -> Outcome<Memory> {
    service.serve().await?;
    tokio::time::sleep(REST).await;
    let idle = cpu::resident(service.pid)?;
    service.stop().await;

    say(format!("  {} agents are registered...", plan.registered));
    let clients = register(plan, service).await?;
    service.serve().await?;
    ask_all(service, alg, &clients).await?;
    let peopled = cpu::resident(service.pid)?;
    service.stop().await;
    Ok(Memory {
        idle,
        peopled,
        registered: plan.registered,
        asking: plan.asking,
    })
}

/// Every one of them gets a token; all are verified, and all are on record.
async fn ask_all(service: &Service, alg: Alg, clients: &[Client]) -> Outcome<()> {
    let form = service::form(RESOURCE);
    let requests = clients
        .iter()
        .map(|client| post_form(TOKEN_PATH, client, &form));
    let load = Load {
        address: ports::at(service.port),
        connections: CONNECTIONS,
        requests: Requests::Once(Arc::new(requests.collect())),
        warm_up: Duration::ZERO,
        measured: Duration::from_secs(120),
        check: check::token(SCOPE, LIFETIME_S),
        meters: Vec::new(),
    };
    let begun = Now::read().s();
    let (_, kept) = load.run().await?;
    if kept.len() != clients.len() {
        return Err(format!("{} of {} got a token", kept.len(), clients.len()).into());
    }
    let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
    let issuance = service.issuance(alg).await?;
    let between = (begun, Now::read().s());
    issuance.verify_all(&kept, &ids, between, &mut HashSet::new())?;
    let mut connection = PgConnection::connect(&service.database_url).await?;
    let recorded: i64 = sqlx::query_scalar(
        "SELECT count(DISTINCT actor) FROM audit_events
          WHERE action = 'token.issued' AND actor::text = ANY($1)",
    )
    .bind(&ids)
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    match usize::try_from(recorded)? == clients.len() {
        true => Ok(()),
        false => Err(format!("{} got a token, {recorded} are on record", clients.len()).into()),
    }
}

/// Fills the database; answers with those that have a credential.
async fn register(plan: &Plan, service: &Service) -> Outcome<Vec<Client>> {
    let template = service.agents.first().ok_or("there is no agent to copy")?;
    let mut connection = PgConnection::connect(&service.database_url).await?;
    // No trigger and no foreign key is asked for each row.
    for statement in [
        "SET session_replication_role = replica",
        "SET synchronous_commit = off",
    ] {
        sqlx::query(statement).execute(&mut connection).await?;
    }
    let new = |column: &str| match column {
        "agent_id" => Some(id("number")),
        "name" => Some("'copy-' || number".to_owned()),
        _ => None,
    };
    let copy = copy(
        &mut connection,
        "agents",
        "generate_series(1, $2) number",
        new,
    )
    .await?;
    sqlx::query(sqlx::AssertSqlSafe(copy))
        .bind(&template.id)
        .bind(i32::try_from(plan.registered)?)
        .execute(&mut connection)
        .await?;

    let mut clients = Vec::with_capacity(plan.asking);
    let mut digests = Vec::with_capacity(plan.asking);
    for number in 1..=plan.asking {
        let secret = Secret::generate(SecretKind::Client, &mut rand::rng());
        digests.push(secret.digest().bytes().to_vec());
        clients.push(Client {
            id: format!("01900000-0000-7000-8000-{number:012x}"),
            secret: secret.reveal().to_owned(),
        });
    }
    let new = |column: &str| match column {
        "credential_id" | "agent_id" => Some(id("number")),
        "secret_sha256" => Some("digest".to_owned()),
        _ => None,
    };
    let from = "unnest($2::bytea[]) WITH ORDINALITY AS new (digest, number)";
    let copy = self::copy(&mut connection, "credentials", from, new).await?;
    sqlx::query(sqlx::AssertSqlSafe(copy))
        .bind(&template.id)
        .bind(&digests)
        .execute(&mut connection)
        .await?;
    for statement in ["ANALYZE", "CHECKPOINT"] {
        sqlx::query(statement).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(clients)
}

/// SQL for the id of that number: a UUID that looks like version 7.
fn id(number: &str) -> String {
    format!("('01900000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid")
}

/// SQL that copies the row of the agent `$1` once for each row of `from`, with
/// new values in some columns.
async fn copy(
    connection: &mut PgConnection,
    table: &str,
    from: &str,
    new: impl Fn(&str) -> Option<String>,
) -> Outcome<String> {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns
          WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'
          ORDER BY ordinal_position",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    let values: Vec<String> = columns
        .iter()
        .map(|column| new(column).unwrap_or_else(|| format!("template.{column}")))
        .collect();
    Ok(format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {from},
             (SELECT * FROM {table} WHERE agent_id = $1::uuid LIMIT 1) template",
        columns.join(", "),
        values.join(", "),
    ))
}
