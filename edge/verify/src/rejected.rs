//! Every reason for which a call with a token is refused, and the one place
//! where such a reason becomes the few words that go on the wire.

use std::fmt;

use crate::limit::Spent;

/// Why a call was refused. Rich within; [`Rejected::wire`] says what a caller
/// gets to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// No bearer token at all, or credentials of another scheme.
    Missing,
    /// More than one `Authorization`, one of which has a token: RFC 6750 §3.1.
    RepeatedToken,
    /// A token in the query, RFC 6750 §2.3, where nobody takes it.
    TokenInQuery,
    /// Longer than [`crate::token::LONGEST_TOKEN`].
    TooLong,
    /// Not a compact JWS with a header and claims such as ours.
    Malformed,
    /// `alg` is none, symmetric, unknown, or not the key's own.
    Algorithm,
    /// `crit` names something; nothing is known to us there.
    CriticalHeader,
    /// The header brings a key or says where to fetch one.
    KeyInHeader,
    /// `typ` is not an access token's.
    Type,
    /// No published key has this `kid`.
    UnknownKey,
    /// The signature is not that key's over these bytes.
    Signature,
    /// `iss` is somebody else.
    Issuer,
    /// `aud` (or the tenant that it belongs to) is not served here.
    Audience,
    /// `exp` has come.
    Expired,
    /// `nbf`, or `iat`, lies ahead.
    NotYetValid,
    /// `cnf` asks for a proof that nobody here can check.
    SenderConstrained,
    /// The token, its credential, its agent or its tenant was revoked.
    Revoked,
    /// The token is good, but lacks scopes.
    InsufficientScope {
        /// Every scope that the call needs, RFC 6750 §3.1.
        needed: Vec<String>,
    },
    /// The minute's limit is spent.
    RateLimited {
        /// The count that was refused.
        spent: Spent,
        /// Whole seconds until it is worth trying again.
        retry_after_s: u64,
    },
    /// The tenant's calls of the day are spent.
    TierLimitExceeded {
        /// The count that was refused.
        spent: Spent,
        /// Whole seconds until the day ends.
        retry_after_s: u64,
    },
    /// The verifier cannot tell, so it refuses.
    Unavailable {
        /// What is missing; safe to say.
        reason: &'static str,
    },
}

/// What goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The HTTP status.
    pub status: u16,
    /// `code` of the body.
    pub code: &'static str,
    /// `message` of the body.
    pub message: &'static str,
    /// The value of `WWW-Authenticate`, RFC 6750 §3.
    pub challenge: Option<String>,
    /// The value of `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// What the `X-RateLimit-*` fields say.
    pub spent: Option<Spent>,
}

/// What a challenge says beside the reason: where the resource describes itself and
/// which scopes the call needs. Nothing by default, as the core's challenges are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints<'a> {
    /// The URL of the resource's metadata, RFC 9728 §5.1; of characters that need no
    /// escape between quotes.
    pub resource_metadata: Option<&'a str>,
    /// What the call needs, RFC 6750 §3; left out where it is empty. A refusal
    /// for a missing scope says its own.
    pub scopes: &'a [String],
}

/// How long a caller is asked to wait while something is unavailable, seconds.
const UNAVAILABLE_RETRY_S: u64 = 1;

impl Rejected {
    /// The status, the body's words and the challenge.
    pub fn wire(&self) -> Wire {
        self.wire_with(Hints::default())
    }

    /// The same, with `hints` in the challenge.
    pub fn wire_with(&self, hints: Hints<'_>) -> Wire {
        let (status, code) = match self {
            Self::RepeatedToken | Self::TokenInQuery => (400, "INVALID_REQUEST"),
            Self::InsufficientScope { .. } => (403, "FORBIDDEN"),
            Self::RateLimited { .. } => (429, "RATE_LIMIT_EXCEEDED"),
            Self::TierLimitExceeded { .. } => (429, "tier_limit_exceeded"),
            Self::Unavailable { .. } => (503, "SERVICE_UNAVAILABLE"),
            Self::Missing
            | Self::TooLong
            | Self::Malformed
            | Self::Algorithm
            | Self::CriticalHeader
            | Self::KeyInHeader
            | Self::Type
            | Self::UnknownKey
            | Self::Signature
            | Self::Issuer
            | Self::Audience
            | Self::Expired
            | Self::NotYetValid
            | Self::SenderConstrained
            | Self::Revoked => (401, "UNAUTHORIZED"),
        };
        Wire {
            status,
            code,
            message: self.message(),
            challenge: self.challenge(hints),
            retry_after_s: match self {
                Self::RateLimited { retry_after_s, .. }
                | Self::TierLimitExceeded { retry_after_s, .. } => Some(*retry_after_s),
                Self::Unavailable { .. } => Some(UNAVAILABLE_RETRY_S),
                _ => None,
            },
            spent: match self {
                Self::RateLimited { spent, .. } | Self::TierLimitExceeded { spent, .. } => {
                    Some(*spent)
                }
                _ => None,
            },
        }
    }

    /// The limit that is spent: its name, and in how many seconds it begins anew.
    pub const fn limit(&self) -> Option<(&'static str, Spent, u64)> {
        match *self {
            Self::RateLimited {
                spent,
                retry_after_s,
            } => Some(("minute", spent, retry_after_s)),
            Self::TierLimitExceeded {
                spent,
                retry_after_s,
            } => Some(("day", spent, retry_after_s)),
            _ => None,
        }
    }

