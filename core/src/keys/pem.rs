//! Reads a key pair from PEM: PKCS#8 (RFC 5958), or the older forms of RSA and
//! EC keys, and their public halves (RFC 5280 `SubjectPublicKeyInfo`).

use agentidp_verify::{CheckSignature, Jwk};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jwt_simple::prelude as jwt;
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

/// Reads the pair and proves that its halves belong together. The public half,
/// which jwt-simple reads, says of which kind the pair is.
pub(super) async fn import(private: &Pem, public: &Pem) -> Result<Signer, KeyError> {
    let private = PrivateKeyDer::from_pem_slice(private.0.as_bytes());
    let private = private.map_err(|_| KeyError::Private)?;
    let (private, jwk) = if let Ok(public) = jwt::Ed25519PublicKey::from_pem(&public.0) {
        let kid = public.jwk_thumbprint();
        (ed25519(&private)?, public.with_key_id(&kid).to_jwk())
    } else if let Ok(public) = jwt::ES256PublicKey::from_pem(&public.0) {
        let kid = public.jwk_thumbprint();
        (p256(&private)?, public.with_key_id(&kid).to_jwk())
    } else if let Ok(public) = jwt::RS256PublicKey::from_pem(&public.0) {
        let kid = public.jwk_thumbprint();
        (rsa(&private)?, public.with_key_id(&kid).to_jwk())
    } else {
        return Err(KeyError::Public);
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

/// PKCS#8, with or without the public key in it (RFC 8410 §7, RFC 5958).
fn ed25519(private: &PrivateKeyDer<'_>) -> Result<Private, KeyError> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(private.secret_der())
        .map(|pair| Private::Ed25519(Box::new(pair)))
        .map_err(|_| KeyError::Private)
}

/// PKCS#8, or the older form of EC keys (RFC 5915).
fn p256(private: &PrivateKeyDer<'_>) -> Result<Private, KeyError> {
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, private.secret_der())
        .map(|pair| Private::P256(Box::new(pair)))
        .map_err(|_| KeyError::Private)
}

/// PKCS#8, or the older form of RSA keys (RFC 8017, A.1.2). jwt-simple must not
/// hold one: its pure-Rust arithmetic is not constant-time (RUSTSEC-2023-0071).
fn rsa(private: &PrivateKeyDer<'_>) -> Result<Private, KeyError> {
    match private {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(KeyError::Private),
    }
    .map(Private::Rsa)
    .map_err(|_| KeyError::Private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generate;
    use crate::keys::generate::to_pem;
    use agentidp_verify::Algorithm;
    use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der, PublicKeyX509Der};
    use aws_lc_rs::signature::KeyPair as _;

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

    #[tokio::test]
    async fn an_ec_key_in_its_older_form_is_read_too() {
        // As `openssl ecparam -genkey` writes it.
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private = Pem(to_pem("EC PRIVATE KEY", private.as_ref()));
        let public = Pem(to_pem("PUBLIC KEY", public.as_ref()));
        assert!(import(&private, &public).await.is_ok());
    }
}
