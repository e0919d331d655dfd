//! Asks the core for leases, and believes what it has signed for this edge.

use agentidp_verify::lease::{Lease, Request, Response};
use agentidp_verify::statement::{LEASE, Statement};

use crate::core_api::{self, CoreError};
use crate::keys::{self, WebCrypto};
use crate::settings::Settings;

/// The lease, where one was asked for; what was settled is settled.
///
/// # Errors
/// The core cannot be reached, or answers with something else.
pub(crate) async fn ask(
    settings: &Settings,
    request: &Request,
) -> Result<Option<Lease>, CoreError> {
    let url = format!("{}/api/v1/edge/leases", settings.core_url);
    let body = serde_json::to_string(request)?;
    let answer = core_api::post(&url, &settings.feed_authorization, &body).await?;
    let answer: Response = agentidp_verify::strict_json::from_slice(&answer)?;
    let Some(jws) = answer.lease else {
        return Ok(None);
    };
    let bad = |rejected| CoreError::from(format!("a lease is no good: {rejected}"));
    let statement = Statement::parse(&jws, LEASE).map_err(bad)?;
    let key = keys::of_statement(settings, &statement)
        .await
        .map_err(bad)?;
    let parties = (settings.expected.issuer.as_str(), settings.edge_id.as_str());
    let lease = statement.verify(&key, parties, &WebCrypto).await;
    lease.map(Some).map_err(bad)
}
