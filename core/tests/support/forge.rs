//! Makes tokens as an attacker would, and good ones to compare them with.

use agentidp_core::clock::Now;
use agentidp_core::ids::EventId;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude as jwt;
use serde_json::{Value, json};

use super::{Deployment, Tenant};

/// A header and claims, to be bent before they are signed.
#[derive(Debug, Clone)]
pub struct Forge {
    pub header: Value,
    pub claims: Value,
    key: String,
}

impl Forge {
    /// What the core would issue to the tenant's agent, for `audience`.
    pub fn good(
        deployment: &Deployment,
        tenant: &Tenant,
        subject: &str,
        audience: &str,
        scope: &str,
    ) -> Self {
        let public = jwt::Ed25519PublicKey::from_pem(&deployment.public_key).unwrap();
        let now = Now::read();
        Self {
            header: json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": public.jwk_thumbprint() }),
            claims: json!({
                "iss": deployment.issuer(),
                "sub": subject,
                "client_id": subject,
                "aud": audience,
                "exp": now.s() + 600,
                "iat": now.s(),
                "jti": EventId::new(now, &mut rand::rng()).to_string(),
                "scope": scope,
                "org_id": tenant.org_id,
                "tier": "enterprise",
                "agentidp": { "rpm": 10_000, "policy": "", "grants": [] },
            }),
            key: deployment.private_key.clone(),
        }
    }

    /// With one member of the header changed, or taken out by `null`.
    pub fn header(&self, name: &str, value: Value) -> Self {
        let mut forged = self.clone();
        set(&mut forged.header, name, value);
        forged
    }

    /// With one claim changed, or taken out by `null`.
    pub fn claim(&self, name: &str, value: Value) -> Self {
        let mut forged = self.clone();
        set(&mut forged.claims, name, value);
        forged
    }

    /// Signed by the core's key.
    pub fn sign(&self) -> String {
        self.sign_text(&self.header.to_string(), &self.claims.to_string())
    }

    /// The same for texts that no JSON library would write.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        self.sign_bytes(header.as_bytes(), claims.as_bytes())
    }

    /// The same for bytes that are no text.
    pub fn sign_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let bytes = jwt::Ed25519KeyPair::from_pem(&self.key).unwrap().to_bytes();
        let key = Ed25519KeyPair::from_seed_and_public_key(&bytes[..32], &bytes[32..]).unwrap();
        format!(
            "{message}.{}",
            encode(key.sign(message.as_bytes()).as_ref())
        )
    }

    /// Signed by a key that nobody published.
    pub fn sign_with_another_key(&self) -> String {
        let mut forged = self.clone();
        forged.key = jwt::Ed25519KeyPair::generate().to_pem();
        forged.sign()
    }

    /// Signed by HMAC-SHA256 with `secret`.
    pub fn sign_hmac(&self, secret: &[u8]) -> String {
        let message = format!(
            "{}.{}",
            encode(self.header.to_string().as_bytes()),
            encode(self.claims.to_string().as_bytes())
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        format!(
            "{message}.{}",
            encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()).as_ref())
        )
    }

    /// With no signature at all.
    pub fn unsigned(&self) -> String {
        format!(
            "{}.{}.",
            encode(self.header.to_string().as_bytes()),
            encode(self.claims.to_string().as_bytes())
        )
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
