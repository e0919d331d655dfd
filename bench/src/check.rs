//! What an answer must be, asked of every one while a load runs. An answer that
//! is anything else makes the run worthless, however fast it came: the load stops
//! and nothing is reported.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::Outcome;
use crate::http::Answer;
use crate::load::Check;

/// How much of a wrong answer is shown.
const SHOWN: usize = 400;

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u64,
    scope: &'a str,
}

/// RFC 6749 §5.2.
#[derive(Deserialize)]
struct Refusal<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// The claims that an answer of a verifier shows.
#[derive(Deserialize)]
struct Shown<'a> {
    jti: &'a str,
    client_id: &'a str,
}

/// What the echo origin says.
#[derive(Deserialize)]
struct Echo<'a> {
    path: &'a str,
    #[serde(borrow)]
    headers: HashMap<&'a str, std::borrow::Cow<'a, str>>,
}

/// Whom a token says that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) jti: String,
    pub(crate) client_id: String,
}

/// A token of `scope` that lives `lifetime_s` seconds; it is kept.
pub(crate) fn token(scope: &str, lifetime_s: u64) -> Arc<Check> {
    let scope = scope.to_owned();
    Arc::new(move |_, answer| {
        let said: TokenAnswer<'_> = body(answer)?;
        let right = said.token_type == "Bearer"
            && said.scope == scope
            && said.expires_in == lifetime_s
            && said.access_token.split('.').count() == 3;
        match right {
            true => Ok(Some(said.access_token.to_owned())),
            false => Err(wrong(answer)),
        }
    })
}

/// The refusal of a client whose policy does not decide.
pub(crate) fn undecided() -> Arc<Check> {
    Arc::new(|_, answer| {
        let said: Refusal<'_> = match (answer.status, answer.json) {
            (400, true) => serde_json::from_slice(&answer.body).map_err(|_| wrong(answer))?,
            _ => return Err(wrong(answer)),
        };
        match (said.error, said.error_description) {
            ("access_denied", "The policy could not decide.") => Ok(None),
            _ => Err(wrong(answer)),
        }
    })
}

/// The claims of the token that the request of that number carried.
pub(crate) fn claims(of: Vec<Identity>) -> Arc<Check> {
    Arc::new(move |request, answer| {
        let said: Shown<'_> = body(answer)?;
        let expected = &of[request];
        match said.jti == expected.jti && said.client_id == expected.client_id {
            true => Ok(None),
            false => Err(wrong(answer)),
        }
    })
}

/// The origin's answer, which saw that client in the headers of the edge.
pub(crate) fn forwarded(path: &str, of: Vec<Identity>) -> Arc<Check> {
    let path = path.to_owned();
    Arc::new(move |request, answer| {
        let said: Echo<'_> = body(answer)?;
        let seen = said.headers.get("x-agent-id");
        match said.path == path && seen.is_some_and(|seen| *seen == of[request].client_id) {
            true => Ok(None),
            false => Err(wrong(answer)),
        }
    })
}

/// What a Worker that does nothing says.
pub(crate) fn nothing() -> Arc<Check> {
    Arc::new(|_, answer| match (answer.status, &*answer.body) {
        (200, b"nothing") => Ok(None),
        _ => Err(wrong(answer)),
    })
}

fn body<'a, T: Deserialize<'a>>(answer: &'a Answer<'_>) -> Outcome<T> {
    if answer.status != 200 || !answer.json {
        return Err(wrong(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|_| wrong(answer))
}

/// The answer, cut, and without the token that may be in it.
fn wrong(answer: &Answer<'_>) -> Box<dyn std::error::Error + Send + Sync> {
    let text = String::from_utf8_lossy(&answer.body);
    let shown: String = text
        .split("eyJ")
        .next()
        .unwrap_or_default()
        .chars()
        .take(SHOWN)
        .collect();
    format!("an answer that should not be, {}: {shown}", answer.status).into()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer {
            status,
            json: true,
            body: Cow::Borrowed(body.as_bytes()),
        }
    }

    const RIGHT: &str =
        r#"{"access_token":"a.b.c","token_type":"Bearer","expires_in":3600,"scope":"files:read"}"#;

    #[test]
    fn a_token_is_kept() {
        let check = token("files:read", 3600);
        let kept = check(0, &answer(200, RIGHT)).unwrap();
        assert_eq!(kept.as_deref(), Some("a.b.c"));
    }

    #[test]
    fn a_429_is_refused_whatever_it_says() {
        let why = token("files:read", 3600)(0, &answer(429, RIGHT)).unwrap_err();
        assert!(why.to_string().contains("429"));
    }

    #[test]
    fn a_200_with_a_wrong_body_is_refused() {
        let check = token("files:read", 3600);
        for body in [
            "",
            "{}",
            r#"{"error":"server_error"}"#,
            &RIGHT.replace("Bearer", "DPoP"),
            &RIGHT.replace("3600", "60"),
            &RIGHT.replace("files:read", "files:write"),
            &RIGHT.replace("a.b.c", "opaque"),
        ] {
            assert!(check(0, &answer(200, body)).is_err(), "{body}");
        }
        let text = Answer {
            json: false,
            ..answer(200, RIGHT)
        };
        assert!(check(0, &text).is_err());
    }

    #[test]
    fn a_policy_that_does_not_decide_is_told_from_one_that_does() {
        let refused = |why: &str| {
            format!(r#"{{"error":"access_denied","error_description":"{why}","code":"X"}}"#)
        };
        let body = refused("The policy could not decide.");
        assert!(undecided()(0, &answer(400, &body)).is_ok());
        assert!(undecided()(0, &answer(503, &body)).is_err());
        assert!(undecided()(0, &answer(400, &refused("No."))).is_err());
        assert!(undecided()(0, &answer(200, RIGHT)).is_err());
    }

    #[test]
    fn another_callers_claims_are_refused() {
        let of = |client: &str| Identity {
            jti: "1".into(),
            client_id: client.into(),
        };
        let check = claims(vec![of("a"), of("b")]);
        let body = r#"{"jti":"1","client_id":"b","iss":"x"}"#;
        assert!(check(0, &answer(200, body)).is_err());
        assert!(check(1, &answer(200, body)).is_ok());
        let body = r#"{"path":"/x","headers":{"x-agent-id":"b"}}"#;
        let check = forwarded("/x", vec![of("a"), of("b")]);
        assert!(check(0, &answer(200, body)).is_err());
        assert!(check(1, &answer(200, body)).is_ok());
    }

    #[test]
    fn no_token_is_shown() {
        let why = nothing()(0, &answer(401, r#"{"access_token":"eyJhbGciOi.x.y"}"#)).unwrap_err();
        assert!(!why.to_string().contains("hbGci"));
    }
}
