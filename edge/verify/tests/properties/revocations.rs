//! The view of what is revoked, against a model that keeps every entry in order
//! and searches it from the end.

use agentidp_verify::Claims;
use agentidp_verify::claims::Enforced;
use agentidp_verify::feed::{Entry, Kind};
use agentidp_verify::revocations::Revocations;
use proptest::prelude::*;

use super::id;

pub fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop::sample::select(vec![
        Kind::Token,
        Kind::Grant,
        Kind::Agent,
        Kind::Tenant,
        Kind::Cap,
    ]);
    let few = || prop::option::of(0..20u64);
    (kind, id(), few(), few(), 0..40u64).prop_map(|(kind, id, lifted_at, rpm, expires_at)| Entry {
        kind,
        id,
        lifted_at,
        rpm,
        expires_at,
    })
}

pub fn claims() -> impl Strategy<Value = Claims> {
    let ids = (id(), id(), id(), id(), prop::collection::vec(id(), 0..3));
    let numbers = (0..20u64, prop::option::of(0..20u64));
    (ids, numbers).prop_map(
        |((jti, sub, client_id, org_id, grants), (iat, rpm))| Claims {
            iss: "i".into(),
            sub,
            client_id,
            aud: "a".into(),
            exp: iat + 10,
            nbf: None,
            iat,
            jti,
            scope: String::new(),
            org_id,
            tier: "free".into(),
            agentidp: Enforced {
                rpm,
                policy: String::new(),
                grants,
            },
            ext: Default::default(),
            cnf: None,
        },
    )
}

/// A page of the feed, or the time of a clearing out.
#[derive(Debug, Clone)]
enum Step {
    Page(Vec<Entry>, u64),
    Forget(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let page = (prop::collection::vec(entry(), 0..6), any::<u64>());
    let step = prop_oneof![
        3 => page.prop_map(|(entries, cursor)| Step::Page(entries, cursor)),
        1 => (0..40u64).prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 0..8)
}

/// What is in force for `id`: the last word said, if it was not forgotten.
fn last<'a>(known: &'a [Entry], kind: Kind, id: &str) -> Option<&'a Entry> {
    let mut said = known.iter().rev();
    said.find(|entry| entry.kind == kind && entry.id == id)
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn the_view_says_what_the_last_word_on_each_id_says(steps in steps(), claims in claims()) {
        let mut view = Revocations::default();
        let mut model: Vec<Entry> = Vec::new();
        let mut read_to = 0;
        for step in steps {
            match step {
                Step::Page(entries, cursor) => {
                    model.extend(entries.iter().cloned());
                    view.take_up(entries, cursor);
                    read_to = cursor;
                }
                Step::Forget(now_s) => {
                    let said = model.clone();
                    model.retain(|entry| {
                        let last = last(&said, entry.kind, &entry.id);
                        last.is_some_and(|last| last.expires_at > now_s)
                    });
                    view.forget_expired(now_s);
                }
            }
            prop_assert_eq!(view.cursor(), read_to);

            let names = [
                (Kind::Token, &claims.jti),
                (Kind::Agent, &claims.sub),
                (Kind::Agent, &claims.client_id),
                (Kind::Tenant, &claims.org_id),
            ];
            let grants = claims.agentidp.grants.iter().map(|id| (Kind::Grant, id));
            let dead = names.into_iter().chain(grants).any(|(kind, id)| {
                last(&model, kind, id).is_some_and(|e| e.lifted_at.is_none_or(|s| claims.iat <= s))
            });
            prop_assert_eq!(view.kill(&claims), dead);

            let cap = last(&model, Kind::Cap, &claims.org_id)
                .filter(|e| e.lifted_at.is_none_or(|s| claims.iat <= s))
                .and_then(|e| e.rpm);
            let limits = [claims.agentidp.rpm, cap];
            prop_assert_eq!(view.requests_per_minute(&claims), limits.into_iter().flatten().min());
        }
    }

    #[test]
    fn how_the_feed_is_cut_into_pages_changes_nothing(
        entries in prop::collection::vec(entry(), 0..12),
        cut in 0..12usize,
        claims in claims(),
    ) {
        let mut whole = Revocations::default();
        whole.take_up(entries.clone(), 12);
        let mut parts = Revocations::default();
        let (first, second) = entries.split_at(cut.min(entries.len()));
        parts.take_up(first.to_vec(), 5);
        parts.take_up(second.to_vec(), 12);
        prop_assert_eq!(whole.kill(&claims), parts.kill(&claims));
        prop_assert_eq!(whole.requests_per_minute(&claims), parts.requests_per_minute(&claims));
        prop_assert_eq!(whole.cursor(), parts.cursor());
    }
}
