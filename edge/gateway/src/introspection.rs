//! Introspection at the edge (RFC 7662): who may ask, and what is told.
//!
//! Resource servers have secrets of their own here, bound to the edge. The core's
//! credentials cannot be checked without the core, and a token for the core is none
//! that an edge takes.

use std::collections::BTreeMap;

use agentidp_verify::strict_json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

/// The longest form that is read, in bytes: room for a token and a hint.
pub const LONGEST_FORM: usize = 16 << 10;
/// What is told of a token, RFC 7662 §2.2 and RFC 8693 §4.1.
const TOLD: [&str; 12] = [
    "iss",
    "sub",
    "client_id",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "org_id",
    "cnf",
    "act",
];

/// The resource servers that may ask, the variable `INTROSPECTION_CLIENTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients(BTreeMap<String, Client>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// SHA-256 of its secret.
    digest: [u8; 32],
    /// Whose tokens it is told of; of all that the edge serves where it is absent.
    resources: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Digest(String),
    Pinned(Pinned),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    secret_sha256: String,
    resources: Vec<String>,
}

impl Clients {
    /// Reads the variable: an object of names, each with the SHA-256 of its secret in
    /// hex, or with that and the identifiers that it is pinned to.
    ///
    /// # Errors
    /// What is wrong, for the Worker's log; it quotes no digest.
    pub fn parse(text: &str, served: &[String]) -> Result<Self, String> {
        let written: BTreeMap<String, Written> = strict_json::from_slice(text.as_bytes())
            .map_err(|_| "INTROSPECTION_CLIENTS is no JSON object of names and SHA-256 digests")?;
        let client = |(name, written): (String, Written)| {
            let wrong = |what: &str| format!("INTROSPECTION_CLIENTS: {name}: {what}");
            let plain = |b: u8| b.is_ascii_graphic() && b != b':';
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(wrong("is no name: plain signs without a colon"));
            }
            let (digest, resources) = match written {
                Written::Digest(digest) => (digest, None),
                Written::Pinned(pinned) => (pinned.secret_sha256, Some(pinned.resources)),
            };
            let digest = hex(&digest).ok_or_else(|| wrong("needs 64 hex digits"))?;
            let unknown = resources.iter().flatten().find(|one| !served.contains(one));
            if let Some(unknown) = unknown {
                return Err(wrong(&format!("RESOURCES does not have {unknown}")));
            }
            Ok((name, Client { digest, resources }))
        };
        let clients: BTreeMap<String, Client> =
            written.into_iter().map(client).collect::<Result<_, _>>()?;
        if clients.is_empty() {
            return Err("INTROSPECTION_CLIENTS names nobody".to_owned());
        }
        Ok(Self(clients))
    }

    /// The client whose name and secret `authorization` has, RFC 6749 §2.3.1. `sha256`
    /// is the digest; digests are compared in constant time, and an unknown name
    /// costs as much as a wrong secret.
    pub fn authenticate(
        &self,
        authorization: Option<&str>,
        sha256: impl Fn(&[u8]) -> [u8; 32],
    ) -> Option<&Client> {
        let (scheme, credentials) = authorization?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let credentials = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
        let (name, secret) = credentials.split_once(':')?;
        let (name, secret) = (decoded(name)?, decoded(secret)?);
        let given = sha256(secret.as_bytes());
        let client = self.0.get(&name);
        let expected = client.map_or([0; 32], |client| client.digest);
        let same: bool = given.ct_eq(&expected).into();
        client.filter(|_| same)
    }
}

impl Client {
    /// Whether it is told of tokens for `resource`.
    pub fn may_see(&self, resource: &str) -> bool {
        let pinned = self.resources.as_ref();
        pinned.is_none_or(|pinned| pinned.iter().any(|known| known == resource))
    }
}

/// The member `token` of a form.
///
/// # Errors
/// What is wrong with the form, RFC 6749 §3.2: it is none, a parameter stands twice, or
/// there is no token.
pub fn token(form: &[u8]) -> Result<String, &'static str> {
    let form = std::str::from_utf8(form).map_err(|_| "The form is not UTF-8.")?;
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for pair in form.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            return Err("The form is not readable.");
        };
        if seen.insert(name, value).is_some() {
            return Err("A parameter stands twice.");
        }
    }
    seen.remove("token")
        .filter(|token| !token.is_empty())
        .ok_or("token is required.")
}

