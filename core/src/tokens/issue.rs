//! The issuance: the policy decides, the claims are built and signed, and the
//! answer waits until the audit event is on disk.

use agentidp_verify::Claims;
use agentidp_verify::claims::Enforced;
use agentidp_verify::limit::Spent;
use serde_json::{Value, json};

use super::audience::Asked;
use super::client_auth::Authenticated;
use crate::app::App;
use crate::audit::Event;
use crate::clock::Now;
use crate::error::{Failure, OAuthError};
use crate::ids::EventId;
use crate::limits::Charge;
use crate::policy::{Decision, Question};

/// A token, ready to be answered with.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: String,
    /// Seconds.
    pub(super) expires_in: u64,
    pub(super) scope: String,
    pub(super) spent: Option<Spent>,
}

/// Issues a token for what was `asked`. A denial takes day and month back; once
/// the event has been handed over nothing is: it may be on disk.
pub(super) async fn issue(
    app: &App,
    authenticated: &Authenticated,
    asked: Asked,
    charge: Charge,
    now: Now,
) -> Result<Issued, Failure> {
    let client = &authenticated.client;
    let question = Question {
        agent_id: client.agent_id,
        agent_type: &client.agent_type,
        deployment_env: &client.deployment_env,
        org_id: client.org_id,
        audience: &asked.audience,
        scopes: &asked.scopes,
    };
    let decided = match app
        .policy
        .decide(&app.database, &question, &client.tier, now)
        .await
    {
        Ok(decided) => decided,
        Err(failure) => {
            charge.take_back(app, now).await;
            return Err(failure.into());
        }
    };
    let jti = EventId::new(now, &mut rand::rng());
    let event = |action, details: Value| Event {
        id: jti,
        at: now,
        org_id: client.org_id,
        actor: Some(client.agent_id),
        action,
        subject: client.agent_id.to_string(),
        details: details.to_string(),
    };
    let allowed = match decided.decision {
        Decision::Allow(allowed) => allowed,
        Decision::Deny(denial) => {
            charge.take_back(app, now).await;
            let details = json!({
                "credential_id": authenticated.credential_id,
                "audience": asked.audience,
                "scope": asked.scopes.join(" "),
                "policy": decided.digest,
                "reason": denial.for_the_record(),
            });
            app.audit
                .record(event("token.denied", details))
                .await
                .map_err(not_recorded)?;
            return Err(Failure::OAuth(
                OAuthError::AccessDenied,
                denial.for_the_client().into(),
            ));
        }
    };

    // Never in a second that a lifted entry covers: this token is a new one.
    let iat = client
        .dead_until
        .map_or(now.s(), |dead| now.s().max(dead + 1));
    let claims = Claims {
        iss: app.config.issuer.as_str().to_owned(),
        sub: client.agent_id.to_string(),
        client_id: client.agent_id.to_string(),
        aud: asked.audience,
        exp: iat + allowed.lifetime_s,
        nbf: None,
        iat,
        jti: jti.to_string(),
        scope: allowed.scopes.join(" "),
        org_id: client.org_id.to_string(),
        tier: client.tier.name.clone(),
        agentidp: Enforced {
            rpm: allowed.requests_per_minute,
            policy: decided.digest,
            grants: vec![authenticated.credential_id.to_string()],
        },
        cnf: None,
    };
    let token = app.keys.signer.sign(&claims).map_err(Failure::internal)?;
    let details = json!({
        "credential_id": authenticated.credential_id,
        "audience": claims.aud,
        "scope": claims.scope,
        "expires_at": claims.exp,
        "policy": claims.agentidp.policy,
        "key": app.keys.signer.public().kid,
    });
    app.audit
        .record(event("token.issued", details))
        .await
        .map_err(not_recorded)?;
    app.metrics.tokens_issued.count(&[&claims.scope]);
    Ok(Issued {
        token,
        expires_in: allowed.lifetime_s,
        scope: claims.scope,
        spent: charge.spent(),
    })
}

fn not_recorded(_: crate::audit::NotRecorded) -> Failure {
    // The writer has logged why.
    Failure::Unavailable("The record cannot be written at the moment.")
}
