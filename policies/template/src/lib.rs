//! Who writes must have been reviewed, and writes with tokens of a few minutes.
//!
//! | setting | what | otherwise |
//! | --- | --- | --- |
//! | `seconds` | the longest life of a token that may write | `300` |

use agentidp_policy::{Decision, Policy, Request, allow_all, deny};

struct MyPolicy;

impl Policy for MyPolicy {
    fn decide(request: &Request) -> Decision {
        let writes = request.scopes.iter().any(|scope| scope.ends_with(":write"));
        if !writes {
            return Ok(allow_all(request));
        }
        if !request.has_capability("reviewed") {
            return deny("Writing needs the capability `reviewed`.");
        }
        let seconds = request.number("seconds", 300)?;
        Ok(allow_all(request).for_at_most(seconds))
    }
}

agentidp_policy::export!(MyPolicy);

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for `files:read` and `files:write`.
    fn asked() -> Request {
        Request::example()
    }

    #[test]
    fn nobody_needs_a_review_to_read() {
        let asked = Request {
            scopes: vec!["files:read".into()],
            ..asked()
        };
        assert_eq!(MyPolicy::decide(&asked), Ok(allow_all(&asked)));
    }

    #[test]
    fn who_has_not_been_reviewed_does_not_write() {
        let denial = MyPolicy::decide(&asked()).unwrap_err();
        assert_eq!(denial.reason(), "Writing needs the capability `reviewed`.");
    }

    #[test]
    fn who_has_been_writes_with_short_tokens() {
        let asked = asked().with_capabilities(["reviewed"]);
        let grant = MyPolicy::decide(&asked).unwrap();
        assert_eq!(grant.lifetime_seconds, Some(300));
        let grant = MyPolicy::decide(&asked.with_setting("seconds", "60")).unwrap();
        assert_eq!(grant.lifetime_seconds, Some(60));
    }
}
