//! Which request a gateway asks about. Each kind of gateway says it in its own way: by
//! headers that the operator sets (nginx), by `X-Forwarded-*` (Traefik, Caddy), or by
//! asking in the original's own words below a prefix (Envoy). A question that says it
//! twice, or by halves, is refused: the client's own headers may be among what the
//! gateway passes on, and nobody can tell which of two is the gateway's.

/// The request that is to be judged, as the gateway had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
}

/// Why a question cannot be answered, for whoever reads the gateway's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear(pub &'static str);

/// The headers by which a method and a URI are stated.
const STATED: [(&str, &str); 2] = [
    ("x-original-method", "x-original-uri"),
    ("x-forwarded-method", "x-forwarded-uri"),
];

/// What `question` asks about; `None` where it does not say. `below` is what follows
/// the prefix in the question's own target (path and query), and `header` finds the
/// value of a header by its name in lower case; several of one name come as one
/// value, joined by commas (Fetch Standard, "get").
///
/// # Errors
/// It says so twice, by halves, or in a way that is no request.
pub fn original(
    method: &str,
    below: &str,
    header: impl Fn(&str) -> Option<String>,
) -> Result<Option<Original>, Unclear> {
    let mut said = Vec::new();
    for (method, uri) in STATED {
        match (header(method), header(uri)) {
            (None, None) => {}
            (Some(method), Some(target)) => said.push(Original { method, target }),
            _ => {
                return Err(Unclear(
                    "The gateway must state both the method and the URI.",
                ));
            }
        }
    }
    if below.starts_with('/') {
        said.push(Original {
            method: method.to_owned(),
            target: below.to_owned(),
        });
    }
    match said.len() {
        0 => Ok(None),
        1 => checked(said.remove(0)).map(Some),
        _ => Err(Unclear("The original request is stated more than once.")),
    }
}

/// RFC 9110 §9.1 and RFC 9112 §3.2.1: a method, and a target in origin form. A list of
/// two, as a header that came twice is read, is neither.
fn checked(original: Original) -> Result<Original, Unclear> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let Original { method, target } = &original;
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Unclear("The stated method is none."));
    }
    // Some origins take it for the same in capitals; and these two no edge passes on.
    if method.bytes().any(|b| b.is_ascii_lowercase())
        || matches!(method.as_str(), "CONNECT" | "TRACE")
    {
        return Err(Unclear("The stated method is not one that can be judged."));
    }
    let in_a_target = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b);
    if !target.starts_with('/') || !target.bytes().all(in_a_target) {
        return Err(Unclear("The stated URI is none."));
    }
    Ok(original)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(below: &str, headers: &[(&str, &str)]) -> Result<Option<(String, String)>, Unclear> {
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        let original = original("PUT", below, header)?;
        Ok(original.map(|Original { method, target }| (method, target)))
    }

    fn request(method: &str, target: &str) -> Option<(String, String)> {
        Some((method.to_owned(), target.to_owned()))
    }

    const NGINX: [(&str, &str); 2] = [("x-original-method", "GET"), ("x-original-uri", "/a?b=c")];
    const TRAEFIK: [(&str, &str); 2] = [
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-uri", "/d/e"),
    ];

    #[test]
    fn each_kind_of_gateway_states_it_in_its_own_way() {
        assert_eq!(ask("", &NGINX), Ok(request("GET", "/a?b=c")));
        assert_eq!(ask("", &TRAEFIK), Ok(request("DELETE", "/d/e")));
        assert_eq!(ask("/f?g", &[]), Ok(request("PUT", "/f?g")));
        assert_eq!(ask("/", &[]), Ok(request("PUT", "/")));
        assert_eq!(ask("", &[]), Ok(None));
        assert_eq!(ask("?x=1", &[("x-forwarded-for", "1.2.3.4")]), Ok(None));
    }

    #[test]
    fn what_is_stated_twice_or_by_halves_is_refused() {
        let both = [NGINX, TRAEFIK].concat();
        assert!(ask("", &both).is_err());
        assert!(ask("/f", &NGINX).is_err());
        assert!(ask("/f", &TRAEFIK).is_err());
        for headers in [NGINX, TRAEFIK] {
            assert!(ask("", &headers[..1]).is_err());
            assert!(ask("", &headers[1..]).is_err());
        }
    }

    #[test]
    fn what_is_no_method_or_no_path_is_refused() {
        for (method, target) in [
            ("", "/a"),
            ("GET, POST", "/a"),
            ("GET POST", "/a"),
            ("delete", "/a"),
            ("Delete", "/a"),
            ("TRACE", "/a"),
            ("CONNECT", "/a"),
            ("GET", ""),
            ("GET", "a"),
            ("GET", "https://a.example/b"),
            ("GET", "/a, /b"),
            ("GET", "/a#b"),
            ("GET", "/a\\b"),
            ("GET", "/\u{e4}"),
            ("GET", "/a\tb"),
        ] {
            let stated = [("x-original-method", method), ("x-original-uri", target)];
            assert!(ask("", &stated).is_err(), "{method} {target}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn whatever_is_stated_is_one_request_or_none(
            below in "(|/[ -~]{0,8})",
            stated in prop::collection::vec(prop::option::of("[ -~]{0,8}"), 4),
        ) {
            let names = ["x-original-method", "x-original-uri", "x-forwarded-method", "x-forwarded-uri"];
            let header = |wanted: &str| {
                let at = names.iter().position(|name| *name == wanted)?;
                stated[at].clone()
            };
            let ways = usize::from(stated[0].is_some() || stated[1].is_some())
                + usize::from(stated[2].is_some() || stated[3].is_some())
                + usize::from(!below.is_empty());
            match original("GET", &below, header) {
                Ok(None) => prop_assert_eq!(ways, 0),
                Ok(Some(original)) => {
                    prop_assert_eq!(ways, 1);
                    prop_assert!(original.target.starts_with('/'));
                    prop_assert!(!original.target.contains([' ', '#', '\\']));
                    prop_assert!(!original.method.contains([' ', ',']));
                }
                Err(_) => {}
            }
        }
    }
}
