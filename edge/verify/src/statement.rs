//! What the core signs for its edges besides access tokens: pages of the feed,
//! leases. Each has a `typ` of its own, so that none is taken for another (RFC 8725
//! §3.11), and says by whom and for whom it was signed.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::jwks::{Jwk, Jwks};
use crate::jws::Jws;
use crate::rejected::Rejected;
use crate::strict_json;
use crate::token::CheckSignature;

/// A kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `typ` of its header; with `application/` before it, its media type.
    pub typ: &'static str,
    /// The longest that is looked at, in bytes.
    pub longest: usize,
}

/// A page of the feed: [`crate::feed::Page`].
pub const FEED: Kind = Kind {
    typ: "agentidp-feed+jwt",
    longest: 512 * 1024,
};

/// A lease of calls.
pub const LEASE: Kind = Kind {
    typ: "agentidp-lease+jwt",
    longest: 8 * 1024,
};

/// A statement as it came: nothing in it is to be believed.
#[derive(Debug)]
pub struct Statement<'a>(Jws<'a>);

impl<'a> Statement<'a> {
    /// Reads the compact serialization of a statement of this kind.
    ///
    /// # Errors
    /// The reason, which depends on nothing but the bytes.
    pub fn parse(jws: &'a str, kind: Kind) -> Result<Self, Rejected> {
        Jws::parse(jws, kind.typ, kind.longest).map(Self)
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

    /// What it says, after the signature, then `iss` and `aud`, were found to be
    /// `key`'s, `issuer` and `audience`, byte for byte. Its times are the caller's
    /// to judge.
    ///
    /// # Errors
    /// The first reason found.
    pub async fn verify<T: DeserializeOwned, C: CheckSignature>(
        self,
        key: &Jwk,
        (issuer, audience): (&str, &str),
        cryptography: &C,
    ) -> Result<T, Rejected> {
        #[derive(Deserialize)]
        struct Parties {
            iss: String,
            aud: String,
        }
        let payload = self.0.payload(key, cryptography).await?;
        let parties: Parties =
            strict_json::from_slice(payload.as_bytes()).map_err(|_| Rejected::Malformed)?;
        if parties.iss != issuer {
            return Err(Rejected::Issuer);
        }
        if parties.aud != audience {
            return Err(Rejected::Audience);
        }
        // The text was found to be strict just now.
        serde_json::from_str(&payload).map_err(|_| Rejected::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::jwks::Algorithm;
    use crate::token::Presented;

    struct Says(bool);

    impl CheckSignature for Says {
        async fn check(&self, _: &Jwk, _: &[u8], _: &[u8]) -> bool {
            self.0
        }
    }

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Said {
        n: u64,
    }

    fn jws(typ: &str, claims: &str) -> String {
        let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"k"}}"#);
        [header.as_str(), claims, "signature"]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".")
    }

    fn verify(jws: &str, kind: Kind, signed: bool) -> Result<Said, Rejected> {
        let key = Jwk {
            kty: "OKP".into(),
            kid: "k".into(),
            alg: Algorithm::EdDSA,
            usage: "sig".into(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
        };
        let says = Says(signed);
        let statement = Statement::parse(jws, kind)?;
        let mut future = std::pin::pin!(statement.verify(&key, ("i", "a"), &says));
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => result,
            Poll::Pending => unreachable!("the check above never waits"),
        }
    }

    #[test]
    fn a_statement_is_believed_if_it_is_signed_of_its_kind_and_between_these_two() {
        let good = jws(FEED.typ, r#"{"iss":"i","aud":"a","n":1}"#);
        assert_eq!(verify(&good, FEED, true), Ok(Said { n: 1 }));
        assert_eq!(verify(&good, FEED, false), Err(Rejected::Signature));
        assert_eq!(verify(&good, LEASE, true), Err(Rejected::Type));
        for (claims, why) in [
            (r#"{"iss":"j","aud":"a","n":1}"#, Rejected::Issuer),
            (r#"{"iss":"i","aud":"b","n":1}"#, Rejected::Audience),
            (r#"{"iss":"i","aud":["a"],"n":1}"#, Rejected::Malformed),
            (r#"{"iss":"i","n":1}"#, Rejected::Malformed),
            (r#"{"iss":"i","aud":"a"}"#, Rejected::Malformed),
            (r#"{"iss":"i","aud":"a","n":1,"n":2}"#, Rejected::Malformed),
            (
                r#"{"iss":"i","aud":"a","n":1,"x":{"y":1,"y":2}}"#,
                Rejected::Malformed,
            ),
            ("[]", Rejected::Malformed),
        ] {
            let jws = jws(FEED.typ, claims);
            assert_eq!(verify(&jws, FEED, true), Err(why), "{claims}");
        }
        let huge = format!("{good}{}", "A".repeat(FEED.longest));
        assert_eq!(verify(&huge, FEED, true), Err(Rejected::TooLong));
    }

    #[test]
    fn an_access_token_is_no_statement_and_a_statement_no_access_token() {
        for kind in [FEED, LEASE] {
            let token = jws("at+jwt", "{}");
            assert_eq!(verify(&token, kind, true), Err(Rejected::Type));
            let statement = jws(kind.typ, "{}");
            assert_eq!(
                Presented::parse(&statement).map(|_| ()),
                Err(Rejected::Type)
            );
        }
    }
}
