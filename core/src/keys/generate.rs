//! Makes a new key pair, for `agentidp keys generate` and the embedded default.

use std::fmt;

use agentidp_verify::Algorithm;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jwt_simple::prelude as jwt;

use crate::keys::KeyError;

/// A new pair in PEM.
pub struct GeneratedPair {
    /// PKCS#8.
    pub private: String,
    /// `SubjectPublicKeyInfo`.
    pub public: String,
}

impl fmt::Debug for GeneratedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// A new pair for `algorithm`; RSA has 2,048 bits.
///
/// # Errors
/// The cryptography failed.
pub fn generate(algorithm: Algorithm) -> Result<GeneratedPair, KeyError> {
    match algorithm {
        Algorithm::EdDSA => {
            let pair = jwt::Ed25519KeyPair::generate();
            Ok(GeneratedPair {
                private: pair.to_pem(),
                public: pair.public_key().to_pem(),
            })
        }
        Algorithm::ES256 => {
            let pair = jwt::ES256KeyPair::generate();
            let unusable = |_| KeyError::Unusable;
            Ok(GeneratedPair {
                private: pair.to_pem().map_err(unusable)?,
                public: pair.public_key().to_pem().map_err(unusable)?,
            })
        }
        Algorithm::RS256 => {
            let unusable = |_| KeyError::Unusable;
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(unusable)?;
            let private: Pkcs8V1Der<'_> = pair.as_der().map_err(unusable)?;
            let public = pair.public_key().as_der().map_err(unusable)?;
            Ok(GeneratedPair {
                private: to_pem("PRIVATE KEY", private.as_ref()),
                public: to_pem("PUBLIC KEY", public.as_ref()),
            })
        }
    }
}

/// RFC 7468 §2: 64 characters a line.
pub(super) fn to_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
