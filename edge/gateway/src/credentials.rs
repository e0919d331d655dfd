//! How a request may bring its token: once, and in a header.

use agentidp_verify::Rejected;

use crate::dots::decode;

/// The parameter of RFC 6750 §2.3, which OAuth 2.1 takes out: logs and histories
/// keep what is in a URL.
const PARAMETER: &str = "access_token";

/// Refuses more than one `Authorization` with a token in it, and a token in the
/// query. `authorization` is all of that header's values, joined by commas.
///
/// # Errors
/// [`Rejected::RepeatedToken`], [`Rejected::TokenInQuery`].
pub fn check(authorization: Option<&str>, query: Option<&str>) -> Result<(), Rejected> {
    if authorization.is_some_and(|value| value.contains(',') && are_several(value)) {
        return Err(Rejected::RepeatedToken);
    }
    if query.is_some_and(holds_token) {
        return Err(Rejected::TokenInQuery);
    }
    Ok(())
}

/// RFC 9110 §5.2: lines of one name are one value with commas, which no bearer
/// token has.
fn are_several(authorization: &str) -> bool {
    let is_bearer = |part: &str| {
        let scheme = part.trim().split([' ', '\t']).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("bearer")
    };
    authorization.split(',').any(is_bearer)
}

/// Whether `query` has a parameter by the name of a token's, in any spelling.
pub fn holds_token(query: &str) -> bool {
    let is_token = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        is_parameter(name) || is_parameter(&decode(name))
    };
    query.split(['&', ';']).any(is_token)
}

/// Some take other signs for the underscore, and what is before `[` or NUL for the name.
fn is_parameter(name: &str) -> bool {
    let name = name.split('\0').next().unwrap_or_default();
    let name = name.trim_matches(['+', ' ']);
    let named = |name: &str| name.replace(['.', ' ', '+', '['], "_");
    let before = name.split('[').next().unwrap_or_default();
    [name, before]
        .iter()
        .any(|name| named(name).eq_ignore_ascii_case(PARAMETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_the_query_is_found_in_any_spelling() {
        for query in [
            "access_token=x",
            "a=b&access_token=x",
            "a=b;ACCESS_TOKEN=x",
            "access%5Ftoken=x",
            "%61ccess_token",
            "access_token",
            "+access_token=x",
            "access.token=x",
            "access%20token=x",
            "access[token=x",
            "access_token[]=x",
            "access_token%00=x",
        ] {
            assert_eq!(
                check(None, Some(query)),
                Err(Rejected::TokenInQuery),
                "{query}"
            );
        }
        for query in [
            "",
            "a=access_token",
            "access_token_hint=x",
            "my_access_token=x",
        ] {
            assert_eq!(check(None, Some(query)), Ok(()), "{query}");
        }
    }

    #[test]
    fn more_than_one_authorization_with_a_token_is_refused() {
        for several in [
            "Bearer a, Bearer b",
            "Bearer a,",
            "Basic x, bearer b",
            "bearer a,Basic x",
        ] {
            assert_eq!(
                check(Some(several), None),
                Err(Rejected::RepeatedToken),
                "{several}"
            );
        }
        for one in [
            "Bearer a",
            "Basic x, Basic y",
            r#"Digest username="a", realm="Bearer x""#,
        ] {
            assert_eq!(check(Some(one), None), Ok(()), "{one}");
        }
    }
}
