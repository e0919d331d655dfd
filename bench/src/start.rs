//! How long a start takes: from the process of `agentidp serve` to the first 200
//! of `/ready`, and to the first token.

use std::time::{Duration, Instant};

use agentidp_core::clock::Now;

use crate::http::{ask, post_form};
use crate::load::median;
use crate::plan::Plan;
use crate::service::{self, RESOURCE, Service, TOKEN_PATH};
use crate::verify::Alg;
use crate::{Outcome, ports};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// How long one start may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Medians, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) ready_ms: f64,
    pub(crate) token_ms: f64,
    pub(crate) starts: usize,
}

/// Starts the service, which is stopped, several times; it is stopped again.
pub(crate) async fn measure(plan: &Plan, service: &Service, alg: Alg) -> Outcome<Start> {
    let (mut ready, mut token) = (Vec::new(), Vec::new());
    for _ in 0..plan.starts {
        let one = tokio::time::timeout(PATIENCE, start(service, alg));
        let (ready_ms, token_ms) = one.await.map_err(|_| "the service does not start")??;
        ready.push(ready_ms);
        token.push(token_ms);
    }
    Ok(Start {
        ready_ms: median(ready),
        token_ms: median(token),
        starts: plan.starts,
    })
}

async fn start(service: &Service, alg: Alg) -> Outcome<(f64, f64)> {
    let address = ports::at(service.port);
    let agent = service.agents.first().ok_or("there is no agent")?;
    let token = post_form(TOKEN_PATH, agent, &service::form(RESOURCE));
    let begun = Instant::now();
    let child = service.spawn()?;
    let ready = b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    while !matches!(ask(address, ready).await, Ok((200, _))) {
        tokio::time::sleep(PAUSE).await;
    }
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    let (status, body) = ask(address, &token).await?;
    let token_ms = begun.elapsed().as_secs_f64() * 1e3;
    if status != 200 {
        return Err(format!("the first answer for a token was {status}").into());
    }
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let token = answer["access_token"]
        .as_str()
        .ok_or("the first answer has no token")?;
    let now = Now::read().s();
    let issuance = service.issuance(alg).await?;
    issuance.verify(
        token,
        &agent.id,
        (now.saturating_sub(PATIENCE.as_secs()), now),
    )?;
    child.stop().await;
    Ok((ready_ms, token_ms))
}
