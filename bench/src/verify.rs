//! Verifies every token that was answered, after the measured part: its header,
//! its signature, its claims, and that no `jti` came twice. It shares no code
//! with the service, so that both cannot be wrong in the same way.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Outcome;
use crate::check::Identity;
use crate::load::Kept;

/// How many threads verify, while nothing is measured.
const THREADS: usize = 2;

/// A signature algorithm of the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Alg {
    EdDSA,
    ES256,
}

impl Alg {
    /// As JOSE writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
        }
    }
}

/// The public keys of an issuer, by `kid`.
pub(crate) struct Keys {
    alg: Alg,
    by_kid: HashMap<String, UnparsedPublicKey<Vec<u8>>>,
}

/// What the tokens of an issuer must say.
pub(crate) struct Issuance {
    pub(crate) keys: Keys,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) scope: String,
    pub(crate) lifetime_s: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// RFC 9068 §2.2.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    client_id: String,
    aud: String,
    exp: u64,
    iat: u64,
    jti: String,
    scope: String,
}

impl Keys {
    /// Out of a JWK set (RFC 7517 §5): the keys of that algorithm.
    pub(crate) fn read(alg: Alg, set: &Value) -> Outcome<Self> {
        let member = |key: &Value, name: &str| key[name].as_str().map(str::to_owned);
        let bytes = |key: &Value, name: &str| {
            member(key, name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        };
        let mut by_kid = HashMap::new();
        for key in set["keys"].as_array().into_iter().flatten() {
            let public = match (alg, key["crv"].as_str()) {
                (Alg::EdDSA, Some("Ed25519")) => {
                    bytes(key, "x").map(|x| UnparsedPublicKey::new(&ED25519 as &'static _, x))
                }
                (Alg::ES256, Some("P-256")) => {
                    bytes(key, "x").zip(bytes(key, "y")).map(|(x, y)| {
                        let point = [&[4], &*x, &*y].concat();
                        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED as &'static _, point)
                    })
                }
                _ => None,
            };
            if let Some((kid, public)) = member(key, "kid").zip(public) {
                by_kid.insert(kid, public);
            }
        }
        match by_kid.is_empty() {
            true => Err(format!("the key set has no key for {}", alg.name()).into()),
            false => Ok(Self { alg, by_kid }),
        }
    }
}

impl Issuance {
    /// Verifies a token that `client_id` asked for between two moments.
    pub(crate) fn verify(
        &self,
        token: &str,
        client_id: &str,
        between_s: (u64, u64),
    ) -> Outcome<Identity> {
        let (signed, signature) = token.rsplit_once('.').ok_or("no signature")?;
        let (header, payload) = signed.split_once('.').ok_or("no payload")?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
        let key = self.keys.by_kid.get(&header.kid).ok_or("an unknown key")?;
        if header.alg != self.keys.alg.name() || header.typ != "at+jwt" {
            return Err("a wrong header".into());
        }
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature)?)
            .map_err(|_| "a wrong signature")?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
        let wrong = [
            ("iss", claims.iss != self.issuer),
            ("sub", claims.sub != client_id),
            ("client_id", claims.client_id != client_id),
            ("aud", claims.aud != self.audience),
            ("scope", claims.scope != self.scope),
            ("iat", claims.iat < between_s.0 || claims.iat > between_s.1),
            ("exp", claims.exp != claims.iat + self.lifetime_s),
        ];
        if let Some((name, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
            return Err(format!("a wrong claim `{name}`").into());
        }
        Ok(Identity {
            jti: claims.jti,
            client_id: claims.client_id,
        })
    }

    /// Verifies all of them; `clients` are the ids by the number of the request,
    /// `jtis` those that were seen, which grow.
    pub(crate) fn verify_all(
        &self,
        kept: &[Kept],
        clients: &[String],
        between_s: (u64, u64),
        jtis: &mut HashSet<String>,
    ) -> Outcome<Vec<Identity>> {
        let part = |kept: &[Kept]| -> Outcome<Vec<Identity>> {
            kept.iter()
                .map(|kept| self.verify(&kept.text, &clients[kept.request], between_s))
                .collect()
        };
        let identities: Vec<Identity> = std::thread::scope(|scope| {
            let parts: Vec<_> = kept
                .chunks(kept.len().div_ceil(THREADS).max(1))
                .map(|chunk| scope.spawn(move || part(chunk)))
                .collect();
            let parts = parts.into_iter().map(|part| match part.join() {
                Ok(identities) => identities,
                Err(_) => Err("a verifier panicked".into()),
            });
            parts.collect::<Outcome<Vec<_>>>()
        })
        .map_err(|why| format!("a token that should not be: {why}"))?
        .concat();
        for identity in &identities {
            if !jtis.insert(identity.jti.clone()) {
                return Err(format!("a jti came twice: {}", identity.jti).into());
            }
        }
        Ok(identities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint::Mint;

    const AT: u64 = 1_800_000_000;

    fn minted(alg: Alg) -> (Issuance, String) {
        let mint = Mint::new(alg, "https://issuer.example").unwrap();
        let issuance = Issuance {
            keys: Keys::read(alg, &mint.jwks()).unwrap(),
            issuer: "https://issuer.example".into(),
            audience: "https://api.example".into(),
            scope: "files:read".into(),
            lifetime_s: 3600,
        };
        let token = mint.token("a", "https://api.example", "files:read", 3600, AT);
        (issuance, token.unwrap())
    }

    fn kept(token: &str) -> Kept {
        Kept {
            request: 0,
            text: token.to_owned(),
        }
    }

    #[test]
    fn what_was_signed_is_verified_once() {
        for alg in [Alg::EdDSA, Alg::ES256] {
            let (issuance, token) = minted(alg);
            let mut jtis = HashSet::new();
            let clients = ["a".to_owned()];
            let all = [kept(&token)];
            assert!(
                issuance
                    .verify_all(&all, &clients, (AT, AT), &mut jtis)
                    .is_ok()
            );
            let again = issuance.verify_all(&all, &clients, (AT, AT), &mut jtis);
            assert!(again.unwrap_err().to_string().contains("twice"));
        }
    }

    #[test]
    fn a_tampered_token_is_refused() {
        for alg in [Alg::EdDSA, Alg::ES256] {
            let (issuance, token) = minted(alg);
            for at in 0..token.len() {
                let mut other = token.clone().into_bytes();
                other[at] = if other[at] == b'A' { b'B' } else { b'A' };
                let other = String::from_utf8(other).unwrap();
                assert!(issuance.verify(&other, "a", (AT, AT)).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn a_token_of_another_issue_is_refused() {
        let (mut issuance, token) = minted(Alg::EdDSA);
        assert!(issuance.verify(&token, "a", (AT, AT)).is_ok());
        assert!(issuance.verify(&token, "b", (AT, AT)).is_err());
        assert!(issuance.verify(&token, "a", (AT + 1, AT + 2)).is_err());
        let (_, foreign) = minted(Alg::EdDSA);
        assert!(issuance.verify(&foreign, "a", (AT, AT)).is_err());
        issuance.scope = "files:write".into();
        assert!(issuance.verify(&token, "a", (AT, AT)).is_err());
    }
}
