//! The issuance: the policy decides, the claims are built and signed, and the
//! answer waits until the audit event is on disk.

use agentidp_verify::Claims;
use agentidp_verify::claims::Enforced;
use agentidp_verify::limit::Spent;
use serde_json::{Map, Value};

use super::audience::Asked;
use super::client_auth::Authenticated;
use super::record;
use crate::app::App;
use crate::audit::Event;
use crate::clients::Client;
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::EventId;
use crate::limits::Charge;
use crate::policy::{Decided, Decision, Question, shown};
use crate::scope;

/// A token, ready to be answered with.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: String,
    /// Its event's id, and its `jti`.
    pub(super) decision_id: EventId,
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
    let question = question(client, &asked, &charge, now);
    let decided = app
        .policy
        .decide(&app.database, &question, &client.tier, &client.policy)
        .await;
    let decided = match decided {
        Ok(decided) => decided,
        Err(failure) => {
            charge.take_back(app, now).await;
            return Err(failure.into());
        }
    };
    count(app, client, &decided);
    let jti = EventId::new(now, &mut rand::rng());
    // What no policy judges is nothing to replay.
    let sampled = !scope::administers(&client.scopes)
        && app.samples.take(
            client.org_id,
            question.tokens_today.used,
            client.tier.samples_per_day.into(),
            now,
        );
    let mut details = record::decision(&decided, &question, sampled);
    details.insert(
        "credential_id".into(),
        authenticated.credential_id.to_string().into(),
    );
    details.insert("audience".into(), asked.audience.as_str().into());
    let event = |action, details: Map<String, Value>| Event {
        id: jti,
        at: now,
        org_id: client.org_id,
        actor: Some(client.agent_id),
        action,
        subject: client.agent_id.to_string(),
        details: Value::Object(details).to_string(),
    };
    let policy = decided.verdict().digest.clone();
    let allowed = match &decided.verdict().decision {
        Decision::Allow(allowed) => allowed.clone(),
        Decision::Deny(denial) => {
            charge.take_back(app, now).await;
            details.insert("reason".into(), denial.for_the_record().into());
            app.audit
                .record(event("token.denied", details))
                .await
                .map_err(not_recorded)?;
            return Err(Failure::Denied {
                why: denial.for_the_client(),
                decision_id: jti,
            });
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
            policy,
            grants: vec![authenticated.credential_id.to_string()],
        },
        ext: allowed.claims,
        cnf: None,
    };
    let token = app.keys.signer.sign(&claims).map_err(Failure::internal)?;
    details.insert("scope".into(), claims.scope.as_str().into());
    details.insert("expires_at".into(), claims.exp.into());
    details.insert("key".into(), app.keys.signer.public().kid.clone().into());
    app.audit
        .record(event("token.issued", details))
        .await
        .map_err(not_recorded)?;
    app.metrics.tokens_issued.count(&[&claims.scope]);
    Ok(Issued {
        token,
        decision_id: jti,
        expires_in: allowed.lifetime_s,
        scope: claims.scope,
        spent: charge.spent(),
    })
}

fn question(client: &Client, asked: &Asked, charge: &Charge, now: Now) -> Question {
    let (tokens_today, tokens_this_month) = charge.used();
    Question {
        agent_id: client.agent_id.to_string(),
        agent_type: client.agent_type.clone(),
        deployment_env: client.deployment_env.clone(),
        capabilities: client.capabilities.clone(),
        org_id: client.org_id.to_string(),
        tier: client.tier.name.clone(),
        audience: asked.audience.clone(),
        scopes: asked.scopes.clone(),
        now: now.s(),
        tokens_today,
        tokens_this_month,
    }
}

fn count(app: &App, client: &Client, decided: &Decided) {
    let decisions = &app.metrics.policy_decisions;
    decisions.count(&["tier", shown::outcome(&decided.tier)]);
    for (module, verdict) in [("tenant", &decided.tenant), ("shadow", &decided.shadow)] {
        let Some(verdict) = verdict else { continue };
        let outcome = shown::outcome(verdict);
        decisions.count(&[module, outcome]);
        if outcome == "failed" {
            let org_id = client.org_id.to_string();
            app.metrics.policy_failures.count(&[&org_id, module]);
        }
    }
}

fn not_recorded(_: crate::audit::NotRecorded) -> Failure {
    // The writer has logged why.
    Failure::Unavailable("The record cannot be written at the moment.")
}
