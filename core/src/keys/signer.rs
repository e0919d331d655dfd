//! Signs access tokens, and what the core tells its edges: JWS compact
//! serialization (RFC 7515 §3.1), for tokens with the header of RFC 9068 §2.1.

use std::fmt;

use agentidp_verify::statement::Kind;
use agentidp_verify::{Claims, Jwk};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// A private key. It has no way out of here.
pub(super) enum Private {
    Ed25519(Box<Ed25519KeyPair>),
    P256(Box<EcdsaKeyPair>),
    Rsa(RsaKeyPair),
}

/// A private key with its public half and the header of what it signs.
pub struct Signer {
    private: Private,
    public: Jwk,
    /// An access token's header, encoded once, and the dot after it.
    header: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("kid", &self.public.kid)
            .finish_non_exhaustive()
    }
}

impl Signer {
    pub(super) fn new(private: Private, public: Jwk) -> Self {
        let header = header(&public, "at+jwt");
        Self {
            private,
            public,
            header,
        }
    }

    /// The public half.
    pub const fn public(&self) -> &Jwk {
        &self.public
    }

    /// The signed token.
    ///
    /// # Errors
    /// The cryptography failed, which it does not for a key that was imported.
    pub fn sign(&self, claims: &Claims) -> Result<String, Unspecified> {
        self.sign_with(&self.header, claims)
    }

    /// A signed statement for an edge. `claims` have `iss` and `aud` among them.
    ///
    /// # Errors
    /// The same, or claims that are no JSON.
    pub fn state(&self, kind: Kind, claims: &impl Serialize) -> Result<String, Unspecified> {
        self.sign_with(&header(&self.public, kind.typ), claims)
    }

    fn sign_with(&self, header: &str, claims: &impl Serialize) -> Result<String, Unspecified> {
        let payload = serde_json::to_vec(claims).map_err(|_| Unspecified)?;
        let mut jws = String::with_capacity(header.len() + payload.len() * 4 / 3 + 512);
        jws.push_str(header);
        URL_SAFE_NO_PAD.encode_string(&payload, &mut jws);
        let signature = self.sign_bytes(jws.as_bytes())?;
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut jws);
        Ok(jws)
    }

    pub(super) fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match &self.private {
            Private::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Private::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec()),
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )?;
                Ok(signature)
            }
        }
    }
}

/// The header of a JWS of this type, encoded, and the dot after it.
fn header(public: &Jwk, typ: &str) -> String {
    let header = serde_json::json!({
        "alg": public.alg.name(),
        "typ": typ,
        "kid": public.kid,
    });
    format!("{}.", URL_SAFE_NO_PAD.encode(header.to_string()))
}
