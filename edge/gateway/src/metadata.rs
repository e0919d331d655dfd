//! What a resource says of itself (RFC 9728): its document, and the URL that
//! challenges send a client to.

use serde_json::{Value, json};

/// The well-known name, RFC 9728 §3.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where the document of one resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `https://` or `http://`, and the authority.
    origin: String,
    /// The identifier's path and query, without a path that is `/` alone.
    rest: String,
}

impl Place {
    /// Of the resource `identifier`. `None` for one that is no web address (a URN, say), or
    /// has characters in it that a header's quoted text could not hold: it has no
    /// document.
    pub fn of(identifier: &str) -> Option<Self> {
        let (scheme, rest) = identifier.split_once("://")?;
        let web = ["https", "http"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        let plain = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b);
        if !web || !identifier.bytes().all(plain) {
            return None;
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') {
            return None;
        }
        // §3.1: a slash that ends the authority goes.
        let rest = match rest.strip_prefix('/') {
            Some(after) if after.is_empty() || after.starts_with('?') => after,
            _ => rest,
        };
        Some(Self {
            origin: format!("{scheme}://{authority}"),
            rest: rest.to_owned(),
        })
    }

    /// The document's URL: the well-known name stands between authority and path.
    pub fn url(&self) -> String {
        format!("{}{WELL_KNOWN}{}", self.origin, self.rest)
    }

    /// The URL's path and query.
    pub fn target(&self) -> String {
        format!("{WELL_KNOWN}{}", self.rest)
    }

    /// The identifier's own path, `/` where there is none.
    pub fn path(&self) -> &str {
        let path = self.rest.split('?').next().unwrap_or_default();
        if path.is_empty() { "/" } else { path }
    }

    /// The host, with its port where there is one, in lower case.
    pub fn host(&self) -> String {
        let authority = self.origin.split_once("://").map_or("", |(_, rest)| rest);
        authority.to_ascii_lowercase()
    }

    /// Whether `path` is the identifier's own or lies below it, by whole segments.
    pub fn covers(&self, path: &str) -> bool {
        let own = self.path().trim_end_matches('/');
        path.strip_prefix(own)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Which of `places` a request for `target` (path and query) at `host` means. Resources
/// of several hosts may have one path: then the host tells.
pub fn at<'a, T>(places: &'a [(Place, T)], target: &str, host: &str) -> Option<&'a (Place, T)> {
    let mut same = places.iter().filter(|(place, _)| place.target() == target);
    let first = same.next()?;
    if same.next().is_none() {
        return Some(first);
    }
    let mut here = places
        .iter()
        .filter(|(place, _)| place.target() == target && place.host().eq_ignore_ascii_case(host));
    here.next()
}

/// Which of `places` a call of `path` at `host` belongs to: the one with the longest
/// path above it, and the host's own where several have that.
pub fn covering<'a, T>(places: &'a [(Place, T)], path: &str, host: &str) -> Option<&'a (Place, T)> {
    let covering = || places.iter().filter(|(place, _)| place.covers(path));
    let length = |place: &Place| place.path().trim_end_matches('/').len();
    let longest = covering().map(|(place, _)| length(place)).max()?;
    let mut nearest = covering().filter(|(place, _)| length(place) == longest);
    let first = nearest.next()?;
    if nearest.next().is_none() {
        return Some(first);
    }
    let mut here = covering()
        .filter(|(place, _)| length(place) == longest && place.host().eq_ignore_ascii_case(host));
    here.next()
}

