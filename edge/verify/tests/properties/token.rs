//! Tokens whose signature is given: what their header and claims decide.

use std::task::{Context, Poll, Waker};

use agentidp_verify::claims::LONGEST_LIFE_S;
use agentidp_verify::token::{CLOCK_SKEW_S, bearer};
use agentidp_verify::{
    Algorithm, Audience, Audiences, CheckSignature, Expected, Jwk, Presented, Rejected, Verified,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

struct Yes;

impl CheckSignature for Yes {
    async fn check(&self, _: &Jwk, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fn verify(token: &str, now_s: u64) -> Result<Verified, Rejected> {
    let key = Jwk {
        kty: "OKP".into(),
        kid: "k".into(),
        alg: Algorithm::EdDSA,
        usage: "sig".into(),
        crv: None,
        x: None,
        y: None,
        n: None,
        e: None,
    };
    let expected = Expected {
        issuer: "https://i".into(),
        audiences: Audiences::These(vec![Audience {
            identifier: "https://a".into(),
            org_id: Some("o".into()),
        }]),
    };
    let presented = Presented::parse(token)?;
    let mut future = std::pin::pin!(presented.verify(&key, &expected, now_s, &Yes));
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("the check above never waits"),
    }
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k" })
}

fn claims(exp: u64, iat: u64, nbf: Option<u64>) -> Value {
    let mut claims = json!({
        "iss": "https://i", "sub": "s", "client_id": "s", "aud": "https://a", "exp": exp,
        "iat": iat, "jti": "j", "scope": "files:read", "org_id": "o", "tier": "free",
        "agentidp": { "rpm": 100, "policy": "p", "grants": ["c"] },
    });
    if let Some(nbf) = nbf {
        claims["nbf"] = nbf.into();
    }
    claims
}

fn token(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), "c2ln")
}

/// Moments near each other and at the ends of what can be counted.
fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 100_000..100_200u64,
        1 => 10_000..200_000u64,
        1 => any::<u64>(),
        1 => Just(u64::MAX),
    ]
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_token_is_good_exactly_between_its_times(
        exp in moment(),
        iat in moment(),
        nbf in prop::option::of(moment()),
        now_s in moment(),
    ) {
        let good = now_s < exp
            && nbf.is_none_or(|nbf| nbf <= now_s)
            && iat.saturating_sub(now_s) <= CLOCK_SKEW_S
            && exp.saturating_sub(iat) <= LONGEST_LIFE_S;
        let verified = verify(&token(&header(), &claims(exp, iat, nbf)), now_s);
        prop_assert_eq!(verified.is_ok(), good, "{:?}", verified);
    }

    #[test]
    fn a_token_with_any_member_replaced_by_anything_is_refused(
        name in prop::sample::select(vec!["iss", "aud", "org_id", "exp", "iat", "jti", "sub",
            "client_id", "scope", "tier", "agentidp", "cnf", "nbf"]),
        value in prop::sample::select(vec![json!(null), json!(true), json!(-1), json!(0.5),
            json!([]), json!({}), json!("\u{7f}"), json!(["https://a"]), json!(u64::MAX)]),
    ) {
        let mut claims = claims(200, 100, None);
        claims[name] = value.clone();
        // What may be absent may be null, and a text that is nobody's id any text.
        let harmless = (name == "nbf" && value.is_null())
            || (["scope", "tier"].contains(&name) && value.is_string());
        prop_assert_eq!(verify(&token(&header(), &claims), 150).is_ok(), harmless);
    }

    #[test]
    fn a_token_has_one_spelling(
        at in any::<prop::sample::Index>(),
        to in prop::char::any(),
    ) {
        let token = token(&header(), &claims(200, 100, None));
        let mut letters: Vec<char> = token.chars().collect();
        let at = at.index(letters.len());
        prop_assume!(letters[at] != to);
        letters[at] = to;
        let other: String = letters.into_iter().collect();
        // Unused bits, padding and the like would give it a second one.
        if Presented::parse(&other).is_ok() {
            let read = |text: &str| -> Vec<_> {
                text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect()
            };
            prop_assert_ne!(read(&token), read(&other));
        }
    }

    #[test]
    fn whatever_is_no_token_is_refused_without_a_panic(text in any::<String>()) {
        prop_assert!(Presented::parse(&text).is_err());
        if let Ok(token) = bearer(Some(&text)) {
            prop_assert!(text.trim().ends_with(token) && !token.starts_with(' '));
        }
    }
}
