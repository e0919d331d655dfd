//! The client credentials grant, RFC 6749 §4.4, with resource indicators,
//! RFC 8707.

use crate::app::App;
use crate::body::Form;
use crate::clock::Now;
use crate::error::{Failure, OAuthError, OAuthFailure};
use crate::limits;
use crate::scope;
use crate::tokens::audience::{self, Asked};
use crate::tokens::client_auth::Authenticated;
use crate::tokens::issue::{Issued, issue};

/// Issues a token for the client itself.
pub(in crate::tokens) async fn grant(
    app: &App,
    authenticated: &Authenticated,
    form: &Form,
    now: Now,
) -> Result<Issued, OAuthFailure> {
    let asked = read(app, authenticated, form);
    // A request that asks for what it cannot have is a request all the same:
    // its window counts it, its day and month do not.
    let client = &authenticated.client;
    let charge = limits::charge_token(app, client, asked.is_ok(), now).await?;
    Ok(issue(app, authenticated, asked?, charge, now).await?)
}

fn read(app: &App, authenticated: &Authenticated, form: &Form) -> Result<Asked, Failure> {
    let refuse = |(error, why): (OAuthError, &'static str)| Failure::OAuth(error, why.into());
    let requested = form
        .value("scope")
        .map(|text| {
            scope::words(text).map_err(|()| (OAuthError::InvalidScope, "The scope is malformed."))
        })
        .transpose()
        .map_err(refuse)?;
    let mut resources = form.values("resource");
    let resource = resources.next();
    if resources.any(|other| Some(other) != resource) {
        let why = "A token is for one resource.";
        return Err(refuse((OAuthError::InvalidTarget, why)));
    }
    let issuer = app.config.issuer.as_str();
    audience::choose(
        &authenticated.client,
        issuer,
        resource,
        requested.as_deref(),
    )
    .map_err(refuse)
}
