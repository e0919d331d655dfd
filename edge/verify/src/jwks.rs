//! The issuer's public keys (RFC 7517) and the choice among them. A key is
//! chosen by `kid` and must be of the token's own algorithm (RFC 8725 §3.1): the
//! token never brings a key, nor decides how a key is used.

use serde::{Deserialize, Serialize};

use crate::rejected::Rejected;

/// The signature algorithms we issue and accept, all asymmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519, RFC 8037.
    EdDSA,
    /// ECDSA on P-256 with SHA-256, RFC 7518 §3.4.
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518 §3.3.
    RS256,
}

impl Algorithm {
    /// The name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
        }
    }

    /// The algorithm of that name, if it is one of ours.
    pub fn named(name: &str) -> Option<Self> {
        [Self::EdDSA, Self::ES256, Self::RS256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }
}

/// One public signing key, RFC 7517 §4. The members after `use` are those of
/// its kind: `crv`, `x`, `y` (RFC 7518 §6.2, RFC 8037 §2) or `n`, `e` (§6.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`, `EC` or `RSA`.
    pub kty: String,
    /// The key's id: its thumbprint, RFC 7638.
    pub kid: String,
    /// The one algorithm this key is used with.
    pub alg: Algorithm,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// The curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The point, or its first coordinate; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The point's second coordinate; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The modulus; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent; base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// Members that only the private half of a key has, RFC 7518 §6.
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl Jwk {
    /// Whether this is a signing key of its algorithm's kind, with all that such
    /// a key must have.
    fn is_whole(&self) -> bool {
        let curve = self.crv.as_deref();
        self.usage == "sig"
            && match self.alg {
                Algorithm::EdDSA => {
                    self.kty == "OKP" && curve == Some("Ed25519") && self.x.is_some()
                }
                Algorithm::ES256 => {
                    let point = self.x.is_some() && self.y.is_some();
                    self.kty == "EC" && curve == Some("P-256") && point
                }
                Algorithm::RS256 => self.kty == "RSA" && self.n.is_some() && self.e.is_some(),
            }
    }
}

/// A key set, RFC 7517 §5.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys; an unknown kind of key is left out when the set is read.
    pub keys: Vec<Jwk>,
}

impl Jwks {
    /// Reads a set as fetched. Keys of a kind that this version does not know
    /// are passed over, RFC 7517 §5. So are keys whose private half was published
    /// with them, and different keys that share a `kid`, which names none of them.
    ///
    /// # Errors
    /// The bytes are not a key set.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Raw {
            keys: Vec<serde_json::Value>,
        }
        let raw: Raw = crate::strict_json::from_slice(bytes)?;
        let read: Vec<Jwk> = raw
            .keys
            .into_iter()
            .filter(|key| PRIVATE.iter().all(|member| key.get(member).is_none()))
            .filter_map(|key| serde_json::from_value(key).ok())
            .filter(Jwk::is_whole)
            .collect();
        let alone = |key: &Jwk| read.iter().all(|k| k.kid != key.kid || k == key);
        let mut keys: Vec<Jwk> = Vec::new();
        for key in &read {
            if alone(key) && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        Ok(Self { keys })
    }

    /// The key that a token with this `kid` and `alg` must have been signed by.
    ///
    /// # Errors
    /// [`Rejected::UnknownKey`], or [`Rejected::Algorithm`] where the key is
    /// there but is another algorithm's.
    pub fn choose(&self, kid: &str, algorithm: Algorithm) -> Result<&Jwk, Rejected> {
        let key = self
            .keys
            .iter()
            .find(|key| key.kid == kid)
            .ok_or(Rejected::UnknownKey)?;
        if key.alg == algorithm {
            Ok(key)
        } else {
            Err(Rejected::Algorithm)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.2, with the members that we add.
    const SET: &str = r#"{"keys":[
        {"kty":"oct","k":"c2VjcmV0","kid":"hmac"},
        {"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA","use":"sig",
         "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty":"RSA","kid":"enc","alg":"RS256","use":"enc","n":"AQAB","e":"AQAB"}]}"#;

    #[test]
    fn only_signing_keys_of_known_kinds_are_kept() {
        let set = Jwks::read(SET.as_bytes()).unwrap();
        assert_eq!(set.keys.len(), 1);
        assert_eq!(set.keys[0].kid, "a");
    }

    #[test]
    fn a_key_that_was_published_whole_or_whose_name_is_not_its_own_is_passed_over() {
        let key = |kid: &str, more: &str| {
            format!(
                r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"{kid}"{more}}}"#
            )
        };
        let set = [
            key("twice", r#","x":"AA""#),
            key("private", r#","x":"AA","d":"AA""#),
            key("shared", r#","x":"AA""#),
            key("shared", r#","x":"AB""#),
            key("hollow", ""),
            key("twice", r#","x":"AA""#),
        ];
        let set = format!(r#"{{"keys":[{}]}}"#, set.join(","));
        let set = Jwks::read(set.as_bytes()).unwrap();
        let kids: Vec<&str> = set.keys.iter().map(|key| key.kid.as_str()).collect();
        assert_eq!(kids, ["twice"]);
    }

    #[test]
    fn the_key_decides_the_algorithm() {
        let set = Jwks::read(SET.as_bytes()).unwrap();
        assert!(set.choose("a", Algorithm::EdDSA).is_ok());
        assert_eq!(set.choose("a", Algorithm::ES256), Err(Rejected::Algorithm));
        assert_eq!(set.choose("b", Algorithm::EdDSA), Err(Rejected::UnknownKey));
        assert_eq!(
            set.choose("hmac", Algorithm::EdDSA),
            Err(Rejected::UnknownKey)
        );
    }
}
