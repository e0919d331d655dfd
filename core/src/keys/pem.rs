//! Reads a key pair from PEM: PKCS#8 (RFC 5958), or the older forms of RSA and
//! EC keys, and their public halves (RFC 5280 `SubjectPublicKeyInfo`).

use agentidp_verify::{CheckSignature, Jwk};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jwt_simple::prelude::{self as jwt, ECDSAP256PublicKeyLike as _};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::config::Pem;
use crate::keys::check::AwsLc;
use crate::keys::signer::{Private, Signer};

/// A key pair that cannot be used. Says nothing of what the keys hold.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a key that we can sign with.
    #[error(
        "JWT_PRIVATE_KEY is not a PEM private key of Ed25519, P-256 or RSA (2048 bits or more)"
    )]
    Private,
    /// Not a public key of the private key's kind.
    #[error("JWT_PUBLIC_KEY is not a PEM public key of the kind of JWT_PRIVATE_KEY")]
    Public,
    /// Two halves of different pairs.
    #[error("JWT_PUBLIC_KEY does not belong to JWT_PRIVATE_KEY")]
    Mismatch,
    /// The cryptography failed.
    #[error("the key pair could not be used")]
    Unusable,
}

/// Reads the pair and proves that its halves belong together.
pub(super) async fn import(private: &Pem, public: &Pem) -> Result<Signer, KeyError> {
    let (private, jwk) = if let Ok(pair) = jwt::Ed25519KeyPair::from_pem(&private.0) {
        let public = jwt::Ed25519PublicKey::from_pem(&public.0).map_err(|_| KeyError::Public)?;
        let kid = public.jwk_thumbprint();
        (ed25519(&pair)?, public.with_key_id(&kid).to_jwk())
    } else if let Ok(pair) = jwt::ES256KeyPair::from_pem(&private.0) {
        let public = jwt::ES256PublicKey::from_pem(&public.0).map_err(|_| KeyError::Public)?;
        let kid = public.jwk_thumbprint();
        (p256(&pair)?, public.with_key_id(&kid).to_jwk())
    } else {
        // jwt-simple must not hold a private RSA key: its pure-Rust arithmetic
        // is not constant-time (RUSTSEC-2023-0071).
        let pair = rsa(&private.0)?;
        let public = jwt::RS256PublicKey::from_pem(&public.0).map_err(|_| KeyError::Public)?;
        let kid = public.jwk_thumbprint();
        (Private::Rsa(pair), public.with_key_id(&kid).to_jwk())
    };
    let jwk: Jwk = serde_json::from_str(&jwk).map_err(|_| KeyError::Public)?;
    let signer = Signer::new(private, jwk);

    let message = b"the halves of a pair belong together";
    let signature = signer.sign_bytes(message).map_err(|_| KeyError::Unusable)?;
    if AwsLc.check(signer.public(), message, &signature).await {
        Ok(signer)
    } else {
        Err(KeyError::Mismatch)
    }
}

fn ed25519(pair: &jwt::Ed25519KeyPair) -> Result<Private, KeyError> {
    // jwt-simple's bytes are the seed and the public key, 32 bytes each.
    let bytes = pair.to_bytes();
    let (seed, public) = bytes.split_at_checked(32).ok_or(KeyError::Private)?;
    Ed25519KeyPair::from_seed_and_public_key(seed, public)
        .map(|pair| Private::Ed25519(Box::new(pair)))
        .map_err(|_| KeyError::Private)
}

fn p256(pair: &jwt::ES256KeyPair) -> Result<Private, KeyError> {
    let public = pair.public_key().public_key().to_bytes_uncompressed();
    EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &pair.to_bytes(),
        &public,
    )
    .map(|pair| Private::P256(Box::new(pair)))
    .map_err(|_| KeyError::Private)
}

fn rsa(pem: &str) -> Result<RsaKeyPair, KeyError> {
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(KeyError::Private),
    }
    .map_err(|_| KeyError::Private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generate;
    use agentidp_verify::Algorithm;

    fn pems(algorithm: Algorithm) -> (Pem, Pem) {
        let pair = generate(algorithm).unwrap();
        (Pem(pair.private), Pem(pair.public))
    }

    #[tokio::test]
    async fn a_generated_pair_of_each_kind_signs_what_its_jwk_verifies() {
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
            let (private, public) = pems(algorithm);
            let signer = import(&private, &public).await.unwrap();
            assert_eq!(signer.public().alg, algorithm);
            let signature = signer.sign_bytes(b"message").unwrap();
            assert!(AwsLc.check(signer.public(), b"message", &signature).await);
            assert!(!AwsLc.check(signer.public(), b"massage", &signature).await);
            assert!(
                !AwsLc
                    .check(signer.public(), b"message", &signature[1..])
                    .await
            );
        }
    }

    #[tokio::test]
    async fn halves_of_different_pairs_are_refused() {
        for (one, other) in [
            (Algorithm::EdDSA, Algorithm::EdDSA),
            (Algorithm::ES256, Algorithm::ES256),
            (Algorithm::EdDSA, Algorithm::ES256),
            (Algorithm::RS256, Algorithm::EdDSA),
        ] {
            let (private, _) = pems(one);
            let (_, public) = pems(other);
            assert!(
                import(&private, &public).await.is_err(),
                "{one:?} {other:?}"
            );
        }
        let (private, public) = pems(Algorithm::EdDSA);
        assert!(import(&public, &private).await.is_err());
        assert!(import(&Pem("nonsense".into()), &public).await.is_err());
    }
}
