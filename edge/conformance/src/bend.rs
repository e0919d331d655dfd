//! A good token bent into bad ones: its header and its claims are changed, with
//! the signature that it had, with none, or with one of a key that is known.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// The parts of a compact JWS (RFC 7515 §3.1), readable.
#[derive(Debug, Clone)]
pub(crate) struct Bent {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signature: String,
}

impl Bent {
    /// Takes a token apart.
    pub(crate) fn of(token: &str) -> Result<Self, String> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err("the token is no compact JWS".to_owned());
        };
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok();
            let value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            value.ok_or("the token is no JWT")
        };
        Ok(Self {
            header: read(header)?,
            claims: read(claims)?,
            signature: signature.to_owned(),
        })
    }

    /// With one member of the header changed, or taken out by null.
    pub(crate) fn header(&self, name: &str, value: Value) -> Self {
        let mut bent = self.clone();
        set(&mut bent.header, name, value);
        bent
    }

    /// With one claim changed, or taken out by null.
    pub(crate) fn claim(&self, name: &str, value: Value) -> Self {
        let mut bent = self.clone();
        set(&mut bent.claims, name, value);
        bent
    }

    /// With the signature that the good one had.
    pub(crate) fn with_the_old_signature(&self) -> String {
        format!("{}.{}", self.message(), self.signature)
    }

    /// With an empty signature.
    pub(crate) fn unsigned(&self) -> String {
        format!("{}.", self.message())
    }

    /// By HMAC-SHA256 with `secret`.
    pub(crate) fn hmac(&self, secret: &[u8]) -> String {
        let message = self.message();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    pub(crate) fn signed_by(&self, key: &Ed25519KeyPair) -> String {
        let message = self.message();
        let signature = key.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn message(&self) -> String {
        let [header, claims] =
            [&self.header, &self.claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{claims}")
    }
}

/// A key that nobody has published.
pub(crate) fn nobodys_key() -> Result<Ed25519KeyPair, String> {
    Ed25519KeyPair::generate().map_err(|_| "no key can be made".to_owned())
}

/// That key as a JWK (RFC 8037).
pub(crate) fn jwk(key: &Ed25519KeyPair) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
}

/// Reads PKCS#8 in PEM.
pub(crate) fn read_key(pem: &str) -> Result<Ed25519KeyPair, String> {
    let pem = pem.replace("\\n", "\n");
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.map(str::trim).collect();
    let der = STANDARD.decode(text).unwrap_or_default();
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
        .map_err(|_| "the signing key is no Ed25519 key in PKCS#8".to_owned())
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.to_owned(), value),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bent_differs_in_that_alone() {
        let good = Bent {
            header: serde_json::json!({ "alg": "EdDSA", "typ": "at+jwt" }),
            claims: serde_json::json!({ "sub": "a", "exp": 5 }),
            signature: "c2ln".to_owned(),
        };
        let again = Bent::of(&good.with_the_old_signature()).unwrap();
        assert_eq!((&again.header, &again.claims), (&good.header, &good.claims));
        let bent = Bent::of(&good.claim("exp", 6.into()).with_the_old_signature()).unwrap();
        assert_eq!(bent.claims["exp"], 6);
        assert_eq!(bent.claims["sub"], "a");
        let none = good.header("typ", Value::Null).header;
        assert_eq!(none, serde_json::json!({ "alg": "EdDSA" }));
        assert!(good.unsigned().ends_with('.'));
        assert!(Bent::of("a.b").is_err());
        assert_eq!(jwk(&nobodys_key().unwrap())["kty"], "OKP");
        assert!(read_key("-----BEGIN PRIVATE KEY-----\nAAAA\n").is_err());
    }
}