/// The answer for a good token whose claims are `payload`, a JSON object.
pub fn active(payload: &str) -> Value {
    let mut claims: Map<String, Value> = serde_json::from_str(payload).unwrap_or_default();
    let mut answer = Map::new();
    answer.insert("active".to_owned(), true.into());
    answer.insert("token_type".to_owned(), "Bearer".into());
    for name in TOLD {
        if let Some(value) = claims.remove(name) {
            answer.insert(name.to_owned(), value);
        }
    }
    Value::Object(answer)
}

/// `application/x-www-form-urlencoded`, strictly: escapes are whole, the text is
/// UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => 16 * digit(rest.next()?)? + digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |sum, digit| 16 * sum + digit))
        .collect();
    bytes.try_into().ok().filter(|_| digits.len() == 64)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    /// Stands in for SHA-256: the length, and the first byte.
    fn digest(secret: &[u8]) -> [u8; 32] {
        let mut digest = [0xab; 32];
        digest[0] = u8::try_from(secret.len()).unwrap();
        digest[1] = secret.first().copied().unwrap_or_default();
        digest
    }

    fn written(secret: &str) -> String {
        digest(secret.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn clients() -> Clients {
        let text = json!({
            "billing": written("secret of billing"),
            "search": { "secret_sha256": written("x+%:"), "resources": ["https://a.example"] },
        });
        Clients::parse(&text.to_string(), &["https://a.example".to_owned()]).unwrap()
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[test]
    fn a_client_is_known_by_its_name_and_secret() {
        let clients = clients();
        let known = |authorization: &str| clients.authenticate(Some(authorization), digest);
        let billing = known(&basic("billing:secret of billing")).unwrap();
        assert!(billing.may_see("https://anything.example"));
        // Both are form-encoded first.
        let search = known(&basic("search:x%2B%25%3A")).unwrap();
        assert!(search.may_see("https://a.example") && !search.may_see("https://b.example"));
        for bad in [
            "",
            "Basic",
            "Basic !!",
            "Bearer abc",
            &basic("billing"),
            &basic("billing:"),
            &basic("billing:wrong"),
            &basic("nobody:secret of billing"),
            &basic("search:secret of billing"),
            &basic("billing:%zz"),
        ] {
            assert_eq!(known(bad), None, "{bad}");
        }
        assert_eq!(clients.authenticate(None, digest), None);
    }

    #[test]
    fn an_unknown_name_with_a_secret_whose_digest_is_zero_is_nobody() {
        assert_eq!(
            clients().authenticate(Some(&basic("nobody:x")), |_| [0; 32]),
            None
        );
    }

    #[test]
    fn a_variable_that_is_not_understood_is_refused() {
        let good = written("x");
        for bad in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"a":"abc"}"#.to_owned(),
            format!(r#"{{"a":"{good}0"}}"#),
            format!(r#"{{"a":"{}g"}}"#, &good[..63]),
            format!(r#"{{"a":"{good}","a":"{good}"}}"#),
            format!(r#"{{"":"{good}"}}"#),
            format!(r#"{{"a:b":"{good}"}}"#),
            format!(r#"{{"a":{{"secret_sha256":"{good}"}}}}"#),
            format!(
                r#"{{"a":{{"secret_sha256":"{good}","resources":["https://other.example"]}}}}"#
            ),
            format!(r#"{{"a":{{"secret_sha256":"{good}","resources":[],"more":1}}}}"#),
        ] {
            let refused = Clients::parse(&bad, &["https://a.example".to_owned()]).unwrap_err();
            assert!(!refused.contains(&good[..16]), "{refused}");
        }
    }

    #[test]
    fn a_form_has_one_token() {
        assert_eq!(
            token(b"token=a.b-c&token_type_hint=access_token").unwrap(),
            "a.b-c"
        );
        assert_eq!(token(b"x=1&t%6fken=%41+b").unwrap(), "A b");
        for bad in [
            &b""[..],
            b"token=",
            b"token",
            b"token=a&token=a",
            b"token=a&x=1&x=2",
            b"token=%4",
            b"token=%+1",
            b"token=%ff",
            b"token=\xff",
            b"{\"token\":\"a\"}",
        ] {
            assert!(token(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_told_is_on_the_list() {
        let payload =
            r#"{"sub":"s","tier":"pro","agentidp":{"rpm":1},"act":{"sub":"b"},"aud":"a"}"#;
        assert_eq!(
            active(payload),
            json!({ "active": true, "token_type": "Bearer", "sub": "s", "aud": "a", "act": { "sub": "b" } })
        );
    }
}
