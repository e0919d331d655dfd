//! JWS compact serialization (RFC 7515 §3.1) as everything here is signed: one
//! header, read strictly, and a payload that nobody looks at before the signature
//! has held.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::jwks::{Algorithm, Jwk, Jwks};
use crate::rejected::Rejected;
use crate::strict_json;
use crate::token::CheckSignature;

/// The JOSE header, RFC 7515 §4.1. One that brings its own key, or says that
/// something unknown is critical, is refused.
#[derive(Debug, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, deserialize_with = "strict_json::present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "strict_json::present")]
    jwk: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "strict_json::present")]
    jku: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "strict_json::present")]
    x5u: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "strict_json::present")]
    x5c: Option<IgnoredAny>,
}

/// A JWS whose header has been read. Nothing in it is to be believed.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) unverified_kid: String,
    signing_input: &'a str,
    unverified_payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Reads `jws`, of `longest` bytes at most, which must say that it is of the
    /// media type `typ`.
    ///
    /// # Errors
    /// The reason, which depends on nothing but the bytes.
    pub(crate) fn parse(jws: &'a str, typ: &str, longest: usize) -> Result<Self, Rejected> {
        if jws.len() > longest {
            return Err(Rejected::TooLong);
        }
        let (signing_input, signature) = jws.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Rejected::Malformed)?;
        if payload.contains('.') {
            return Err(Rejected::Malformed);
        }
        let header = decode(header)?;
        let header: Header<'_> =
            strict_json::from_slice(&header).map_err(|_| Rejected::Malformed)?;

        // The algorithm first: a token without a signature has nothing to say.
        let algorithm = Algorithm::named(header.alg).ok_or(Rejected::Algorithm)?;
        if header.crit.is_some() {
            return Err(Rejected::CriticalHeader);
        }
        if header.jwk.is_some()
            || header.jku.is_some()
            || header.x5u.is_some()
            || header.x5c.is_some()
        {
            return Err(Rejected::KeyInHeader);
        }
        if !header.typ.as_deref().is_some_and(|found| is(found, typ)) {
            return Err(Rejected::Type);
        }
        Ok(Self {
            algorithm,
            unverified_kid: header.kid.ok_or(Rejected::UnknownKey)?,
            signing_input,
            unverified_payload: payload,
            signature: decode(signature)?,
        })
    }

    /// The key of `keys` that must have signed this.
    ///
    /// # Errors
    /// See [`Jwks::choose`].
    pub(crate) fn choose<'k>(&self, keys: &'k Jwks) -> Result<&'k Jwk, Rejected> {
        keys.choose(&self.unverified_kid, self.algorithm)
    }

    /// The payload, after `key` was found to have signed it.
    ///
    /// # Errors
    /// It has not, or the payload is no text.
    pub(crate) async fn payload<C: CheckSignature>(
        &self,
        key: &Jwk,
        cryptography: &C,
    ) -> Result<String, Rejected> {
        // Once more here, so that no caller can pair a token with a wrong key.
        if key.kid != self.unverified_kid {
            return Err(Rejected::UnknownKey);
        }
        if key.alg != self.algorithm {
            return Err(Rejected::Algorithm);
        }
        let message = self.signing_input.as_bytes();
        if !cryptography.check(key, message, &self.signature).await {
            return Err(Rejected::Signature);
        }
        String::from_utf8(decode(self.unverified_payload)?).map_err(|_| Rejected::Malformed)
    }
}

/// RFC 7515 §4.1.9: with or without the prefix, in any case.
fn is(typ: &str, wanted: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == wanted
}

fn decode(part: &str) -> Result<Vec<u8>, Rejected> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Rejected::Malformed)
}
