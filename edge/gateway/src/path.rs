//! The path of a request in its canonical form, and every other way in which an
//! origin could read it. Rights are decided where all of them agree.

use std::borrow::Cow;

use crate::dots::{MOST_DECODINGS, decode, has_dots};

/// A path that can be passed on: no dot segments, no backslashes, no control
/// signs, whoever decodes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'a> {
    canonical: Cow<'a, str>,
    /// Whether there is but one way to read it.
    plain: bool,
}

impl<'a> Path<'a> {
    /// Reads the path of a URL, which begins with a slash; `None` where two readers
    /// could find two places by it. Escapes of signs that need none are undone (RFC
    /// 3986 §6.2.2.2), unless a `%` stands there that begins no escape.
    pub fn read(path: &'a str) -> Option<Self> {
        if is_plain(path) {
            return Some(Self {
                canonical: Cow::Borrowed(path),
                plain: true,
            });
        }
        if !path.starts_with('/') || path.contains(['?', '#']) || has_dots(path) {
            return None;
        }
        let canonical = normal(path);
        let read = Self {
            plain: is_plain(&canonical),
            canonical,
        };
        let controls = |reading: &str| reading.contains(|c: char| c.is_ascii_control());
        (!read.readings().iter().any(|reading| controls(reading))).then_some(read)
    }

    /// The canonical form: what rights are decided by, and what is passed on.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// Whether [`Self::readings`] has nothing but the canonical form.
    pub const fn is_plain(&self) -> bool {
        self.plain
    }

    /// What an origin, or what stands before it, could take the path for: decoded
    /// once or more often, with or without parameters (`;x`), with a backslash for a
    /// slash, with several slashes taken for one, and as far as what then begins a query
    /// or a fragment. The canonical form is the first.
    pub fn readings(&self) -> Vec<String> {
        let mut readings = vec![self.canonical.clone().into_owned()];
        if self.plain {
            return readings;
        }
        let mut decoded = readings[0].clone();
        for _ in 0..=MOST_DECODINGS {
            let whole = decoded.replace('\\', "/");
            let cut = whole.split(['?', '#']).next().unwrap_or_default();
            let bare = [without_parameters(&whole), without_parameters(cut)];
            let slashed =
                [&whole, cut, &bare[0], &bare[1]].map(|path| [merged(path), path.to_owned()]);
            decoded = decode(&decoded);
            for reading in slashed.into_iter().flatten().chain([decoded.clone()]) {
                if !readings.contains(&reading) {
                    readings.push(reading);
                }
            }
        }
        readings
    }
}

/// Whether nobody can read `path` in a second way: what nearly all are.
fn is_plain(path: &str) -> bool {
    let mut before = None;
    for byte in path.bytes() {
        let plain = match byte {
            b'/' => before != Some(b'/'),
            b'.' => before != Some(b'/'),
            b'%' | b';' | b'\\' | b'?' | b'#' => false,
            _ => byte.is_ascii_graphic(),
        };
        if !plain || (before.is_none() && byte != b'/') {
            return false;
        }
        before = Some(byte);
    }
    before.is_some()
}

/// Undoes escapes of unreserved signs, RFC 3986 §2.3.
fn normal(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        normal.push_str(&rest[..at]);
        let Some(byte) = escaped(&rest[at..]) else {
            // Undoing the others could make an escape of this.
            return Cow::Borrowed(path);
        };
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            normal.push(char::from(byte));
        } else {
            normal.push_str(&rest[at..at + 3]);
        }
        rest = &rest[at + 3..];
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// What the escape that `text` begins with stands for.
fn escaped(text: &str) -> Option<u8> {
    let digits = text.get(1..3)?;
    let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

fn without_parameters(path: &str) -> String {
    let segments = path.split('/');
    let bare: Vec<&str> = segments
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    bare.join("/")
}

fn merged(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for sign in path.chars() {
        if sign != '/' || !merged.ends_with('/') {
            merged.push(sign);
        }
    }
    merged
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(path: &str) -> Option<String> {
        Path::read(path).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn escapes_that_nobody_needs_are_undone_and_others_stay() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b.c", "/a/b.c"),
            ("/%61%2Db", "/a-b"),
            ("/a%2fb", "/a%2fb"),
            ("/a%252fb", "/a%252fb"),
            ("/%2541", "/%2541"),
            ("/%zz%41", "/%zz%41"),
            ("/%%34%31", "/%%34%31"),
            ("/%c3%bc", "/%c3%bc"),
            ("//a//b", "//a//b"),
        ] {
            assert_eq!(canonical(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_leads_to_two_places_or_holds_a_control_sign_is_not_read() {
        for path in [
            "",
            "a",
            "/..",
            "/%2e%2e/a",
            "/a\\b",
            "/a%5cb/..%2f",
            "/a%00",
            "/a%0d%0ab",
            "/a%250a",
            "/a?b",
            "/a#b",
        ] {
            assert_eq!(canonical(path), None, "{path}");
        }
    }

    #[test]
    fn every_reading_is_thought_of() {
        let readings = Path::read("//a%2fb;x/%2563").unwrap().readings();
        for reading in ["//a%2fb;x/%2563", "/a/b/c", "//a/b;x/c", "/a/b;x/%63"] {
            assert!(
                readings.iter().any(|known| known == reading),
                "{readings:?}"
            );
        }
        assert_eq!(Path::read("/a/b").unwrap().readings(), ["/a/b"]);
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(path in "/[a-z%0-9A-F/;.]{0,24}") {
            if let Some(path) = canonical(&path) {
                prop_assert_eq!(canonical(&path), Some(path.clone()));
                prop_assert_eq!(decode(&decode(&path)).contains("/../"), false);
            }
        }

        #[test]
        fn whatever_comes_is_read_or_refused_without_a_panic(path in "\\PC{0,40}") {
            if let Some(read) = Path::read(&path) {
                prop_assert!(read.as_str().starts_with('/'));
                prop_assert!(!read.readings().is_empty());
            }
        }

        #[test]
        fn an_escaped_letter_reads_as_the_letter(name in "[a-z]{1,8}", at in 0_usize..8) {
            let at = at % name.len();
            let escaped: String = name.bytes().enumerate()
                .map(|(i, b)| if i == at { format!("%{b:02X}") } else { char::from(b).to_string() })
                .collect();
            prop_assert_eq!(canonical(&format!("/{escaped}/x")), Some(format!("/{name}/x")));
        }
    }
}
