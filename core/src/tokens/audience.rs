//! Which audience a token is for, and which scopes it may have there. A token
//! has one audience: the issuer, for the core's own API, or one resource.

use crate::clients::{Audience, Client};
use crate::error::OAuthError;
use crate::scope;

/// The audience and the scopes that were asked for and are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) audience: String,
    pub(super) scopes: Vec<String>,
}

type Refusal = (OAuthError, &'static str);

const NOT_ALLOWED: Refusal = (
    OAuthError::InvalidScope,
    "A scope that was asked for is not allowed for this client and this resource.",
);

/// Chooses by the rule that `docs/architecture.md` states: `resource` if it was
/// given; else the side that the scopes are of; else the default resource where
/// anything is allowed there; else the issuer.
///
/// # Errors
/// `invalid_target` for a resource that is not the tenant's, `invalid_scope` for
/// scopes that are not allowed, or of both sides.
pub(super) fn choose(
    client: &Client,
    issuer: &str,
    resource: Option<&str>,
    requested: Option<&[String]>,
) -> Result<Asked, Refusal> {
    let default = client.audiences.iter().find(|audience| audience.default);
    let side = match (resource, requested) {
        (Some(identifier), _) if identifier == issuer => None,
        (Some(identifier), _) => {
            let known = client
                .audiences
                .iter()
                .find(|known| known.identifier == identifier);
            Some(known.ok_or((OAuthError::InvalidTarget, "There is no such resource."))?)
        }
        (None, Some(requested)) => {
            let management = requested
                .iter()
                .filter(|scope| scope::is_management(scope))
                .count();
            match management {
                0 => Some(default.ok_or(NOT_ALLOWED)?),
                n if n == requested.len() => None,
                _ => {
                    let why = "Scopes of the identity provider and of a resource do not go into one token.";
                    return Err((OAuthError::InvalidScope, why));
                }
            }
        }
        (None, None) => default.filter(|default| allowed(client, Some(default)).next().is_some()),
    };
    let scopes = match requested {
        None => allowed(client, side).map(str::to_owned).collect(),
        Some(requested) => {
            let all = requested
                .iter()
                .all(|asked| allowed(client, side).any(|held| held == asked));
            if !all {
                return Err(NOT_ALLOWED);
            }
            requested.to_vec()
        }
    };
    Ok(Asked {
        audience: side
            .map_or(issuer, |audience| &audience.identifier)
            .to_owned(),
        scopes,
    })
}

/// What the client may have at a resource, or at the issuer.
fn allowed<'a>(
    client: &'a Client,
    side: Option<&'a Audience>,
) -> impl Iterator<Item = &'a str> + 'a {
    client
        .scopes
        .iter()
        .map(String::as_str)
        .filter(move |held| match side {
            Some(audience) => audience.scopes.iter().any(|defined| defined == held),
            None => scope::is_management(held),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::ids::{AgentId, OrgId};
    use crate::policy::InForce;
    use crate::tenants::Tier;

    const ISSUER: &str = "https://idp.example";
    const FILES: &str = "https://files.example";
    const MAIL: &str = "https://mail.example";

    fn client(scopes: &[&str]) -> Client {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let audience = |identifier: &str, scopes: &[&str], default| Audience {
            identifier: identifier.to_owned(),
            scopes: words(scopes),
            default,
        };
        let now = Now::from_ms(0);
        Client {
            agent_id: AgentId::new(now, &mut rand::rng()),
            org_id: OrgId::new(now, &mut rand::rng()),
            tier: Tier::example(),
            scopes: words(scopes),
            agent_type: String::new(),
            deployment_env: String::new(),
            capabilities: Vec::new(),
            policy: InForce::default(),
            in_service: true,
            dead_until: None,
            audiences: vec![
                audience(FILES, &["files:read", "files:write"], true),
                audience(MAIL, &["mail:read"], false),
            ],
            secrets: Vec::new(),
        }
    }

    fn ask(
        held: &[&str],
        resource: Option<&str>,
        scope: Option<&str>,
    ) -> Result<(String, String), OAuthError> {
        let requested = scope.map(|scope| scope::words(scope).unwrap());
        choose(&client(held), ISSUER, resource, requested.as_deref())
            .map(|asked| (asked.audience, asked.scopes.join(" ")))
            .map_err(|(error, _)| error)
    }

    fn is(audience: &str, scopes: &str) -> Result<(String, String), OAuthError> {
        Ok((audience.to_owned(), scopes.to_owned()))
    }

    #[test]
    fn the_resource_decides_where_it_is_given() {
        let held = ["files:read", "mail:read", "agents:read"];
        assert_eq!(ask(&held, Some(MAIL), None), is(MAIL, "mail:read"));
        assert_eq!(ask(&held, Some(ISSUER), None), is(ISSUER, "agents:read"));
        assert_eq!(
            ask(&held, Some(MAIL), Some("files:read")),
            Err(OAuthError::InvalidScope)
        );
        assert_eq!(
            ask(&held, Some("https://x.example"), None),
            Err(OAuthError::InvalidTarget)
        );
    }

    #[test]
    fn else_the_side_of_the_scopes_decides_and_sides_do_not_mix() {
        let held = ["files:read", "files:write", "mail:read", "agents:read"];
        assert_eq!(
            ask(&held, None, Some("files:write")),
            is(FILES, "files:write")
        );
        assert_eq!(
            ask(&held, None, Some("agents:read")),
            is(ISSUER, "agents:read")
        );
        assert_eq!(
            ask(&held, None, Some("files:read agents:read")),
            Err(OAuthError::InvalidScope)
        );
        // The default resource does not define it.
        assert_eq!(
            ask(&held, None, Some("mail:read")),
            Err(OAuthError::InvalidScope)
        );
        assert_eq!(
            ask(&["files:read"], None, Some("files:write")),
            Err(OAuthError::InvalidScope)
        );
    }

    #[test]
    fn else_the_default_resource_where_anything_is_allowed_there_else_the_issuer() {
        assert_eq!(
            ask(&["files:read", "agents:read"], None, None),
            is(FILES, "files:read")
        );
        assert_eq!(ask(&["agents:read"], None, None), is(ISSUER, "agents:read"));
        assert_eq!(ask(&[], None, None), is(ISSUER, ""));
    }
}
