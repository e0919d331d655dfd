//! A token on its way from bytes to trust: [`Presented`] is what somebody sent,
//! [`Verified`] can be made by [`Presented::verify`] alone.

use std::future::Future;

use crate::claims::Claims;
use crate::expected::Expected;
use crate::jwks::{Algorithm, Jwk, Jwks};
use crate::jws::Jws;
use crate::rejected::Rejected;
use crate::strict_json;

/// The longest token that is looked at, in bytes. Ours have about 700 (EdDSA)
/// to 1,100 (RS256), and 1 KB is reserved for what a tenant's policy may add.
pub const LONGEST_TOKEN: usize = 8 * 1024;

/// How far a token's `iat` may lie ahead of the verifier's clock, in seconds.
/// `exp` gets no such grace: an expired token is expired.
pub const CLOCK_SKEW_S: u64 = 60;

/// Whoever has the cryptography: aws-lc-rs in the core, `WebCrypto` in the Worker.
pub trait CheckSignature {
    /// Whether `signature` over `message` is `key`'s, by `key.alg`. Whatever
    /// goes wrong on the way is `false`.
    fn check(&self, key: &Jwk, message: &[u8], signature: &[u8]) -> impl Future<Output = bool>;
}

/// A token as somebody presented it: its header has been read, nothing in it is
/// to be believed.
#[derive(Debug)]
pub struct Presented<'a>(Jws<'a>);

/// A token whose signature and claims have been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    kid: String,
    algorithm: Algorithm,
    claims: Claims,
    payload: String,
}

/// A token that is refused.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub rejected: Rejected,
    /// What it says, where the issuer signed it: to count by, and never to go by.
    pub signed: Option<Box<Claims>>,
}

impl<'a> Presented<'a> {
    /// Reads the compact serialization, RFC 7515 §3.1, and its header, RFC 9068
    /// §2.1 and §4.
    ///
    /// # Errors
    /// The reason, which depends on nothing but the bytes.
    pub fn parse(token: &'a str) -> Result<Self, Rejected> {
        Jws::parse(token, "at+jwt", LONGEST_TOKEN).map(Self)
    }

    /// The `kid` that the header names.
    pub fn unverified_kid(&self) -> &str {
        &self.0.unverified_kid
    }

    /// The key of `keys` that must have signed this.
    ///
    /// # Errors
    /// See [`Jwks::choose`].
    pub fn choose<'k>(&self, keys: &'k Jwks) -> Result<&'k Jwk, Rejected> {
        self.0.choose(keys)
    }

    /// Checks the signature with `key`, then the claims. `now_s` is in Unix
    /// seconds.
    ///
    /// # Errors
    /// The first reason found; nothing of the payload is read before the
    /// signature has held.
    pub async fn verify<C: CheckSignature>(
        self,
        key: &Jwk,
        expected: &Expected,
        now_s: u64,
        cryptography: &C,
    ) -> Result<Verified, Rejected> {
        let verified = self.examine(key, expected, now_s, cryptography).await;
        verified.map_err(|refused| refused.rejected)
    }

    /// The same; of a token that was signed and is refused, the answer says whose it
    /// is.
    ///
    /// # Errors
    /// The same.
    pub async fn examine<C: CheckSignature>(
        self,
        key: &Jwk,
        expected: &Expected,
        now_s: u64,
        cryptography: &C,
    ) -> Result<Verified, Refused> {
        let payload = self.0.payload(key, cryptography).await?;
        let claims: Claims =
            strict_json::from_slice(payload.as_bytes()).map_err(|_| Rejected::Malformed)?;
        let verified = Verified {
            kid: self.0.unverified_kid,
            algorithm: self.0.algorithm,
            claims,
            payload,
        };
        match verified.still_holds(expected, now_s) {
            Ok(()) => Ok(verified),
            Err(rejected) => Err(Refused {
                rejected,
                signed: Some(Box::new(verified.claims)),
            }),
        }
    }
}

impl From<Rejected> for Refused {
    fn from(rejected: Rejected) -> Self {
        Self {
            rejected,
            signed: None,
        }
    }
}

