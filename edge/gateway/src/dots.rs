//! Paths with dot segments, however they are written. URL parsers on the way
//! resolve them each in its own way: escaped once or more than once, behind an
//! escaped slash or a backslash, before a parameter (`..;x`).

/// How many times an origin, and what stands before it, may decode a path.
pub const MOST_DECODINGS: usize = 4;

/// Whether somebody could find a dot segment in `path`, or a backslash stands in
/// it.
pub fn has_dots(path: &str) -> bool {
    if path.contains('\\') {
        return true;
    }
    let mut path = path.to_owned();
    for _ in 0..=MOST_DECODINGS {
        if path.split(['/', '\\']).any(is_dots) {
            return true;
        }
        let decoded = decode(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    // Nobody who means well escapes an escape so often.
    true
}

fn is_dots(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    name == "." || name == ".."
}

/// Decodes each escape of ASCII once.
pub fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.get(..2).map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) if byte.is_ascii() && !rest.starts_with('+') => {
                decoded.push(char::from(byte));
                rest = &rest[2..];
            }
            _ => decoded.push('%'),
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dot_segment_is_found_however_it_is_written() {
        for path in [
            "/..",
            "/./a",
            "/%2e%2e/admin",
            "/..%2fadmin",
            "/a%2F%2e%2e%5Cb",
            "/.%2e/b",
            "/a\\b",
            "/%252e%252e/a",
            "/%%32%65./a",
            "/a/..;x=1/b",
            "/a/%2e%2e%3bx/b",
            "/%2525252525252e./a",
        ] {
            assert!(has_dots(path), "{path}");
        }
        for path in [
            "/",
            "/a..b/..c",
            "/...",
            "/a.b",
            "/100%25",
            "/%zz",
            "//a",
            "/a;x=.",
        ] {
            assert!(!has_dots(path), "{path}");
        }
    }

    /// `path` with every sign escaped, `times` times over.
    fn escaped(path: &str, times: usize) -> String {
        (0..times).fold(path.to_owned(), |path, _| {
            path.bytes().map(|byte| format!("%{byte:02x}")).collect()
        })
    }

    proptest! {
        #[test]
        fn escaping_hides_no_dot_segment(
            before in "[a-z/]{0,4}", after in "[a-z]{0,4}", up in prop::bool::ANY, times in 0_usize..6
        ) {
            let dots = if up { ".." } else { "." };
            let path = format!("/{before}/{}/{after}", escaped(dots, times));
            prop_assert!(has_dots(&path), "{}", path);
            let path = format!("/{before}{}", escaped(&format!("/{dots}/{after}"), times));
            prop_assert!(has_dots(&path), "{}", path);
        }

        #[test]
        fn plain_names_are_never_dots(path in "(/[a-z0-9_-]{1,8}){1,5}") {
            prop_assert!(!has_dots(&path));
        }
    }
}
