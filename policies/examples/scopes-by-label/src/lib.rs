//! The agent's capabilities are its labels, and each scope needs one.
//!
//! The settings are the mapping: a scope, and the labels of which one will do.
//!
//! | setting | value | who gets the scope |
//! | --- | --- | --- |
//! | `files:read` | `reader, writer` | agents with the label `reader` or `writer` |
//! | `files:write` | `writer` | agents with the label `writer` |
//! | `mail:send` | `*` | everybody |
//! | `*` | `trusted` | of the scopes that are not named: agents with the label `trusted` |
//!
//! A scope that neither is named nor has a `*` nobody gets.

use agentidp_policy::{Decision, Policy, Request, allow_all, deny};

struct ScopesByLabel;

impl Policy for ScopesByLabel {
    fn decide(request: &Request) -> Decision {
        let grant = allow_all(request).only_where(|scope| is_granted(request, scope));
        // The host would deny this too, but not say why.
        if grant.scopes.is_empty() && !request.scopes.is_empty() {
            return deny("The agent has no label that one of these scopes needs.");
        }
        Ok(grant)
    }
}

agentidp_policy::export!(ScopesByLabel);

fn is_granted(request: &Request, scope: &str) -> bool {
    let key = request.setting(scope).map_or("*", |_| scope);
    let mut labels = request.words(key, "");
    labels.any(|label| label == "*" || request.has_capability(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Request {
        Request::example()
            .with_setting("files:read", "reader, writer")
            .with_setting("files:write", "writer")
    }

    fn granted(request: Request) -> Vec<String> {
        ScopesByLabel::decide(&request).map_or_else(|_| Vec::new(), |grant| grant.scopes)
    }

    #[test]
    fn a_scope_needs_one_of_its_labels() {
        let of = |labels| granted(asked().with_capabilities(labels));
        assert_eq!(of(["reader"]), ["files:read"]);
        assert_eq!(of(["writer"]), ["files:read", "files:write"]);
        assert!(of(["Writer"]).is_empty() && of(["*"]).is_empty());
    }

    #[test]
    fn a_scope_that_is_not_named_needs_the_label_of_the_star() {
        let asked = || Request {
            scopes: vec!["mail:send".into()],
            ..asked()
        };
        assert!(granted(asked().with_capabilities(["writer"])).is_empty());
        let with_star = || asked().with_setting("*", "trusted");
        assert!(granted(with_star().with_capabilities(["writer"])).is_empty());
        assert_eq!(
            granted(with_star().with_capabilities(["trusted"])),
            ["mail:send"]
        );
        assert_eq!(
            granted(asked().with_setting("mail:send", "*")),
            ["mail:send"]
        );
    }

    #[test]
    fn the_star_adds_nothing_to_a_scope_that_is_named() {
        let asked = asked().with_setting("*", "trusted");
        assert!(granted(asked.with_capabilities(["trusted"])).is_empty());
    }
}
