//! What has been revoked, as a verifier holds it in memory: entries by id, put
//! there by the feed, forgotten when nothing alive could fall under them.

use std::collections::HashMap;

use crate::claims::Claims;
use crate::feed::{Entry, Kind};

/// How old a view may be when a request is admitted, in milliseconds. The age
/// runs from the moment the feed was *asked*, so 2 s is what a revocation's
/// author may rely on; the rest is for the call itself.
pub const OLDEST_VIEW_MS: u64 = 1_800;

/// How often the feed is asked at most, in milliseconds.
pub const ASK_EVERY_MS: u64 = 500;

/// The revocations known so far, and how far the feed has been read.
#[derive(Debug, Clone, Default)]
pub struct Revocations {
    /// One map a [`Kind`], so that a look-up borrows the id it asks for.
    entries: [HashMap<String, Span>; 7],
    cursor: u64,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    lifted_at: Option<u64>,
    expires_at: u64,
    rpm: Option<u64>,
}

impl Revocations {
    /// Where to go on reading the feed.
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Takes up a page of the feed. A later entry for an id replaces the earlier.
    /// A cursor that goes back is a database that was restored: it is followed.
    pub fn take_up(&mut self, entries: Vec<Entry>, cursor: u64) {
        for entry in entries {
            let span = Span {
                lifted_at: entry.lifted_at,
                expires_at: entry.expires_at,
                rpm: entry.rpm,
            };
            self.entries[entry.kind as usize].insert(entry.id, span);
        }
        self.cursor = cursor;
    }

    /// Forgets what expired before `now_s` (Unix seconds).
    pub fn forget_expired(&mut self, now_s: u64) {
        for entries in &mut self.entries {
            entries.retain(|_, span| span.expires_at > now_s);
        }
    }

    /// Whether `claims` fall under an entry: the token by its `jti`, a grant
    /// that it rests on, its agent (`sub`, `client_id`) or its tenant.
    pub fn kill(&self, claims: &Claims) -> bool {
        let hit = |kind: Kind, id: &str| {
            self.entries[kind as usize]
                .get(id)
                .is_some_and(|span| falls_under(claims.iat, span.lifted_at))
        };
        hit(Kind::Token, &claims.jti)
            || claims.agentidp.grants.iter().any(|id| hit(Kind::Grant, id))
            || hit(Kind::Agent, &claims.sub)
            || (claims.client_id != claims.sub && hit(Kind::Agent, &claims.client_id))
            || hit(Kind::Tenant, &claims.org_id)
    }

    /// Whether whatever the key `kid` signed is dead.
    pub fn kill_key(&self, kid: &str) -> bool {
        self.entries[Kind::Key as usize].contains_key(kid)
    }
}

impl Revocations {
    /// Leases of calls that were granted up to then are dead, Unix seconds: the latest
    /// entry that names the token's client, its tenant or its tier.
    pub fn leases_dead_until(&self, claims: &Claims) -> Option<u64> {
        let until = |kind: Kind, id: &str| {
            let span = self.entries[kind as usize].get(id)?;
            // One that was not lifted ends whatever there is.
            Some(span.lifted_at.unwrap_or(u64::MAX))
        };
        [
            until(Kind::Agent, &claims.client_id),
            until(Kind::Tenant, &claims.org_id),
            until(Kind::Cap, &claims.org_id),
            until(Kind::TierCap, &claims.tier),
        ]
        .into_iter()
        .flatten()
        .max()
    }

    /// The requests a minute that the token may make: what it carries, or what a
    /// downgrade since has capped it to: its tenant's, or its tier's own.
    pub fn requests_per_minute(&self, claims: &Claims) -> Option<u64> {
        let cap = |kind: Kind, id: &str| {
            self.entries[kind as usize]
                .get(id)
                .filter(|span| falls_under(claims.iat, span.lifted_at))
                .and_then(|span| span.rpm)
        };
        let limits = [
            claims.agentidp.rpm,
            cap(Kind::Cap, &claims.org_id),
            cap(Kind::TierCap, &claims.tier),
        ];
        limits.into_iter().flatten().min()
    }
}

