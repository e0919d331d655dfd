//! Paths with dot segments, however they are written. URL parsers on the way
//! resolve them each in its own way: escaped once or more than once, behind an
//! escaped slash or a backslash, before a parameter (`..;x`).

/// How many times an origin, and what stands before it, may decode a path.
const MOST_DECODINGS: usize = 4;

/// Whether somebody could find a dot segment in `path`, or a backslash stands in
/// it.
pub(crate) fn has_dots(path: &str) -> bool {
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
fn decode(path: &str) -> String {
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
