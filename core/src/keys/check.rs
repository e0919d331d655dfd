//! Checks signatures with aws-lc-rs, for the core's own callers.

use agentidp_verify::{Algorithm, CheckSignature, Jwk};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The core's [`CheckSignature`].
#[derive(Debug, Clone, Copy)]
pub struct AwsLc;

impl CheckSignature for AwsLc {
    async fn check(&self, key: &Jwk, message: &[u8], signature: &[u8]) -> bool {
        check(key, message, signature).unwrap_or(false)
    }
}

fn check(key: &Jwk, message: &[u8], signature: &[u8]) -> Option<bool> {
    let part = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_deref()?).ok();
    let valid = match key.alg {
        Algorithm::EdDSA => UnparsedPublicKey::new(&ED25519, part(&key.x)?)
            .verify(message, signature)
            .is_ok(),
        Algorithm::ES256 => {
            // SEC 1 §2.3.3: 04, then both coordinates.
            let mut point = vec![4];
            point.extend(part(&key.x)?);
            point.extend(part(&key.y)?);
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok()
        }
        Algorithm::RS256 => RsaPublicKeyComponents {
            n: part(&key.n)?,
            e: part(&key.e)?,
        }
        .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        .is_ok(),
    };
    Some(valid)
}
