//! Scopes: literal words `noun:read` or `noun:write`, and the management scopes,
//! which no resource may define.

/// What administrators may hold and grant.
pub const MANAGEMENT: &[&str] = &[
    "agents:read",
    "agents:write",
    "audit:read",
    "credentials:read",
    "credentials:write",
    "policies:read",
    "policies:write",
    "resources:read",
    "resources:write",
    "tenants:read",
    "tokens:introspect",
];

/// What makes an operator.
pub const OPERATOR: &str = "tenants:write";

/// What operators alone hold, beside [`MANAGEMENT`].
pub const OPERATORS: &[&str] = &["edges:read", "edges:write", OPERATOR];

/// The nouns of this service, now and to come.
const RESERVED_NOUNS: &[&str] = &[
    "agents",
    "analytics",
    "audit",
    "compliance",
    "credentials",
    "delegations",
    "edges",
    "federation",
    "keys",
    "policies",
    "resources",
    "tenants",
    "tokens",
    "webhooks",
];

/// The longest scope, in bytes.
const LONGEST: usize = 64;

/// Whether `scope` is one of this service's own.
pub fn is_management(scope: &str) -> bool {
    OPERATORS.contains(&scope) || MANAGEMENT.contains(&scope)
}

/// Whether whoever holds `scopes` administers its tenant. A tenant's policy does not
/// judge it: it could lock everybody out who can change it.
pub fn administers(scopes: &[String]) -> bool {
    let changes = |scope: &String| is_management(scope) && scope.ends_with(":write");
    scopes.iter().any(changes)
}

/// Whether a resource may define `scope`.
///
/// # Errors
/// Why not.
pub fn for_resource(scope: &str) -> Result<(), &'static str> {
    let form = "must be noun:read or noun:write, the noun of a-z, 0-9, - and _";
    let (noun, verb) = scope.split_once(':').ok_or(form)?;
    let letters = noun
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    let starts = noun.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if scope.len() > LONGEST || !letters || !starts || !matches!(verb, "read" | "write") {
        return Err(form);
    }
    if RESERVED_NOUNS.contains(&noun) {
        return Err("is reserved for the identity provider itself");
    }
    Ok(())
}

/// The words of a `scope` parameter, RFC 6749 §3.3, each once and in order.
///
/// # Errors
/// A character that no scope may hold, or a space too many.
pub fn words(parameter: &str) -> Result<Vec<String>, ()> {
    let mut words: Vec<String> = Vec::new();
    for word in parameter.split(' ') {
        let printable = word
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if word.is_empty() || !printable {
            return Err(());
        }
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_resource_defines_literal_scopes_that_are_not_ours() {
        for good in ["files:read", "a:write", "mcp-tools_2:read"] {
            assert_eq!(for_resource(good), Ok(()), "{good}");
        }
        for bad in [
            "files",
            "files:*",
            "files:delete",
            ":read",
            "Files:read",
            "2:read",
            "a b:read",
            "é:read",
        ] {
            assert!(for_resource(bad).is_err(), "{bad}");
        }
        for own in MANAGEMENT.iter().chain(OPERATORS) {
            assert!(for_resource(own).is_err(), "{own}");
        }
    }

    #[test]
    fn a_scope_parameter_is_read_as_the_rfc_says() {
        assert_eq!(words("a b a").unwrap(), ["a", "b"]);
        for bad in ["", " ", "a  b", " a", "a\"", "a\\", "a\tb", "é"] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
    }

    /// What RFC 6749 §3.3 calls a scope-token.
    const WORD: &str = "[!#-\\[\\]-~]{1,8}";

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(256)
        })]

        #[test]
        fn the_words_of_a_parameter_are_those_that_were_joined_each_once(
            given in prop::collection::vec(WORD, 1..12),
        ) {
            let read = words(&given.join(" ")).unwrap();
            let mut once = given.clone();
            let mut seen = std::collections::HashSet::new();
            once.retain(|word| seen.insert(word.clone()));
            prop_assert_eq!(&read, &once);
            prop_assert_eq!(words(&read.join(" ")), Ok(read));
        }

        #[test]
        fn a_parameter_with_any_other_character_or_space_is_refused(
            given in prop::collection::vec(WORD, 1..4),
            at in any::<prop::sample::Index>(),
            other in "[^!#-\\[\\]-~]",
        ) {
            let mut text = given.join(" ");
            let at = at.index(text.len() + 1);
            // A space amid a word parts it: that alone is no fault.
            let amid = |at: usize| text.as_bytes().get(at).is_some_and(|b| *b != b' ');
            prop_assume!(other != " " || at == 0 || !amid(at - 1) || !amid(at));
            text.insert_str(at, &other);
            prop_assert!(words(&text).is_err());
        }

        #[test]
        fn what_a_resource_may_define_is_one_word_and_never_ours(
            scope in "[a-z:*_ A-Z-]{0,6}(read|write|admin)",
        ) {
            if for_resource(&scope).is_ok() {
                prop_assert_eq!(words(&scope), Ok(vec![scope.clone()]));
                prop_assert!(!is_management(&scope) && scope.len() <= LONGEST);
            }
        }
    }
}
