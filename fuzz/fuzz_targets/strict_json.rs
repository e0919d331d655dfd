//! The strict reader against plain serde_json: it takes exactly those texts of
//! plain JSON that are objects, hold no member twice, and keep to the bounds;
//! and it reads in them what plain serde_json reads.

#![no_main]

use agentidp_fuzz::shape::{is_rounded, is_strict};
use agentidp_verify::strict_json;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let strict = strict_json::from_slice::<IgnoredAny>(data).is_ok();
    assert_eq!(strict, is_strict(data));

    let read = strict_json::from_slice::<Value>(data).ok();
    assert_eq!(read.is_some(), strict);
    if let Some(value) = read {
        assert_eq!(value, serde_json::from_slice::<Value>(data).unwrap());
        let again = value.to_string();
        let again: Value = strict_json::from_slice(again.as_bytes()).unwrap();
        assert!(is_rounded(data) || again == value);
    }
});
