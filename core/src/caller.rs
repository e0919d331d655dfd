//! Who is asking: extractors that only verification can build. A handler that
//! takes a [`Caller`] has a token that was signed, is current, was not revoked,
//! is the issuer's own audience's, and was counted.

use std::sync::Arc;

use agentidp_verify::gate::require_scopes;
use agentidp_verify::token::bearer;
use agentidp_verify::{Audience, Audiences, Expected, Presented, Rejected, Verified};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::app::App;
use crate::clients::Client;
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::{AgentId, OrgId};
use crate::keys::AwsLc;
use crate::limits;
use crate::revocations::is_revoked;
use crate::scope;

/// An authenticated caller of the core's API.
#[derive(Debug)]
pub struct Caller {
    client: Arc<Client>,
    token: Verified,
    /// Why this call was not admitted by the limits, for whoever they stop.
    over: Option<Failure>,
}

impl Caller {
    /// The caller's agent.
    pub fn agent_id(&self) -> AgentId {
        self.client.agent_id
    }

    /// The caller's tenant.
    pub fn org_id(&self) -> OrgId {
        self.client.org_id
    }

    /// Whether the token has `scope` and the agent still holds it.
    pub fn holds(&self, scope: &str) -> bool {
        self.token.claims().allows(&[scope]) && self.client.scopes.iter().any(|held| held == scope)
    }

    /// Whether this is the operator.
    pub fn is_operator(&self) -> bool {
        self.holds(scope::OPERATOR)
    }

    /// Lets the caller touch an agent that holds `scopes`: nobody changes, stops or
    /// becomes one that holds management scopes which it does not hold itself.
    ///
    /// # Errors
    /// 403.
    pub fn may_touch(&self, scopes: &[String]) -> Result<(), Failure> {
        let more = |held: &String| scope::is_management(held) && !self.holds(held);
        if scopes.iter().any(more) {
            let why = "The agent holds management scopes that you do not hold.";
            return Err(Failure::Forbidden(why.into()));
        }
        Ok(())
    }

    /// Lets the caller do what `scope` is for.
    ///
    /// # Errors
    /// 403 without the scope, 429 where a limit is spent, 503 where nobody knows.
    pub fn may(&self, scope: &'static str) -> Result<(), Failure> {
        self.may_even_when_spent(scope)?;
        self.within_limits()
    }

    /// The same for what needs no scope.
    ///
    /// # Errors
    /// 429 where a limit is spent, 503 where nobody knows.
    pub fn within_limits(&self) -> Result<(), Failure> {
        self.over.clone().map_or(Ok(()), Err)
    }

    /// The same for what takes something out of service: a spent limit never
    /// refuses a suspension, a revocation or a deletion.
    ///
    /// # Errors
    /// 403 without the scope.
    pub fn may_even_when_spent(&self, scope: &'static str) -> Result<(), Failure> {
        require_scopes(&self.token, &[scope])?;
        if self.holds(scope) {
            return Ok(());
        }
        let needed = vec![scope.to_owned()];
        Err(Rejected::InsufficientScope { needed }.into())
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let now = Now::read();
        let token = verify(app, &parts.headers, now).await?;
        let claims = token.claims();
        if is_revoked(&mut *app.database.connection().await?, claims).await? {
            return Err(Rejected::Revoked.into());
        }
        let agent_id = claims.sub.parse().map_err(|()| Rejected::Malformed)?;
        let client = app
            .clients
            .find(&app.database, agent_id, now)
            .await?
            .filter(|client| client.is_in_service() && client.org_id.to_string() == claims.org_id)
            .ok_or(Rejected::Revoked)?;
        let charged = limits::charge_call(app, &client, now).await;
        Ok(Self {
            client,
            token,
            over: charged.err().map(Failure::from),
        })
    }
}

async fn verify(app: &App, headers: &HeaderMap, now: Now) -> Result<Verified, Rejected> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values
        .next()
        .map(|value| value.to_str().map_err(|_| Rejected::Malformed))
        .transpose()?;
    let token = bearer(value)?;
    if values.next().is_some() {
        return Err(Rejected::Malformed);
    }
    let presented = Presented::parse(token)?;
    let key = presented.choose(&app.keys.published)?;
    let issuer = app.config.issuer.as_str().to_owned();
    let expected = Expected {
        audiences: Audiences::These(vec![Audience {
            identifier: issuer.clone(),
            org_id: None,
        }]),
        issuer,
    };
    presented.verify(key, &expected, now.s(), &AwsLc).await
}

/// The operator: a caller with `tenants:write`.
#[derive(Debug)]
pub struct Operator(Caller);

impl Operator {
    /// Lets the operator do what stops nobody.
    ///
    /// # Errors
    /// 429 where a limit is spent, 503 where nobody knows.
    pub fn may(&self) -> Result<(), Failure> {
        self.0.may(scope::OPERATOR)
    }

    /// The operator's own tenant, whose record holds what concerns the whole service.
    pub fn org_id(&self) -> OrgId {
        self.0.org_id()
    }

    /// The operator's agent.
    pub fn agent_id(&self) -> AgentId {
        self.0.agent_id()
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, app).await?;
        caller.may_even_when_spent(scope::OPERATOR)?;
        Ok(Self(caller))
    }
}