impl Verified {
    /// What the token says.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The key that signed it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The claims as they were signed: a JSON object.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Whether the key that signed this is still among `keys`.
    ///
    /// # Errors
    /// See [`Jwks::choose`].
    pub fn still_signed_by(&self, keys: &Jwks) -> Result<(), Rejected> {
        keys.choose(&self.kid, self.algorithm).map(|_| ())
    }

    /// Whether the claims hold at `now_s` (Unix seconds). A token that is kept
    /// is asked again on every use.
    ///
    /// # Errors
    /// The first claim that does not hold.
    pub fn still_holds(&self, expected: &Expected, now_s: u64) -> Result<(), Rejected> {
        let claims = &self.claims;
        if claims.iss != expected.issuer {
            return Err(Rejected::Issuer);
        }
        // An id that no database could hold, or a life that outlasts what is kept
        // of revocations: nothing that the core ever signs.
        if !claims.is_plausible() {
            return Err(Rejected::Malformed);
        }
        if !expected.audiences.hold(claims) {
            return Err(Rejected::Audience);
        }
        if now_s >= claims.exp {
            return Err(Rejected::Expired);
        }
        let too_early = claims.nbf.is_some_and(|nbf| now_s < nbf);
        if too_early || claims.iat > now_s.saturating_add(CLOCK_SKEW_S) {
            return Err(Rejected::NotYetValid);
        }
        if claims.cnf.is_some() {
            return Err(Rejected::SenderConstrained);
        }
        Ok(())
    }
}

