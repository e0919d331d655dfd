//! Signs tokens as large as the service's, with aws-lc-rs and nothing around it:
//! what the ceiling answers with.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Outcome;
use crate::verify::Alg;

enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// A key pair made for this process, and the header of what it signs.
pub(crate) struct Mint {
    key: Key,
    issuer: String,
    /// Encoded, with the dot after it.
    header: String,
    kid: String,
}

/// The service's claims, and as many bytes.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    jti: Uuid,
    scope: &'a str,
    org_id: &'a str,
    tier: &'a str,
    agentidp: Enforced<'a>,
}

#[derive(Serialize)]
struct Enforced<'a> {
    rpm: u64,
    policy: &'a str,
    grants: [&'a str; 1],
}

impl Mint {
    /// With a new key.
    pub(crate) fn new(alg: Alg, issuer: &str) -> Outcome<Self> {
        let key = match alg {
            Alg::EdDSA => Key::Ed25519(Ed25519KeyPair::generate()?),
            Alg::ES256 => Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
        };
        // As long as a thumbprint (RFC 7638).
        let kid = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let header = json!({ "alg": alg.name(), "typ": "at+jwt", "kid": kid });
        Ok(Self {
            key,
            issuer: issuer.to_owned(),
            header: format!("{}.", URL_SAFE_NO_PAD.encode(header.to_string())),
            kid,
        })
    }

    /// A token of its own `jti`.
    pub(crate) fn token(
        &self,
        client_id: &str,
        audience: &str,
        scope: &str,
        lifetime_s: u64,
        now_s: u64,
    ) -> Outcome<String> {
        let id = "01900000-0000-7000-8000-000000000000";
        let claims = Claims {
            iss: &self.issuer,
            sub: client_id,
            client_id,
            aud: audience,
            exp: now_s + lifetime_s,
            iat: now_s,
            jti: Uuid::from_u128(rand::random()),
            scope,
            org_id: id,
            tier: "enterprise",
            agentidp: Enforced {
                rpm: 1_000_000_000,
                policy: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                grants: [id],
            },
        };
        let payload = serde_json::to_vec(&claims)?;
        let mut token = String::with_capacity(self.header.len() + payload.len() * 4 / 3 + 128);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = match &self.key {
            Key::Ed25519(pair) => pair.sign(token.as_bytes()),
            Key::P256(pair) => pair.sign(&SystemRandom::new(), token.as_bytes())?,
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    /// The public half, as a JWK set.
    pub(crate) fn jwks(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = match &self.key {
            Key::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "kid": self.kid })
            }
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..65]));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256", "kid": self.kid })
            }
        };
        json!({ "keys": [key] })
    }
}
