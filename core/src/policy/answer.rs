//! The answer, and the clamp between a module and a token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::engine::wit::agentidp::policy::types;
use crate::tenants::Tier;

/// How much of a module's reason a client gets to see, in characters.
const LONGEST_REASON: usize = 200;
/// How large the claims under `ext` may be together, names and values, in bytes.
const LARGEST_CLAIMS: usize = 1_024;

/// What a module may grant at most.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling<'a> {
    /// In the order in which they were asked for.
    pub scopes: &'a [String],
    /// Seconds.
    pub lifetime_s: u64,
    /// Requests a minute at the edge; none where there is no limit.
    pub requests_per_minute: Option<u64>,
    /// Which claims it may give.
    pub claims: &'a [String],
}

impl<'a> Ceiling<'a> {
    /// A tier's numbers, for what was asked.
    pub fn of_tier(tier: &Tier, asked: &'a [String]) -> Self {
        Self {
            scopes: asked,
            lifetime_s: tier.token_lifetime_s.into(),
            requests_per_minute: tier.requests_per_minute.map(u64::from),
            claims: &[],
        }
    }

    /// What a first module left for a second one, which may give `claims`.
    pub fn after(first: &'a Allowed, claims: &'a [String]) -> Self {
        Self {
            scopes: &first.scopes,
            lifetime_s: first.lifetime_s,
            requests_per_minute: first.requests_per_minute,
            claims,
        }
    }
}

/// Yes, with what, or no, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The token may say this.
    Allow(Allowed),
    /// There is no token.
    Deny(Denial),
}

/// What the token may say, within the ceiling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// A part of what was asked for, in its order.
    pub scopes: Vec<String>,
    /// Seconds, at least one.
    pub lifetime_s: u64,
    /// Requests a minute at the edge; none where there is no limit.
    pub requests_per_minute: Option<u64>,
    /// What goes under `ext`.
    pub claims: BTreeMap<String, String>,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The module said so.
    Said(String),
    /// The module left none of the scopes that were asked for.
    NothingLeft,
    /// The module trapped or ran out.
    Failed(String),
    /// There is no module that can be loaded.
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

    /// Whether the module did not decide at all.
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::NoModule(_))
    }
}

/// How many notes are taken of one answer, and how much of a name stands in one, in
/// characters: they go into the record.
const MOST_NOTES: usize = 20;
const LONGEST_NAME: usize = 64;

/// What a module said beyond its ceiling, for whoever wrote it.
pub(super) fn beyond(said: &types::Decision, ceiling: &Ceiling<'_>) -> Vec<String> {
    let types::Decision::Allow(grant) = said else {
        return Vec::new();
    };
    let scopes = grant.scopes.iter();
    let scopes = scopes.filter(|scope| !ceiling.scopes.contains(scope));
    let scopes = scopes.map(|scope| format!("scope {} is not there to be given", short(scope)));
    let claims = grant.claims.iter().map(|(name, _)| name);
    let claims = claims.filter(|name| !ceiling.claims.contains(name));
    let claims = claims.map(|name| format!("claim {} was not named at the upload", short(name)));
    let most = ceiling.lifetime_s;
    let life = match grant.lifetime_seconds.map(u64::from) {
        Some(0) => Some("a life of 0 seconds: made 1".to_owned()),
        Some(life) if life > most => Some(format!("a life of {life} seconds: made {most}")),
        _ => None,
    };
    let said = grant.requests_per_minute.map(u64::from);
    let rpm = match (said, ceiling.requests_per_minute) {
        (Some(said), Some(most)) if said > most => {
            Some(format!("{said} requests a minute: made {most}"))
        }
        _ => None,
    };
    let numbers = life.into_iter().chain(rpm);
    numbers
        .chain(scopes)
        .chain(claims)
        .take(MOST_NOTES)
        .collect()
}

/// The beginning of a name that a module made up, without what nobody can see.
fn short(name: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    let beginning: String = name.chars().take(LONGEST_NAME).map(visible).collect();
    format!("{beginning:?}")
}

