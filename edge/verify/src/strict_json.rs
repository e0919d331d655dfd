//! JSON as a verifier must read it: one object, no member twice (RFC 7519 §4,
//! RFC 8725 §2.4), no deep nesting, no endless objects. Two parsers that disagree about
//! a duplicate are how a forged claim slips through.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// How deep a token's objects and arrays may nest.
pub const DEEPEST: usize = 16;
/// How many members one of a token's objects may have.
pub const MOST_MEMBERS: usize = 128;
/// Up to here an object's names are compared with each other; beyond it by hash.
const FEW: usize = 32;

/// What a text may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How deep objects and arrays may nest; less than serde_json's own 128.
    pub deepest: usize,
    /// How many members one object may have.
    pub most_members: usize,
}

/// What is enough for a token, a key set and the core's answers.
const OURS: Bounds = Bounds {
    deepest: DEEPEST,
    most_members: MOST_MEMBERS,
};

/// Names by which serde_json talks to itself. It would take an object of such a
/// member for the JSON text inside the member's string, which nobody has checked.
const RESERVED: &str = "$serde_json::private::";

/// Reads `T` from a JSON object in UTF-8, after the whole text has been found
/// free of duplicates and of excess. serde alone would take an array for a
/// struct.
///
/// # Errors
/// The parser's words; for a log or a test, not for the wire.
pub fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    let text = std::str::from_utf8(bytes).map_err(de::Error::custom)?;
    if !text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{')
    {
        return Err(de::Error::custom("not an object"));
    }
    check(text, OURS)?;
    serde_json::from_str(text)
}

/// Whether `text` is one JSON value, of whatever kind, without duplicates and
/// within `bounds`. What passes here is read alike by any parser that tells names
/// apart by their characters.
///
/// # Errors
/// The parser's words.
pub fn check(text: &str, bounds: Bounds) -> Result<(), serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(text);
    Value { depth: 0, bounds }.deserialize(&mut parser)?;
    parser.end()
}

/// Reads a member that must not be there: `null` is there too, for which an
/// `Option` alone would read nothing.
pub(crate) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy)]
struct Value {
    depth: usize,
    bounds: Bounds,
}

impl Value {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == self.bounds.deepest {
            return Err(E::custom("nested too deep"));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen: Vec<Cow<'de, str>> = Vec::with_capacity(16);
        let mut more: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if seen.contains(&name) || more.contains(&name) {
                return Err(de::Error::custom("a member stands twice"));
            }
            if name.starts_with(RESERVED) {
                return Err(de::Error::custom("a reserved member"));
            }
            if seen.len() + more.len() == self.bounds.most_members {
                return Err(de::Error::custom("too many members"));
            }
            if seen.len() < FEW {
                seen.push(name);
            } else {
                more.insert(name);
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// A member's name, borrowed unless it was written with escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(json: &str) -> bool {
        from_slice::<IgnoredAny>(json.as_bytes()).is_ok()
    }

    #[test]
    fn a_duplicate_is_refused_at_every_level_and_in_every_spelling() {
        assert!(reads(r#"{"a":1,"b":{"a":2}}"#));
        for duplicate in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"b":0,"a":2}]}"#,
        ] {
            assert!(!reads(duplicate), "{duplicate}");
        }
    }

    #[test]
    fn depth_and_members_are_bounded() {
        let nested = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n - 1), "]".repeat(n - 1));
        assert!(reads(&nested(DEEPEST)));
        assert!(!reads(&nested(DEEPEST + 1)));
        assert!(!reads(&nested(100_000)));

        let wide = |n: usize| {
            let members: Vec<String> = (0..n).map(|i| format!("\"m{i}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(reads(&wide(MOST_MEMBERS)));
        assert!(!reads(&wide(MOST_MEMBERS + 1)));
    }

    #[test]
    fn bounds_are_given_and_a_duplicate_is_found_among_many() {
        let bounds = Bounds {
            deepest: 2,
            most_members: 1_000,
        };
        let wide = |names: std::ops::Range<usize>, last: &str| {
            let members: Vec<String> = names.map(|i| format!("\"m{i}\":0")).collect();
            format!("[{{{},\"{last}\":1}}]", members.join(","))
        };
        assert!(check(&wide(0..999, "other"), bounds).is_ok());
        assert!(check(&wide(0..1_000, "other"), bounds).is_err());
        for again in ["m0", "m31", "m32", "m998"] {
            assert!(check(&wide(0..999, again), bounds).is_err(), "{again}");
        }
        assert!(check("[[[]]]", bounds).is_err());
        assert!(check("7", bounds).is_ok());
    }

    #[test]
    fn what_is_not_one_json_text_in_utf8_is_refused() {
        assert!(reads(" \r\n\t{} "));
        for text in [
            "",
            "{",
            "{}{}",
            "[]",
            "[{}]",
            "1",
            "{} x",
            "nul",
            "{\"a\":\"\u{1}\"}",
        ] {
            assert!(!reads(text), "{text:?}");
        }
        assert!(from_slice::<IgnoredAny>(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn json_inside_a_string_is_never_read_as_json() {
        let hidden = r#"{"\u0024serde_json::private::RawValue":"{\"a\":1,\"a\":2}"}"#;
        assert!(from_slice::<serde_json::Value>(hidden.as_bytes()).is_err());
    }
}
