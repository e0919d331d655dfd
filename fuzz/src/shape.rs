//! What a text of JSON is like, as plain serde_json reads it: the strict reader
//! is held to this.

use std::fmt;

use agentidp_verify::strict_json::{DEEPEST, MOST_MEMBERS};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Whether the strict reader should take `text`.
pub fn is_strict(text: &[u8]) -> bool {
    serde_json::from_slice::<Shape>(text)
        .is_ok_and(|shape| shape.object && shape.tame && shape.depth <= DEEPEST)
}

/// Whether a number in `text` has a fraction or an exponent, or is too big for an
/// integer: serde_json reads such a one to within a last place, so that it need
/// not be what was written.
pub fn is_rounded(text: &[u8]) -> bool {
    serde_json::from_slice::<Shape>(text).is_ok_and(|shape| shape.rounded)
}

#[derive(Default)]
struct Shape {
    object: bool,
    depth: usize,
    /// No object has a member twice, too many, or one of serde_json's own.
    tame: bool,
    rounded: bool,
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
            rounded: inner.iter().any(|shape| shape.rounded),
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
        Ok(Shape {
            rounded: true,
            ..Shape::scalar()
        })
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
        let own = |name: &String| name.starts_with("$serde_json::private::");
        let tame = names.len() == count && count <= MOST_MEMBERS && !names.iter().any(own);
        Ok(Shape::of(true, tame, &inner))
    }
}