/// Holds what a module said to its ceiling.
pub(super) fn clamp(said: types::Decision, ceiling: &Ceiling<'_>) -> Decision {
    let grant = match said {
        types::Decision::Allow(grant) => grant,
        types::Decision::Deny(reason) => return Decision::Deny(Denial::Said(reason)),
    };
    let scopes: Vec<String> = ceiling
        .scopes
        .iter()
        .filter(|scope| grant.scopes.contains(scope))
        .cloned()
        .collect();
    if scopes.is_empty() && !ceiling.scopes.is_empty() {
        return Decision::Deny(Denial::NothingLeft);
    }
    let lifetime_s = grant
        .lifetime_seconds
        .map_or(ceiling.lifetime_s, u64::from)
        .clamp(1, ceiling.lifetime_s.max(1));
    let said = grant.requests_per_minute.map(u64::from);
    let requests_per_minute = match (said, ceiling.requests_per_minute) {
        (Some(said), Some(ceiling)) => Some(said.min(ceiling)),
        (said, ceiling) => said.or(ceiling),
    };
    let claims: BTreeMap<String, String> = grant
        .claims
        .into_iter()
        .filter(|(name, _)| ceiling.claims.contains(name))
        .collect();
    let size: usize = claims
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > LARGEST_CLAIMS {
        let why = format!("its claims are larger than {LARGEST_CLAIMS} bytes");
        return Decision::Deny(Denial::Failed(why));
    }
    // PostgreSQL's JSON has no NUL, and no claim needs one.
    if claims
        .values()
        .any(|value| value.contains(char::is_control))
    {
        let why = "its claims have control characters";
        return Decision::Deny(Denial::Failed(why.into()));
    }
    Decision::Allow(Allowed {
        scopes,
        lifetime_s,
        requests_per_minute,
        claims,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn clamped(grant: types::Grant) -> Decision {
        let (scopes, claims) = (words(&["a:read", "b:read"]), words(&["team"]));
        let ceiling = Ceiling {
            scopes: &scopes,
            lifetime_s: 3600,
            requests_per_minute: Some(100),
            claims: &claims,
        };
        clamp(types::Decision::Allow(grant), &ceiling)
    }

    fn grant(scopes: &[&str], life: Option<u32>, rpm: Option<u32>) -> types::Grant {
        types::Grant {
            scopes: words(scopes),
            lifetime_seconds: life,
            requests_per_minute: rpm,
            claims: Vec::new(),
        }
    }

    fn allowed(scopes: &[&str], lifetime_s: u64, rpm: u64) -> Decision {
        Decision::Allow(Allowed {
            scopes: words(scopes),
            lifetime_s,
            requests_per_minute: Some(rpm),
            claims: BTreeMap::new(),
        })
    }

    #[test]
    fn a_module_can_narrow() {
        let said = grant(&["b:read"], Some(60), Some(5));
        assert_eq!(clamped(said), allowed(&["b:read"], 60, 5));
    }

    #[test]
    fn a_module_cannot_widen() {
        let most = Some(u32::MAX);
        let said = grant(&["tenants:write", "b:read", "a:read"], most, most);
        assert_eq!(clamped(said), allowed(&["a:read", "b:read"], 3600, 100));
    }

    #[test]
    fn what_a_module_leaves_open_is_the_ceiling_and_no_scope_is_a_denial() {
        assert_eq!(
            clamped(grant(&["a:read"], None, None)),
            allowed(&["a:read"], 3600, 100)
        );
        assert_eq!(
            clamped(grant(&["x:read"], None, None)),
            Decision::Deny(Denial::NothingLeft)
        );
        assert_eq!(
            clamped(grant(&["a:read"], Some(0), Some(0))),
            allowed(&["a:read"], 1, 0)
        );
    }

    #[test]
    fn a_module_gives_the_claims_that_it_may_and_no_more_than_a_kilobyte() {
        let with = |claims: &[(&str, String)]| types::Grant {
            claims: claims
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            ..grant(&["a:read"], None, None)
        };
        let said = with(&[("team", "x".into()), ("sub", "root".into())]);
        let Decision::Allow(allowed) = clamped(said) else {
            panic!("allowed");
        };
        let given = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
        assert_eq!(allowed.claims, given);
        for bad in ["x".repeat(LARGEST_CLAIMS - 3), "a\0b".to_owned()] {
            let Decision::Deny(denial) = clamped(with(&[("team", bad)])) else {
                panic!("denied");
            };
            assert!(denial.is_failure());
        }
        let most = with(&[("team", "x".repeat(LARGEST_CLAIMS - 4))]);
        assert!(matches!(clamped(most), Decision::Allow(_)));
    }

    #[test]
    fn notes_are_few_and_short_whatever_a_module_makes_up() {
        let junk = "\u{1}".repeat(200_000);
        let said = types::Decision::Allow(types::Grant {
            scopes: vec![junk; 50],
            lifetime_seconds: Some(0),
            requests_per_minute: None,
            claims: Vec::new(),
        });
        let ceiling = Ceiling {
            scopes: &[],
            lifetime_s: 1,
            requests_per_minute: None,
            claims: &[],
        };
        let notes = beyond(&said, &ceiling);
        assert_eq!(notes.len(), MOST_NOTES);
        assert!(notes.iter().all(|note| note.len() < 120), "{notes:?}");
    }

    #[test]
    fn a_reason_reaches_the_client_without_what_a_header_or_json_could_trip_over() {
        let said = Denial::Said("no \"quotes\"\n\u{1F600} é".into());
        assert_eq!(said.for_the_client(), "no ?quotes??? ?");
        let nul = Denial::Said("a\0b".into());
        assert_eq!(nul.for_the_record(), "a?b");
    }

    /// Whatever a module may say, of scopes and claims that exist and that do not.
    fn anything() -> impl Strategy<Value = types::Decision> {
        let word = prop_oneof![Just("a"), Just("b"), Just("c"), Just("sub"), Just("")];
        let scopes = prop::collection::vec(word.clone().prop_map(str::to_owned), 0..6);
        let claim = (word.prop_map(str::to_owned), ".{0,40}");
        let claims = prop::collection::vec(claim, 0..4);
        let numbers = (any::<Option<u32>>(), any::<Option<u32>>());
        prop_oneof![
            1 => ".{0,9}".prop_map(types::Decision::Deny),
            6 => (scopes, numbers, claims).prop_map(|(scopes, (life, rpm), claims)| {
                types::Decision::Allow(types::Grant {
                    scopes,
                    lifetime_seconds: life,
                    requests_per_minute: rpm,
                    claims,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn whatever_two_modules_say_the_token_is_within_what_was_asked_and_the_tiers_ceiling(
            first in anything(),
            second in anything(),
            asked in prop::sample::subsequence(vec!["a", "b", "c"], 0..=3),
            lifetime_s in 1..100_000_u64,
            rpm in prop::option::of(0..10_000_u64),
        ) {
            let (asked, may) = (words(&asked), words(&["a"]));
            let ceiling = Ceiling {
                scopes: &asked,
                lifetime_s,
                requests_per_minute: rpm,
                claims: &[],
            };
            let by_tier = clamp(first, &ceiling);
            let Decision::Allow(by_tier) = by_tier else { return Ok(()) };
            prop_assert!(by_tier.claims.is_empty());
            let by_tenant = clamp(second, &Ceiling::after(&by_tier, &may));
            let Decision::Allow(by_tenant) = by_tenant else { return Ok(()) };
            for (inner, outer) in [(&by_tenant.scopes, &by_tier.scopes), (&by_tier.scopes, &asked)] {
                prop_assert!(inner.iter().all(|scope| outer.contains(scope)));
                prop_assert!(!inner.is_empty() || outer.is_empty());
            }
            prop_assert!((1..=by_tier.lifetime_s).contains(&by_tenant.lifetime_s));
            prop_assert!(by_tier.lifetime_s <= lifetime_s);
            let limit = |rpm: Option<u64>| rpm.unwrap_or(u64::MAX);
            prop_assert!(limit(by_tenant.requests_per_minute) <= limit(by_tier.requests_per_minute));
            prop_assert!(limit(by_tier.requests_per_minute) <= limit(rpm));
            prop_assert!(by_tenant.claims.keys().all(|name| may.contains(name)));
        }
    }
}
