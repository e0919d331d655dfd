//! Pages of the feed, read and taken up: a page is read one way, and what the
//! view says afterwards is the last word on each id.

#![no_main]

use agentidp_fuzz::shape::is_strict;
use agentidp_verify::Claims;
use agentidp_verify::claims::Enforced;
use agentidp_verify::feed::{Entry, Kind, Page};
use agentidp_verify::revocations::Revocations;
use agentidp_verify::strict_json::from_slice;
use libfuzzer_sys::fuzz_target;

/// What the tokens carry.
const RPM: u64 = 100;

/// An id that no entry has.
const NOBODY: &str = "\u{0}nobody\u{0}";

fuzz_target!(|data: &[u8]| {
    let Ok(page) = from_slice::<Page>(data) else {
        return;
    };
    assert!(is_strict(data));
    let again = serde_json::to_vec(&page).unwrap();
    assert_eq!(from_slice::<Page>(&again).unwrap(), page);
    if page.entries.iter().any(|entry| entry.id == NOBODY) {
        return;
    }

    let mut view = Revocations::default();
    view.take_up(page.entries.clone(), page.cursor);
    assert_eq!(view.cursor(), page.cursor);
    for entry in &page.entries {
        check(&view, last_word(&page.entries, entry));
    }
    view.forget_expired(u64::MAX);
    for entry in &page.entries {
        assert!(!view.kill(&token(entry, 0)));
        assert_eq!(view.requests_per_minute(&token(entry, 0)), Some(RPM));
    }
});

fn last_word<'a>(entries: &'a [Entry], about: &Entry) -> &'a Entry {
    let mut said = entries.iter().rev();
    said.find(|said| said.kind == about.kind && said.id == about.id)
        .unwrap()
}

fn check(view: &Revocations, entry: &Entry) {
    let lifted_at = entry.lifted_at.unwrap_or(u64::MAX);
    for iat in [0, lifted_at, lifted_at.saturating_add(1)] {
        let token = token(entry, iat);
        let older = iat <= lifted_at;
        if entry.kind == Kind::Key {
            assert!(view.kill_key(&entry.id) && !view.kill(&token));
        } else if matches!(entry.kind, Kind::Cap | Kind::TierCap) {
            let cap = entry.rpm.filter(|_| older).unwrap_or(u64::MAX);
            assert_eq!(view.requests_per_minute(&token), Some(cap.min(RPM)));
        } else {
            assert_eq!(view.kill(&token), older);
        }
    }
}

/// A token that `entry` names, and nobody's otherwise.
fn token(entry: &Entry, iat: u64) -> Claims {
    let named = |kinds: &[Kind]| match kinds.contains(&entry.kind) {
        true => entry.id.clone(),
        false => NOBODY.to_owned(),
    };
    Claims {
        iss: "i".to_owned(),
        sub: named(&[Kind::Agent]),
        client_id: named(&[Kind::Agent]),
        aud: "a".to_owned(),
        exp: iat.saturating_add(60),
        nbf: None,
        iat,
        jti: named(&[Kind::Token]),
        scope: String::new(),
        org_id: named(&[Kind::Tenant, Kind::Cap]),
        tier: named(&[Kind::TierCap]),
        agentidp: Enforced {
            rpm: Some(RPM),
            policy: String::new(),
            grants: vec![named(&[Kind::Grant])],
        },
        ext: Default::default(),
        cnf: None,
    }
}
