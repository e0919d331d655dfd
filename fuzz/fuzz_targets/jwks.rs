//! Key sets as fetched: every key that is kept was published so, is whole, fits
//! its algorithm, bears a name of its own, and has nothing private.

#![no_main]

use agentidp_fuzz::shape::is_strict;
use agentidp_verify::{Algorithm, Jwk, Jwks, Rejected};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

fuzz_target!(|data: &[u8]| {
    let Ok(set) = Jwks::read(data) else {
        return;
    };
    assert!(is_strict(data));
    let plain: Value = serde_json::from_slice(data).unwrap();
    let given = plain["keys"].as_array().unwrap();

    for key in &set.keys {
        assert_eq!(set.keys.iter().filter(|k| k.kid == key.kid).count(), 1);
        assert!(given.iter().any(|given| publishes(given, key)), "{key:?}");
        for algorithm in ALGORITHMS {
            let own = algorithm == key.alg;
            let expected = own.then_some(key).ok_or(Rejected::Algorithm);
            assert_eq!(set.choose(&key.kid, algorithm), expected);
        }
    }
    // What two different keys are called names neither.
    for (i, one) in given.iter().enumerate() {
        for other in &given[..i] {
            let (one, other) = (kept_alone(one), kept_alone(other));
            if let (Some(one), Some(other)) = (one, other)
                && one.kid == other.kid
                && one != other
            {
                assert!(set.keys.iter().all(|key| key.kid != one.kid));
            }
        }
    }
    let again = Jwks::read(&serde_json::to_vec(&set).unwrap()).unwrap();
    assert_eq!(again, set);
});

/// Whether `given` is `key`, whole and public.
fn publishes(given: &Value, key: &Jwk) -> bool {
    let members: &[(&str, &str)] = match key.alg {
        Algorithm::EdDSA => &[("kty", "OKP"), ("crv", "Ed25519")],
        Algorithm::ES256 => &[("kty", "EC"), ("crv", "P-256")],
        Algorithm::RS256 => &[("kty", "RSA")],
    };
    let material: &[&str] = match key.alg {
        Algorithm::EdDSA => &["x"],
        Algorithm::ES256 => &["x", "y"],
        Algorithm::RS256 => &["n", "e"],
    };
    let written = serde_json::to_value(key).unwrap();
    given["use"] == "sig"
        && given["alg"] == key.alg.name()
        && members.iter().all(|(name, value)| given[name] == *value)
        && material.iter().all(|name| given[name].is_string())
        && PRIVATE.iter().all(|name| given.get(name).is_none())
        && written
            .as_object()
            .unwrap()
            .iter()
            .all(|(name, value)| given[name] == *value)
}

/// The key that a set of `given` alone would hold.
fn kept_alone(given: &Value) -> Option<Jwk> {
    let set = serde_json::json!({ "keys": [given] }).to_string();
    Jwks::read(set.as_bytes()).ok()?.keys.pop()
}
