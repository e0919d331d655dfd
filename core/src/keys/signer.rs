//! Signs access tokens: JWS compact serialization (RFC 7515 §3.1) with the
//! header of RFC 9068 §2.1.

use std::fmt;

use agentidp_verify::{Claims, Jwk};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
    /// The header, encoded once, and the dot after it.
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
        let header = serde_json::json!({
            "alg": public.alg.name(),
            "typ": "at+jwt",
            "kid": public.kid,
        });
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(header.to_string()));
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
        let payload = serde_json::to_vec(claims).map_err(|_| Unspecified)?;
        let mut token = String::with_capacity(self.header.len() + payload.len() * 4 / 3 + 512);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = self.sign_bytes(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
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
