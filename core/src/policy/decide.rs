//! The question, the answer, and the clamp between a module and a token.

use super::engine::wit::agentidp::policy::types;
use crate::clock::Now;
use crate::ids::{AgentId, OrgId};
use crate::tenants::Tier;

/// How much of a module's reason a client gets to see, in characters.
const LONGEST_REASON: usize = 200;

/// What a policy is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub agent_id: AgentId,
    /// What kind of agent.
    pub agent_type: &'a str,
    /// Where it runs.
    pub deployment_env: &'a str,
    /// Its tenant.
    pub org_id: OrgId,
    /// For which resource.
    pub audience: &'a str,
    /// For which scopes.
    pub scopes: &'a [String],
}

/// The outcome, and the digest of the module that decided.
#[derive(Debug)]
pub struct Decided {
    /// SHA-256, hex; empty where there was no module to ask.
    pub digest: String,
    /// The outcome.
    pub decision: Decision,
}

/// Yes, with what, or no, and why.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// The token may say this.
    Allow(Allowed),
    /// There is no token.
    Deny(Denial),
}

/// What the token may say, within the ceiling.
#[derive(Debug, PartialEq, Eq)]
pub struct Allowed {
    /// A part of what was asked for, in its order.
    pub scopes: Vec<String>,
    /// Seconds, at least one.
    pub lifetime_s: u64,
    /// Requests a minute at the edge; none where there is no limit.
    pub requests_per_minute: Option<u64>,
}

/// Why there is no token.
#[derive(Debug, PartialEq, Eq)]
pub enum Denial {
    /// The module said so.
    Said(String),
    /// The module left none of the scopes that were asked for.
    NothingLeft,
    /// The module trapped or ran out.
    Failed(String),
    /// The tier has no module that can be loaded.
    NoModule(String),
}

impl Denial {
    /// RFC 6749 §5.2: printable ASCII without `"` and `\`.
    pub fn for_the_client(&self) -> String {
        match self {
            Self::Said(reason) => reason
                .chars()
                .take(LONGEST_REASON)
                .map(|c| {
                    if matches!(c, ' '..='~') && c != '"' && c != '\\' {
                        c
                    } else {
                        '?'
                    }
                })
                .collect(),
            Self::NothingLeft => "The policy allows none of the scopes that were asked for.".into(),
            Self::Failed(_) | Self::NoModule(_) => "The policy could not decide.".into(),
        }
    }

    /// The whole reason, for the audit event.
    pub fn for_the_record(&self) -> String {
        match self {
            // PostgreSQL's JSON has no NUL, and a log no lines in a line.
            Self::Said(reason) => reason
                .chars()
                .take(LONGEST_REASON)
                .map(|c| if c.is_control() { '?' } else { c })
                .collect(),
            Self::NothingLeft => "no scope left".into(),
            Self::Failed(why) => format!("module failed: {why}"),
            Self::NoModule(why) => format!("no module: {why}"),
        }
    }
}

/// The question in the words of `policy.wit`.
pub(super) fn to_wit(question: &Question<'_>, tier: &Tier, now: Now) -> types::Request {
    types::Request {
        agent_id: question.agent_id.to_string(),
        agent_type: question.agent_type.to_owned(),
        deployment_env: question.deployment_env.to_owned(),
        org_id: question.org_id.to_string(),
        tier: tier.name.clone(),
        audience: question.audience.to_owned(),
        scopes: question.scopes.to_vec(),
        now: now.s(),
        ceiling: types::Ceiling {
            lifetime_seconds: tier.token_lifetime_s,
            requests_per_minute: tier.requests_per_minute,
        },
    }
}

/// Holds what a module said to what was asked and to the tier's numbers.
pub(super) fn clamp(said: types::Decision, asked: &[String], tier: &Tier) -> Decision {
    let grant = match said {
        types::Decision::Allow(grant) => grant,
        types::Decision::Deny(reason) => return Decision::Deny(Denial::Said(reason)),
    };
    let scopes: Vec<String> = asked
        .iter()
        .filter(|scope| grant.scopes.contains(scope))
        .cloned()
        .collect();
    if scopes.is_empty() && !asked.is_empty() {
        return Decision::Deny(Denial::NothingLeft);
    }
    let ceiling = tier.token_lifetime_s;
    let lifetime_s = grant
        .lifetime_seconds
        .unwrap_or(ceiling)
        .clamp(1, ceiling.max(1));
    let requests_per_minute = match (grant.requests_per_minute, tier.requests_per_minute) {
        (Some(said), Some(ceiling)) => Some(said.min(ceiling)),
        (said, ceiling) => said.or(ceiling),
    };
    Decision::Allow(Allowed {
        scopes,
        lifetime_s: lifetime_s.into(),
        requests_per_minute: requests_per_minute.map(u64::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier() -> Tier {
        Tier {
            name: "free".into(),
            calls_per_day: None,
            tokens_per_day: None,
            tokens_per_month: None,
            requests_per_minute: Some(100),
            token_lifetime_s: 3600,
            module_digest: None,
        }
    }

    fn clamped(scopes: &[&str], life: Option<u32>, rpm: Option<u32>) -> Decision {
        let grant = types::Grant {
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            lifetime_seconds: life,
            requests_per_minute: rpm,
        };
        let asked = ["a:read".to_owned(), "b:read".to_owned()];
        clamp(types::Decision::Allow(grant), &asked, &tier())
    }

    #[test]
    fn a_module_can_narrow() {
        assert_eq!(
            clamped(&["b:read"], Some(60), Some(5)),
            Decision::Allow(Allowed {
                scopes: vec!["b:read".into()],
                lifetime_s: 60,
                requests_per_minute: Some(5),
            })
        );
    }

    #[test]
    fn a_module_cannot_widen() {
        assert_eq!(
            clamped(
                &["tenants:write", "b:read", "a:read"],
                Some(u32::MAX),
                Some(u32::MAX)
            ),
            Decision::Allow(Allowed {
                scopes: vec!["a:read".into(), "b:read".into()],
                lifetime_s: 3600,
                requests_per_minute: Some(100),
            })
        );
    }

    #[test]
    fn what_a_module_leaves_open_is_the_ceiling_and_no_scope_is_a_denial() {
        let Decision::Allow(allowed) = clamped(&["a:read"], None, None) else {
            panic!("allowed");
        };
        assert_eq!(
            (allowed.lifetime_s, allowed.requests_per_minute),
            (3600, Some(100))
        );
        assert_eq!(
            clamped(&["x:read"], None, None),
            Decision::Deny(Denial::NothingLeft)
        );
        let Decision::Allow(allowed) = clamped(&["a:read"], Some(0), Some(0)) else {
            panic!("allowed");
        };
        assert_eq!(
            (allowed.lifetime_s, allowed.requests_per_minute),
            (1, Some(0))
        );
    }

    #[test]
    fn a_reason_reaches_the_client_without_what_a_header_or_json_could_trip_over() {
        let said = Denial::Said("no \"quotes\"\n\u{1F600} é".into());
        assert_eq!(said.for_the_client(), "no ?quotes??? ?");
        let nul = Denial::Said("a\0b".into());
        assert_eq!(nul.for_the_record(), "a?b");
    }
}
