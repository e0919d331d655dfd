//! Asks the core for leases, and believes what it has signed for this edge.

use agentidp_verify::lease::{Lease, Request, Response};
use agentidp_verify::statement::{LEASE, Statement};

use crate::core_api::{self, CoreError};
use crate::keys::{self, WebCrypto};
use crate::settings::Settings;

/// How long the core may take, in milliseconds: it has something to write, and what it
/// did is lost to this edge where nobody waits for the answer.
const PATIENCE_MS: u32 = 1_000;
/// The longest answer, in bytes.
const LONGEST: usize = 64 * 1024;

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
    // Asked twice it is refused the second time: a lease that was granted then is lost
    // and settled, never had twice.
    let answer = core_api::ask(&core_api::Question {
        url: &url,
        authorization: Some(&settings.feed_authorization),
        body: Some(&body),
        types: &["application/json"],
        longest: LONGEST,
        patience_ms: PATIENCE_MS,
    })
    .await?;
    let answer: Response = agentidp_verify::strict_json::from_slice(&answer.body)?;
    let Some(jws) = answer.lease else {
        return Ok(None);
    };
    let bad = |rejected| CoreError::new(format!("a lease is no good: {rejected}"));
    let statement = Statement::parse(&jws, LEASE).map_err(bad)?;
    let key = keys::find_of(settings, &statement).await.map_err(bad)?;
    let parties = (settings.expected.issuer.as_str(), settings.edge_id.as_str());
    let lease = statement.verify(&key, parties, &WebCrypto).await;
    lease.map(Some).map_err(bad)
}
