//! Client authentication: `client_secret_basic` and `client_secret_post`,
//! RFC 6749 §2.3.1.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::app::App;
use crate::body::{Form, decode};
use crate::clients::Client;
use crate::clock::Now;
use crate::credentials::{Secret, SecretKind};
use crate::error::{Failure, OAuthError, OAuthFailure};
use crate::ids::CredentialId;

/// A client that has proved who it is.
#[derive(Debug)]
pub struct Authenticated {
    pub(super) client: Arc<Client>,
    /// With which of its secrets.
    pub(super) credential_id: CredentialId,
}

/// What a client presented.
struct Presented {
    client_id: String,
    secret: String,
    basic: bool,
}

/// Authenticates the client of a request to an OAuth endpoint.
///
/// # Errors
/// `invalid_client`, alike for a client that is not there and a secret that is
/// wrong; `invalid_request` where two methods are used; `unauthorized_client`
/// for a client that has been taken out of service.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    form: &Form,
    now: Now,
) -> Result<Authenticated, OAuthFailure> {
    let presented = read(headers, form)?;
    let refused = || invalid_client(presented.basic, "Client authentication failed.");
    let agent_id = presented.client_id.parse().map_err(|()| refused())?;
    let secret = Secret::read(SecretKind::Client, &presented.secret).ok_or_else(refused)?;
    let client = app
        .clients
        .find(&app.database, agent_id, now)
        .await?
        .ok_or_else(refused)?;

    let digest = secret.digest();
    let matching = client
        .secrets
        .iter()
        .find(|usable| usable.digest.matches(&digest));
    let used = matching
        .filter(|usable| usable.expires_at > now.s())
        .ok_or_else(refused)?;
    let credential_id = used.credential_id;
    if !client.in_service {
        let why = "The agent or its tenant is not in service.";
        return Err(Failure::OAuth(OAuthError::UnauthorizedClient, why.into()).into());
    }
    app.uses.note(credential_id, &used.last_use, now.s());
    Ok(Authenticated {
        client,
        credential_id,
    })
}

fn invalid_client(basic: bool, why: &'static str) -> OAuthFailure {
    Failure::OAuth(OAuthError::InvalidClient { basic }, why.into()).into()
}

fn read(headers: &HeaderMap, form: &Form) -> Result<Presented, OAuthFailure> {
    let in_form = (form.value("client_id"), form.value("client_secret"));
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = authorizations.next() else {
        return match in_form {
            (Some(client_id), Some(secret)) => Ok(Presented {
                client_id: client_id.to_owned(),
                secret: secret.to_owned(),
                basic: false,
            }),
            _ => Err(invalid_client(false, "Client authentication is required.")),
        };
    };
    let basic = header.to_str().ok().and_then(read_basic);
    let Some((client_id, secret)) = basic.filter(|_| authorizations.next().is_none()) else {
        return Err(invalid_client(
            true,
            "The Authorization header is not Basic as it must be.",
        ));
    };
    // RFC 6749 §2.3: one method a request. A client_id alone is no method.
    if in_form.1.is_some() || in_form.0.is_some_and(|in_form| in_form != client_id) {
        let why = "Use one method of client authentication.";
        return Err(Failure::OAuth(OAuthError::InvalidRequest, why.into()).into());
    }
    Ok(Presented {
        client_id,
        secret,
        basic: true,
    })
}

/// RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
pub(crate) fn read_basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = STANDARD.decode(encoded.trim()).ok()?;
    let colon = joined.iter().position(|b| *b == b':')?;
    let client_id = decode(&joined[..colon]).ok()?;
    let secret = decode(&joined[colon + 1..]).ok()?;
    Some((client_id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_read_as_the_rfc_encodes_it() {
        let header = |text: &str| format!("basic {}", STANDARD.encode(text));
        assert_eq!(
            read_basic(&header("a%3Ab:c%20d")),
            Some(("a:b".into(), "c d".into()))
        );
        for bad in [
            "Basic",
            "Basic !",
            "Bearer YTpi",
            &header("no colon"),
            &header("a:%"),
        ] {
            assert_eq!(read_basic(bad), None, "{bad}");
        }
    }
}