/// The bearer token of an `Authorization` header's value, RFC 6750 §2.1.
///
/// # Errors
/// [`Rejected::Missing`] where there is none, or another scheme's.
pub fn bearer(authorization: Option<&str>) -> Result<&str, Rejected> {
    let value = authorization.ok_or(Rejected::Missing)?.trim();
    let (scheme, token) = value.split_once(' ').ok_or(Rejected::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Rejected::Missing);
    }
    Ok(token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expected::{Audience, Audiences};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::task::{Context, Poll, Waker};

    /// What the signature check says is given; the cryptography is tested where
    /// it is.
    struct Says(bool);

    impl CheckSignature for Says {
        async fn check(&self, _: &Jwk, _: &[u8], _: &[u8]) -> bool {
            self.0
        }
    }

    const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;
    const CLAIMS: &str = r#"{"iss":"https://i","sub":"s","client_id":"s","aud":"https://a",
        "exp":200,"iat":100,"jti":"j","scope":"files:read","org_id":"o","tier":"free",
        "agentidp":{"rpm":100,"policy":"p","grants":["c"]}}"#;

    fn token(header: &str, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(claims), part("signature"))
    }

    fn key() -> Jwk {
        Jwk {
            kty: "OKP".into(),
            kid: "k".into(),
            alg: Algorithm::EdDSA,
            usage: "sig".into(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
        }
    }

    fn expected() -> Expected {
        Expected {
            issuer: "https://i".into(),
            audiences: Audiences::These(vec![Audience {
                identifier: "https://a".into(),
                org_id: Some("o".into()),
            }]),
        }
    }

    fn verify(token: &str, now_s: u64, signed: bool) -> Result<Verified, Rejected> {
        let presented = Presented::parse(token)?;
        let (key, expected, says) = (key(), expected(), Says(signed));
        let mut future = std::pin::pin!(presented.verify(&key, &expected, now_s, &says));
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("the check above never waits"),
        }
    }

    #[test]
    fn a_good_token_is_verified_and_nothing_is_read_before_its_signature() {
        let verified = verify(&token(HEADER, CLAIMS), 150, true).unwrap();
        assert_eq!(verified.claims().sub, "s");
        assert_eq!(verified.payload(), CLAIMS);
        let unsigned = verify(&token(HEADER, "not json"), 150, false);
        assert_eq!(unsigned, Err(Rejected::Signature));
    }

    #[test]
    fn a_header_that_is_not_ours_is_refused() {
        for (header, why) in [
            (
                r#"{"alg":"none","typ":"at+jwt","kid":"k"}"#,
                Rejected::Algorithm,
            ),
            (
                r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#,
                Rejected::Algorithm,
            ),
            (
                r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#,
                Rejected::Algorithm,
            ),
            (r#"{"alg":"EdDSA","typ":"JWT","kid":"k"}"#, Rejected::Type),
            (r#"{"alg":"EdDSA","kid":"k"}"#, Rejected::Type),
            (r#"{"alg":"EdDSA","typ":"at+jwt"}"#, Rejected::UnknownKey),
            (
                r#"{"alg":"EdDSA","typ":"at+jwt","kid":"x"}"#,
                Rejected::UnknownKey,
            ),
            (
                r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","crit":["x"]}"#,
                Rejected::CriticalHeader,
            ),
            (
                r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","crit":null}"#,
                Rejected::CriticalHeader,
            ),
            (
                r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","jwk":{}}"#,
                Rejected::KeyInHeader,
            ),
            (
                r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","jku":"u"}"#,
                Rejected::KeyInHeader,
            ),
            (
                r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","x5u":"u"}"#,
                Rejected::KeyInHeader,
            ),
            (
                r#"{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"k"}"#,
                Rejected::Malformed,
            ),
            (r#"["alg"]"#, Rejected::Malformed),
        ] {
            assert_eq!(
                verify(&token(header, CLAIMS), 150, true),
                Err(why),
                "{header}"
            );
        }
        assert!(
            verify(
                &token(&HEADER.replace("at+jwt", "application/AT+JWT"), CLAIMS),
                150,
                true
            )
            .is_ok()
        );
    }

    #[test]
    fn a_claim_that_does_not_hold_is_refused() {
        let edit = |from: &str, to: &str| {
            assert!(CLAIMS.contains(from), "{from}");
            token(HEADER, &CLAIMS.replace(from, to))
        };
        for (token, why) in [
            (edit("https://i", "https://i/"), Rejected::Issuer),
            (edit("https://a", "https://b"), Rejected::Audience),
            (
                edit(r#""org_id":"o""#, r#""org_id":"p""#),
                Rejected::Audience,
            ),
            (
                edit(r#""aud":"https://a""#, r#""aud":["https://a"]"#),
                Rejected::Malformed,
            ),
            (edit(r#""exp":200"#, r#""exp":150"#), Rejected::Expired),
            (edit(r#""exp":200"#, r#""exp":"200""#), Rejected::Malformed),
            (
                edit(r#""iat":100"#, r#""iat":100,"nbf":151"#),
                Rejected::NotYetValid,
            ),
            (edit(r#""iat":100"#, r#""iat":211"#), Rejected::NotYetValid),
            (
                edit(r#""iat":100"#, r#""iat":100,"cnf":{"jkt":"x"}"#),
                Rejected::SenderConstrained,
            ),
            (
                edit(r#""iat":100"#, r#""iat":100,"cnf":null"#),
                Rejected::SenderConstrained,
            ),
            (
                edit(r#""iat":100"#, r#""iat":100,"iat":100"#),
                Rejected::Malformed,
            ),
            (edit(r#""jti":"j","#, ""), Rejected::Malformed),
            (
                edit(r#""jti":"j""#, r#""jti":"\u0000""#),
                Rejected::Malformed,
            ),
            (edit(r#""exp":200"#, r#""exp":86501"#), Rejected::Malformed),
        ] {
            assert_eq!(verify(&token, 150, true), Err(why), "{token}");
        }
    }

    #[test]
    fn what_is_no_token_is_malformed_and_what_is_huge_is_not_read() {
        for text in ["", ".", "..", "a.b", "a.b.c.d", "a.b.c", "é.é.é"] {
            assert_eq!(
                verify(text, 150, true),
                Err(Rejected::Malformed),
                "{text:?}"
            );
        }
        let huge = "a".repeat(LONGEST_TOKEN + 1);
        assert_eq!(verify(&huge, 150, true), Err(Rejected::TooLong));
    }

    #[test]
    fn only_a_bearer_token_is_taken_from_the_header() {
        assert_eq!(bearer(Some("Bearer t")), Ok("t"));
        assert_eq!(bearer(Some("bEARER  t")), Ok("t"));
        for other in [None, Some(""), Some("t"), Some("Basic t"), Some("Bearer")] {
            assert_eq!(bearer(other), Err(Rejected::Missing), "{other:?}");
        }
    }
}
