//! Key sets, good ones with some that are none among them.

use agentidp_verify::jwks::{Algorithm, Jwks};
use agentidp_verify::rejected::Rejected;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::id;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

/// A key of each kind; its material is a letter, so that two can be the same.
fn good() -> impl Strategy<Value = Value> {
    (prop::sample::select(ALGORITHMS.to_vec()), id(), id()).prop_map(|(algorithm, kid, part)| {
        let mut key = match algorithm {
            Algorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "x": part }),
            Algorithm::ES256 => json!({ "kty": "EC", "crv": "P-256", "x": part, "y": part }),
            Algorithm::RS256 => json!({ "kty": "RSA", "n": part, "e": "AQAB" }),
        };
        key["kid"] = kid.into();
        key["alg"] = algorithm.name().into();
        key["use"] = "sig".into();
        key
    })
}

/// The same with one member taken out, replaced or added.
fn bent() -> impl Strategy<Value = Value> {
    let names = vec![
        "kty", "kid", "alg", "use", "crv", "x", "y", "n", "e", "d", "k", "p",
    ];
    let values = vec![
        json!(null),
        json!("sig"),
        json!("EC"),
        json!("RS256"),
        json!(1),
    ];
    let change = (prop::sample::select(names), prop::sample::select(values));
    (good(), change).prop_map(|(mut key, (name, value))| {
        key[name] = value;
        key
    })
}

/// An optional member that is null is none.
fn without_nulls(key: &Value) -> Value {
    let members = key.as_object().into_iter().flatten();
    let members = members.filter(|(_, value)| !value.is_null());
    members.map(|(n, v)| (n.clone(), v.clone())).collect()
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn what_is_read_has_names_of_its_own_kinds_that_fit_and_nothing_private(
        keys in prop::collection::vec(prop_oneof![good(), bent()], 0..8),
    ) {
        let text = json!({ "keys": keys }).to_string();
        let set = Jwks::read(text.as_bytes()).unwrap();
        for (i, key) in set.keys.iter().enumerate() {
            prop_assert!(set.keys[..i].iter().all(|other| other.kid != key.kid));
            let written = serde_json::to_value(key).unwrap();
            let mut given = keys.iter().map(without_nulls);
            prop_assert!(given.any(|given| given == written), "{} was not there", written);
            for algorithm in ALGORITHMS {
                let own = algorithm == key.alg;
                let expected = own.then_some(key).ok_or(Rejected::Algorithm);
                prop_assert_eq!(set.choose(&key.kid, algorithm), expected);
            }
        }
        let again = Jwks::read(&serde_json::to_vec(&set).unwrap()).unwrap();
        prop_assert_eq!(again, set);
    }

    #[test]
    fn a_good_key_is_kept_unless_another_claims_its_name(
        keys in prop::collection::vec(good(), 0..8),
    ) {
        let text = json!({ "keys": keys }).to_string();
        let set = Jwks::read(text.as_bytes()).unwrap();
        for key in &keys {
            let alone = keys.iter().all(|other| other["kid"] != key["kid"] || other == key);
            let kept = set.keys.iter().any(|k| key["kid"] == k.kid.as_str());
            prop_assert_eq!(kept, alone);
        }
    }
}
