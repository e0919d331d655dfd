//! Forms against the reader that browsers' standard describes, which is lenient:
//! what ours takes, both read alike, and what ours refuses has the fault that it
//! is refused for.

#![no_main]

use std::borrow::Cow;

use agentidp_fuzz::form::{Form, FormError, MOST_PARAMETERS};
use libfuzzer_sys::fuzz_target;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

fuzz_target!(|data: &[u8]| {
    let lenient: Vec<Pair<'_>> = form_urlencoded::parse(data).collect();
    match Form::parse(data) {
        Ok(form) => {
            assert!(lenient.len() <= MOST_PARAMETERS);
            assert!(!has_doubled(&lenient));
            check(&form, &lenient);
            let mut again = form_urlencoded::Serializer::new(String::new());
            let again = again.extend_pairs(&lenient).finish();
            check(&Form::parse(again.as_bytes()).unwrap(), &lenient);
        }
        Err(FormError::Doubled) => assert!(has_doubled(&lenient)),
        Err(FormError::TooMany) => assert!(lenient.len() > MOST_PARAMETERS),
        Err(FormError::Escape) => assert!(data.contains(&b'%')),
        Err(FormError::NotUtf8) => {
            let lost = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
            assert!(
                lenient
                    .iter()
                    .any(|(name, value)| lost(name) || lost(value))
            );
        }
        Err(FormError::Missing(name)) => panic!("nobody asked for {name}"),
    }
});

fn check(form: &Form, pairs: &[Pair<'_>]) {
    for (name, _) in pairs {
        let full = pairs
            .iter()
            .filter(|(n, value)| n == name && !value.is_empty());
        let full: Vec<&str> = full.map(|(_, value)| &**value).collect();
        assert_eq!(form.value(name), full.first().copied());
        assert_eq!(form.required(name).ok(), full.first().copied());
        assert_eq!(form.values(name).collect::<Vec<_>>(), full);
    }
    let absent = pairs.iter().map(|(name, _)| &**name).collect::<String>() + "x";
    assert_eq!(form.value(&absent), None);
}

/// Whether a name that may stand once stands twice.
fn has_doubled(pairs: &[Pair<'_>]) -> bool {
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
    names.retain(|name| *name != "resource");
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() < count
}