    const fn message(&self) -> &'static str {
        match self {
            Self::Missing => "A bearer token is required.",
            Self::RepeatedToken => "More than one token was sent.",
            Self::TokenInQuery => "A token must be in the Authorization header, not in the query.",
            Self::TooLong => "Token is too long.",
            Self::Malformed => "Token is malformed.",
            Self::Algorithm => "Token algorithm is not accepted.",
            Self::CriticalHeader => "Token has a critical header that is not understood.",
            Self::KeyInHeader => "Token header must not bring a key.",
            Self::Type => "Token is not an access token.",
            Self::UnknownKey => "Token was signed by an unknown key.",
            Self::Signature => "Token signature is invalid.",
            Self::Issuer => "Token is from another issuer.",
            Self::Audience => "Token is for another audience.",
            Self::Expired => "Token has expired.",
            Self::NotYetValid => "Token is not valid yet.",
            Self::SenderConstrained => {
                "Token is bound to a key and cannot be used as a bearer token."
            }
            Self::Revoked => "Token has been revoked.",
            Self::InsufficientScope { .. } => "Token lacks a scope that this call needs.",
            Self::RateLimited { .. } => "The limit of requests in this window is spent.",
            Self::TierLimitExceeded { .. } => "The limit of the tenant's tier is spent.",
            Self::Unavailable { reason } => reason,
        }
    }

    /// RFC 6750 §3 and §3.1: no error code where no token was sent.
    fn challenge(&self, hints: Hints<'_>) -> Option<String> {
        let (error, scopes) = match self {
            Self::RateLimited { .. }
            | Self::TierLimitExceeded { .. }
            | Self::Unavailable { .. } => return None,
            Self::Missing => (None, hints.scopes),
            Self::RepeatedToken | Self::TokenInQuery => (Some("invalid_request"), hints.scopes),
            Self::InsufficientScope { needed } => (Some("insufficient_scope"), needed.as_slice()),
            _ => (Some("invalid_token"), hints.scopes),
        };
        let mut challenge = r#"Bearer realm="agentidp""#.to_owned();
        let mut say = |name: &str, value: &str| {
            challenge.push_str(", ");
            challenge.push_str(name);
            challenge.push_str("=\"");
            challenge.push_str(value);
            challenge.push('"');
        };
        if let Some(error) = error {
            say("error", error);
            say("error_description", self.message());
        }
        if let Some(url) = hints.resource_metadata {
            say("resource_metadata", url);
        }
        if !scopes.is_empty() {
            say("scope", &scopes.join(" "));
        }
        Some(challenge)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Rejected {}

impl Wire {
    /// The body: `{"code": …, "message": …}`.
    pub fn body(&self) -> serde_json::Value {
        serde_json::json!({ "code": self.code, "message": self.message })
    }

    /// Every header field that belongs to the refusal, but for `Content-Type`.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Cache-Control", "no-store".to_owned())];
        if let Some(challenge) = &self.challenge {
            headers.push(("WWW-Authenticate", challenge.clone()));
        }
        if let Some(spent) = &self.spent {
            headers.extend(spent.headers());
        }
        if let Some(seconds) = self.retry_after_s {
            headers.push(("Retry-After", seconds.to_string()));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_token_gets_a_challenge_without_an_error() {
        let wire = Rejected::Missing.wire();
        assert_eq!(wire.status, 401);
        assert_eq!(
            wire.challenge.as_deref(),
            Some(r#"Bearer realm="agentidp""#)
        );
    }

    #[test]
    fn a_bad_signature_says_the_contracts_words() {
        let wire = Rejected::Signature.wire();
        assert_eq!(wire.code, "UNAUTHORIZED");
        assert_eq!(wire.message, "Token signature is invalid.");
    }

    #[test]
    fn hints_stand_in_every_challenge_and_a_missing_scope_says_its_own() {
        let scopes = ["a".to_owned(), "b".to_owned()];
        let hints = Hints {
            resource_metadata: Some("https://r.example/.well-known/oauth-protected-resource"),
            scopes: &scopes,
        };
        let challenge = |rejected: Rejected| rejected.wire_with(hints).challenge.unwrap();
        assert_eq!(
            challenge(Rejected::Missing),
            r#"Bearer realm="agentidp", resource_metadata="https://r.example/.well-known/oauth-protected-resource", scope="a b""#
        );
        assert_eq!(
            challenge(Rejected::Expired),
            r#"Bearer realm="agentidp", error="invalid_token", error_description="Token has expired.", resource_metadata="https://r.example/.well-known/oauth-protected-resource", scope="a b""#
        );
        let needed = vec!["c".to_owned()];
        assert!(
            challenge(Rejected::InsufficientScope { needed })
                .ends_with(r#"oauth-protected-resource", scope="c""#)
        );
        let unavailable = Rejected::Unavailable { reason: "x" };
        assert_eq!(unavailable.wire_with(hints).challenge, None);
    }

    #[test]
    fn insufficient_scope_names_every_scope_in_one_challenge() {
        let needed = vec!["files:read".to_owned(), "files:write".to_owned()];
        let challenge = Rejected::InsufficientScope { needed }.wire().challenge;
        assert!(
            challenge
                .unwrap()
                .ends_with(r#"scope="files:read files:write""#)
        );
    }
}
