//! The strict reader of JSON, on texts that are JSON.

use agentidp_verify::strict_json::{DEEPEST, from_slice};
use proptest::prelude::*;
use serde_json::Value;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(any::<String>(), inner, 0..6)
        .prop_map(|members| Value::from(serde_json::Map::from_iter(members)))
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn an_object_is_read_as_it_was_written(value in object(json()), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        prop_assert_eq!(from_slice::<Value>(text.as_bytes()).unwrap(), value);
    }

    #[test]
    fn a_member_is_refused_a_second_time_wherever_and_however_it_is_spelt(
        value in object(json()),
        depth in 0..DEEPEST - 8,
        unit in any::<u16>(),
    ) {
        let mut text = value.to_string();
        text.pop();
        let comma = if text.len() > 1 { "," } else { "" };
        // Any one character of the basic plane, as itself and as an escape.
        let name = char::from_u32(unit.into()).unwrap_or('a');
        let plain = serde_json::to_string(&name).unwrap();
        let escaped = format!("\"\\u{:04X}\"", u32::from(name));
        let once = format!("{text}{comma}{plain}:0}}");
        let twice = format!("{text}{comma}{plain}:0,{escaped}:0}}");
        let (open, close) = ("{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2));
        let nested = |inner: &str| format!("{open}{inner}{close}");
        prop_assume!(value.get(name.to_string()).is_none());
        prop_assert!(from_slice::<Value>(nested(&once).as_bytes()).is_ok());
        prop_assert!(from_slice::<Value>(nested(&twice).as_bytes()).is_err());
    }

    #[test]
    fn a_text_that_was_cut_short_or_goes_on_is_refused(
        value in object(json()),
        at in any::<prop::sample::Index>(),
        more in "[^ \t\r\n]",
    ) {
        let text = value.to_string();
        prop_assert!(from_slice::<Value>(&text.as_bytes()[..at.index(text.len())]).is_err());
        prop_assert!(from_slice::<Value>((text + &more).as_bytes()).is_err());
    }
}
