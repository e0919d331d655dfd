//! The strict reader against plain serde_json: it takes exactly those texts of
//! plain JSON that are objects, hold no member twice, and keep to the bounds;
//! and it reads in them what plain serde_json reads.

#![no_main]

use std::fmt;

use agentidp_verify::strict_json::{self, DEEPEST, MOST_MEMBERS};
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let strict = strict_json::from_slice::<IgnoredAny>(data).is_ok();
    let plain = serde_json::from_slice::<Shape>(data);
    let tame = plain.is_ok_and(|shape| shape.object && shape.tame && shape.depth <= DEEPEST);
    assert_eq!(strict, tame);

    let read = strict_json::from_slice::<Value>(data).ok();
    assert_eq!(read.is_some(), strict);
    if let Some(value) = read {
        assert_eq!(value, serde_json::from_slice::<Value>(data).unwrap());
        let again = value.to_string();
        let again: Value = strict_json::from_slice(again.as_bytes()).unwrap();
        assert_eq!(again, value);
    }
});

/// What a text of JSON is like, told without the reader under test.
#[derive(Default)]
struct Shape {
    object: bool,
    depth: usize,
    /// No object has a member twice, or too many.
    tame: bool,
}

impl Shape {
    fn scalar() -> Self {
        Self {
            tame: true,
            ..Self::default()
        }
    }

    fn of(object: bool, tame: bool, inner: &[Self]) -> Self {
        Self {
            object,
            depth: 1 + inner.iter().map(|shape| shape.depth).max().unwrap_or(0),
            tame: tame && inner.iter().all(|shape| shape.tame),
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::scalar())
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::scalar())
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::scalar())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::scalar())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::scalar())
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::scalar())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut inner = Vec::new();
        while let Some(shape) = seq.next_element()? {
            inner.push(shape);
        }
        Ok(Shape::of(false, true, &inner))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut names: Vec<String> = Vec::new();
        let mut inner = Vec::new();
        while let Some((name, shape)) = map.next_entry()? {
            names.push(name);
            inner.push(shape);
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        Ok(Shape::of(true, names.len() == count && count <= MOST_MEMBERS, &inner))
    }
}