/// Whether a token issued at `iat` is dead under an entry: every token until the
/// entry is lifted, and after that those issued up to the lifting.
pub const fn falls_under(iat: u64, lifted_at: Option<u64>) -> bool {
    match lifted_at {
        None => true,
        Some(lifted_at) => iat <= lifted_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Enforced;

    fn token(iat: u64) -> Claims {
        Claims {
            iss: "i".into(),
            sub: "agent".into(),
            client_id: "agent".into(),
            aud: "a".into(),
            exp: iat + 3600,
            nbf: None,
            iat,
            jti: "jti".into(),
            scope: String::new(),
            org_id: "org".into(),
            tier: "free".into(),
            agentidp: Enforced {
                rpm: None,
                policy: String::new(),
                grants: vec!["credential".into()],
            },
            ext: Default::default(),
            cnf: None,
        }
    }

    fn view(kind: Kind, id: &str, lifted_at: Option<u64>) -> Revocations {
        let mut view = Revocations::default();
        let entry = Entry {
            kind,
            id: id.into(),
            lifted_at,
            expires_at: 10_000,
            rpm: None,
        };
        view.take_up(vec![entry], 1);
        view
    }

    #[test]
    fn an_entry_of_each_kind_kills_the_token() {
        for (kind, id) in [
            (Kind::Token, "jti"),
            (Kind::Grant, "credential"),
            (Kind::Agent, "agent"),
            (Kind::Tenant, "org"),
        ] {
            assert!(view(kind, id, None).kill(&token(1)), "{kind:?}");
            assert!(!view(kind, "other", None).kill(&token(1)), "{kind:?}");
        }
        assert!(!view(Kind::Agent, "jti", None).kill(&token(1)));
    }

    #[test]
    fn a_keys_entry_is_about_the_key_and_nothing_of_its_name() {
        let view = view(Kind::Key, "jti", None);
        assert!(view.kill_key("jti") && !view.kill_key("agent"));
        assert!(!view.kill(&token(1)));
    }

    #[test]
    fn a_lifted_entry_still_kills_what_was_issued_up_to_the_lifting() {
        let view = view(Kind::Agent, "agent", Some(100));
        assert!(view.kill(&token(99)));
        assert!(view.kill(&token(100)));
        assert!(!view.kill(&token(101)));
    }

    #[test]
    fn a_later_entry_replaces_and_an_expired_one_is_forgotten() {
        let mut view = view(Kind::Agent, "agent", Some(100));
        let again = Entry {
            kind: Kind::Agent,
            id: "agent".into(),
            lifted_at: None,
            expires_at: 500,
            rpm: None,
        };
        view.take_up(vec![again], 2);
        assert!(view.kill(&token(300)));
        assert_eq!(view.cursor(), 2);
        view.forget_expired(500);
        assert!(!view.kill(&token(300)));
    }

    #[test]
    fn an_entry_for_a_client_its_tenant_or_its_tier_ends_older_leases() {
        for (kind, id) in [
            (Kind::Agent, "agent"),
            (Kind::Tenant, "org"),
            (Kind::Cap, "org"),
            (Kind::TierCap, "free"),
        ] {
            let lifted = view(kind, id, Some(100));
            assert_eq!(lifted.leases_dead_until(&token(500)), Some(100), "{kind:?}");
            let whole = view(kind, id, None);
            assert_eq!(whole.leases_dead_until(&token(500)), Some(u64::MAX));
            assert_eq!(
                view(kind, "other", None).leases_dead_until(&token(500)),
                None
            );
        }
        for kind in [Kind::Token, Kind::Grant] {
            assert_eq!(
                view(kind, "agent", None).leases_dead_until(&token(500)),
                None
            );
        }
    }

    #[test]
    fn a_downgrade_caps_older_tokens_and_kills_none() {
        let mut view = Revocations::default();
        let cap = Entry {
            kind: Kind::Cap,
            id: "org".into(),
            lifted_at: Some(100),
            rpm: Some(100),
            expires_at: 10_000,
        };
        view.take_up(vec![cap], 1);
        let with = |iat, rpm| {
            let mut claims = token(iat);
            claims.agentidp.rpm = rpm;
            claims
        };
        assert_eq!(
            view.requests_per_minute(&with(100, Some(10_000))),
            Some(100)
        );
        assert_eq!(view.requests_per_minute(&with(100, Some(5))), Some(5));
        assert_eq!(view.requests_per_minute(&with(100, None)), Some(100));
        assert_eq!(
            view.requests_per_minute(&with(101, Some(10_000))),
            Some(10_000)
        );
        assert!(!view.kill(&token(100)));
    }

    #[test]
    fn the_lowest_of_what_a_token_carries_and_both_its_caps_counts() {
        let entry = |kind, id: &str, rpm| Entry {
            kind,
            id: id.into(),
            lifted_at: Some(100),
            rpm: Some(rpm),
            expires_at: 10_000,
        };
        let mut view = Revocations::default();
        let others = vec![
            entry(Kind::TierCap, "org", 1),
            entry(Kind::Cap, "free", 1),
            entry(Kind::TierCap, "pro", 1),
        ];
        view.take_up(others, 1);
        assert_eq!(view.requests_per_minute(&token(100)), None);
        view.take_up(vec![entry(Kind::TierCap, "free", 50)], 2);
        assert_eq!(view.requests_per_minute(&token(100)), Some(50));
        assert_eq!(view.requests_per_minute(&token(101)), None);
        assert!(!view.kill(&token(100)));
        view.take_up(vec![entry(Kind::Cap, "org", 20)], 3);
        assert_eq!(view.requests_per_minute(&token(100)), Some(20));
        let mut carrying = token(100);
        carrying.agentidp.rpm = Some(5);
        assert_eq!(view.requests_per_minute(&carrying), Some(5));
    }
}