/// The document, RFC 9728 §2. Members without elements are left out, §3.2.
pub fn document<'a>(
    identifier: &str,
    issuer: &str,
    scopes: impl IntoIterator<Item = &'a str>,
) -> Value {
    let mut scopes: Vec<&str> = scopes.into_iter().collect();
    scopes.sort_unstable();
    scopes.dedup();
    let mut document = json!({
        "resource": identifier,
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
    });
    if !scopes.is_empty() {
        document["scopes_supported"] = scopes.into();
    }
    document
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn url(identifier: &str) -> Option<String> {
        Place::of(identifier).map(|place| place.url())
    }

    #[test]
    fn the_well_known_name_stands_between_authority_and_path() {
        for (identifier, expected) in [
            (
                "https://api.example",
                "https://api.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://api.example/",
                "https://api.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://api.example/x",
                "https://api.example/.well-known/oauth-protected-resource/x",
            ),
            (
                "https://api.example/x/",
                "https://api.example/.well-known/oauth-protected-resource/x/",
            ),
            (
                "https://api.example:8443/a/b",
                "https://api.example:8443/.well-known/oauth-protected-resource/a/b",
            ),
            (
                "https://api.example?k=1",
                "https://api.example/.well-known/oauth-protected-resource?k=1",
            ),
            (
                "https://api.example/?k=1",
                "https://api.example/.well-known/oauth-protected-resource?k=1",
            ),
            (
                "https://api.example/x?k=1",
                "https://api.example/.well-known/oauth-protected-resource/x?k=1",
            ),
        ] {
            assert_eq!(url(identifier).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_web_address_or_does_not_fit_a_header_has_no_document() {
        for identifier in [
            "urn:example:api",
            "api",
            "ftp://api.example/x",
            "https://",
            "https:///x",
            "https://user@api.example/",
            "https://api.example/\"x",
            "https://api.example/\\x",
            "https://api.example/x y",
            "https://api.example/x\r\nX: y",
            "https://api.example/#x",
            "https://\u{e9}.example/",
        ] {
            assert_eq!(url(identifier), None, "{identifier}");
        }
    }

    fn places(identifiers: &[&str]) -> Vec<(Place, usize)> {
        let places = identifiers
            .iter()
            .map(|identifier| Place::of(identifier).unwrap());
        places.zip(0..).collect()
    }

    #[test]
    fn a_document_is_found_by_its_path_and_by_its_host_where_paths_are_the_same() {
        let places = places(&[
            "https://a.example/x",
            "https://b.example/x",
            "https://c.example",
            "https://a.example/x/y",
        ]);
        let at = |target: &str, host: &str| at(&places, target, host).map(|(_, which)| *which);
        assert_eq!(
            at("/.well-known/oauth-protected-resource/x", "A.example"),
            Some(0)
        );
        assert_eq!(
            at("/.well-known/oauth-protected-resource/x", "b.example"),
            Some(1)
        );
        assert_eq!(
            at("/.well-known/oauth-protected-resource/x", "d.example"),
            None
        );
        assert_eq!(at("/.well-known/oauth-protected-resource", "any"), Some(2));
        assert_eq!(
            at("/.well-known/oauth-protected-resource/x/y", "any"),
            Some(3)
        );
        for nothing in [
            "/.well-known/oauth-protected-resource/",
            "/.well-known/oauth-protected-resource/z",
        ] {
            assert_eq!(at(nothing, "a.example"), None, "{nothing}");
        }
    }

    #[test]
    fn a_call_belongs_to_the_longest_path_above_it_by_whole_segments() {
        let places = places(&[
            "https://a.example",
            "https://a.example/mcp/",
            "https://b.example/mcp",
        ]);
        let of = |path: &str, host: &str| covering(&places, path, host).map(|(_, which)| *which);
        assert_eq!(of("/", "a.example"), Some(0));
        assert_eq!(of("/mcpx", "a.example"), Some(0));
        assert_eq!(of("/mcp", "a.example"), Some(1));
        assert_eq!(of("/mcp/x", "b.example"), Some(2));
        assert_eq!(of("/mcp/x", "c.example"), None);
        assert_eq!(covering(&places[1..], "/other", "a.example"), None);
    }

    #[test]
    fn a_document_has_no_member_without_elements() {
        assert_eq!(
            document(
                "https://a.example/x",
                "https://idp.example",
                ["b", "a", "b"]
            ),
            json!({
                "resource": "https://a.example/x",
                "authorization_servers": ["https://idp.example"],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["a", "b"],
            })
        );
        assert!(
            document("https://a.example", "https://i", [])
                .get("scopes_supported")
                .is_none()
        );
    }
}
