//! A token from bytes to trust, its signature given: what is verified says, read
//! by plain serde_json, all that a verifier must see, and says it once.
//!
//! An input is a token as somebody presents it. Where it has a line break it is
//! a header and, from the second line on, the claims, and is encoded here: no
//! fuzzer finds its way through base64.

#![no_main]

use std::future::Future;
use std::task::{Context, Poll, Waker};

use agentidp_fuzz::shape::is_strict;
use agentidp_verify::claims::LONGEST_LIFE_S;
use agentidp_verify::token::{CLOCK_SKEW_S, LONGEST_TOKEN, bearer};
use agentidp_verify::{
    Audience, Audiences, CheckSignature, Claims, Expected, Jwks, Presented, Rejected, Verified,
};
use agentidp_verify::{Jwk, strict_json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ISSUER: &str = "https://i";
const AUDIENCE: &str = "https://a";
const ORG_ID: &str = "o";
const NOW_S: u64 = 150;

const KEYS: &[u8] = br#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","x":"AA","kid":"ed","alg":"EdDSA","use":"sig"},
    {"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"es","alg":"ES256","use":"sig"},
    {"kty":"RSA","n":"AA","e":"AQAB","kid":"rs","alg":"RS256","use":"sig"}]}"#;

/// What the signature check says.
struct Says(bool);

impl CheckSignature for Says {
    async fn check(&self, _: &Jwk, _: &[u8], _: &[u8]) -> bool {
        self.0
    }
}

fuzz_target!(|text: &str| {
    let presented = bearer(Some(text));
    if let Ok(token) = presented {
        assert!(text.trim().ends_with(token) && !token.starts_with(' '));
    }
    match text.split_once('\n') {
        None => read(text),
        Some((header, claims)) => {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            read(&format!("{}.{}.c2ln", part(header), part(claims)));
        }
    }
});

fn read(token: &str) {
    let Ok(presented) = Presented::parse(token) else {
        return;
    };
    assert!(token.len() <= LONGEST_TOKEN);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("it has not three parts: {token}");
    };
    check_header(&decode(header), presented.unverified_kid());
    decode(signature);

    let keys = Jwks::read(KEYS).unwrap();
    match verify(token, &keys, false) {
        Ok(_) => panic!("taken without a signature: {token}"),
        Err(why) => assert!(matches!(
            why,
            Rejected::Signature | Rejected::UnknownKey | Rejected::Algorithm
        )),
    }
    if let Ok(verified) = verify(token, &keys, true) {
        check_verified(&verified, &decode(payload), &keys);
    }
}

/// One part, which has one spelling.
fn decode(part: &str) -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(&bytes), part);
    bytes
}

fn check_header(header: &[u8], kid: &str) {
    assert!(is_strict(header));
    let header: Value = serde_json::from_slice(header).unwrap();
    assert!(["EdDSA", "ES256", "RS256"].contains(&header["alg"].as_str().unwrap()));
    let typ = header["typ"].as_str().unwrap().to_lowercase();
    assert!(typ == "at+jwt" || typ == "application/at+jwt");
    assert_eq!(header["kid"].as_str(), Some(kid));
    for member in ["crit", "jwk", "jku", "x5u", "x5c"] {
        assert!(header.get(member).is_none(), "{member}");
    }
}

fn verify(token: &str, keys: &Jwks, signed: bool) -> Result<Verified, Rejected> {
    let presented = Presented::parse(token)?;
    let key = presented.choose(keys)?;
    let (expected, says) = (expected(), Says(signed));
    let future = std::pin::pin!(presented.verify(key, &expected, NOW_S, &says));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("the check above never waits"),
    }
}

fn expected() -> Expected {
    Expected {
        issuer: ISSUER.to_owned(),
        audiences: Audiences::These(vec![Audience {
            identifier: AUDIENCE.to_owned(),
            org_id: Some(ORG_ID.to_owned()),
        }]),
    }
}

fn check_verified(verified: &Verified, payload: &[u8], keys: &Jwks) {
    assert_eq!(verified.payload().as_bytes(), payload);
    assert!(is_strict(payload));
    let plain: Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(plain["iss"], ISSUER);
    assert_eq!(plain["aud"], AUDIENCE);
    assert_eq!(plain["org_id"], ORG_ID);
    assert!(plain.get("cnf").is_none());
    let grants = plain["agentidp"]["grants"].as_array().unwrap();
    for id in [&plain["jti"], &plain["sub"], &plain["client_id"]]
        .into_iter()
        .chain(grants)
    {
        assert!(!id.as_str().unwrap().contains(char::is_control), "{id}");
    }
    let (exp, iat) = (
        plain["exp"].as_u64().unwrap(),
        plain["iat"].as_u64().unwrap(),
    );
    assert!(NOW_S < exp && iat <= NOW_S + CLOCK_SKEW_S);
    assert!(exp.saturating_sub(iat) <= LONGEST_LIFE_S);
    assert!(plain["nbf"].is_null() || plain["nbf"].as_u64().unwrap() <= NOW_S);

    let claims = verified.claims();
    let written = serde_json::to_value(claims).unwrap();
    for (name, value) in written.as_object().unwrap() {
        let given = plain.get(name).cloned();
        let given = given.unwrap_or_else(|| Value::from(""));
        assert!(name == "agentidp" || *value == given, "{name}");
    }
    let again = serde_json::to_vec(claims).unwrap();
    let again: Claims = strict_json::from_slice(&again).unwrap();
    assert_eq!(again, *claims);
    assert!(claims.scopes().all(|scope| claims.allows(&[scope])));
    assert!(!claims.allows(&["files:write files:read"]));

    assert_eq!(verified.still_signed_by(keys), Ok(()));
    assert_eq!(
        verified.still_signed_by(&Jwks::default()),
        Err(Rejected::UnknownKey)
    );
    assert_eq!(
        verified.still_holds(&expected(), exp),
        Err(Rejected::Expired)
    );
}
