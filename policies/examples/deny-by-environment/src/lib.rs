//! Agents of some environments may not write, or get no tokens at all.
//!
//! | setting | what | otherwise |
//! | --- | --- | --- |
//! | `denied` | which environments | `development,staging` |
//! | `what` | `writing`: the scopes that end in `:write`; `everything` | `writing` |

use agentidp_policy::{Decision, Policy, Request, allow_all, deny};

struct DenyByEnvironment;

impl Policy for DenyByEnvironment {
    fn decide(request: &Request) -> Decision {
        let mut denied = request.words("denied", "development,staging");
        if !denied.any(|environment| environment == request.deployment_env) {
            return Ok(allow_all(request));
        }
        match request.setting("what") {
            None | Some("writing") => {}
            Some("everything") => return deny("Agents of this environment get no tokens."),
            Some(_) => {
                let what = "is neither `writing` nor `everything`";
                return Err(Request::bad_setting("what", what));
            }
        }
        let rest = allow_all(request).only_where(|scope| !scope.ends_with(":write"));
        // The host would deny this too, but not say why.
        if rest.scopes.is_empty() {
            return deny("Agents of this environment may not write.");
        }
        Ok(rest)
    }
}

agentidp_policy::export!(DenyByEnvironment);

#[cfg(test)]
mod tests {
    use super::*;

    fn from(environment: &str) -> Request {
        Request {
            deployment_env: environment.into(),
            ..Request::example()
        }
    }

    #[test]
    fn production_gets_what_it_asks_for() {
        let asked = from("production");
        assert_eq!(DenyByEnvironment::decide(&asked), Ok(allow_all(&asked)));
    }

    #[test]
    fn the_others_may_read() {
        for environment in ["development", "staging"] {
            let grant = DenyByEnvironment::decide(&from(environment)).unwrap();
            assert_eq!(grant.scopes, ["files:read"]);
        }
    }

    #[test]
    fn who_asks_for_nothing_but_writing_is_told_why_not() {
        let asked = Request {
            scopes: vec!["files:write".into()],
            ..from("staging")
        };
        let denial = DenyByEnvironment::decide(&asked).unwrap_err();
        assert_eq!(denial.reason(), "Agents of this environment may not write.");
    }

    #[test]
    fn the_settings_say_which_and_what() {
        let asked = |environment| {
            from(environment)
                .with_setting("denied", "production")
                .with_setting("what", "everything")
        };
        assert!(DenyByEnvironment::decide(&asked("production")).is_err());
        assert!(DenyByEnvironment::decide(&asked("staging")).is_ok());
        let bad = from("staging").with_setting("what", "reading");
        assert!(DenyByEnvironment::decide(&bad).is_err());
    }
}
