//! The routes of an edge, as the variable `ROUTES` has them: which origin a path
//! belongs to, and what a call of it needs. Read strictly: what is not understood
//! is refused at the start, not skipped.

use std::collections::BTreeMap;

use agentidp_verify::strict_json::{self, Bounds};
use serde::Deserialize;

use crate::dots::has_dots;
use crate::mcp;
use crate::path::Path;

/// The name that stands for every method that is not named.
const ANY: &str = "*";
/// How old the revocations may be while the core is away, in seconds, at most.
const MOST_AWAY_S: u64 = 3_600;

const BOUNDS: Bounds = Bounds {
    deepest: 8,
    most_members: 1_024,
};

/// What a route has where it says nothing itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Defaults<'a> {
    /// `ORIGIN_URL`.
    pub origin: Option<&'a str>,
    /// `REQUIRED_SCOPES`, which every route needs in addition to its own.
    pub required_scopes: &'a [String],
    /// The identifiers of `RESOURCES`.
    pub resources: &'a [String],
}

/// Every route, the longest path first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes(Vec<Route>);

/// What is under one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `/`, or `/a/b`: whole segments.
    pub path: String,
    /// A URL without a slash at its end; without one nothing is forwarded.
    pub origin: Option<String>,
    /// The only `aud` that is taken.
    pub resource: Option<String>,
    /// Rules for the messages of MCP.
    pub mcp: Option<mcp::Rules>,
    /// Whether the origin gets the caller's `Authorization`.
    pub keeps_authorization: bool,
    /// What happens where the core cannot be reached.
    pub away: Away,
    scopes: Scopes,
}

/// What happens to a call when the core cannot be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Away {
    /// 503 as soon as the revocations are too old.
    #[default]
    Refuse,
    /// They may be so old, in milliseconds. Nothing else is waived.
    AdmitUpTo(u64),
}

/// Scopes by method.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scopes {
    named: Vec<(String, Vec<String>)>,
    others: Option<Vec<String>>,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// To one route, however it is read.
    Route(&'a Route),
    /// To none.
    Nowhere,
    /// To one or to another: it depends on who reads it.
    Doubtful,
}

/// A method that a route does not have; the value of `Allow` (RFC 9110 §10.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAllowed(pub String);

impl Routes {
    /// Reads the variable `ROUTES`.
    ///
    /// # Errors
    /// What is wrong, for the Worker's log.
    pub fn parse(text: &str, defaults: Defaults<'_>) -> Result<Self, String> {
        let written: Vec<Written> = strict_json::check(text, BOUNDS)
            .and_then(|()| serde_json::from_str(text))
            .map_err(|error| format!("ROUTES: {error}"))?;
        if written.is_empty() {
            return Err("ROUTES has no route".to_owned());
        }
        let mut routes = Vec::with_capacity(written.len());
        for route in written {
            let path = route.path.clone();
            let route = route
                .read(defaults)
                .map_err(|why| format!("ROUTES: {path}: {why}"))?;
            if routes.iter().any(|known: &Route| known.path == route.path) {
                return Err(format!("ROUTES: {path} stands twice"));
            }
            routes.push(route);
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        Ok(Self(routes))
    }

    /// The one route of an edge without the variable: everything is under it.
    ///
    /// # Errors
    /// The origin is no URL, or a scope is none.
    pub fn everything(defaults: Defaults<'_>) -> Result<Self, String> {
        let route = Written {
            path: "/".to_owned(),
            ..Written::default()
        };
        Ok(Self(vec![route.read(defaults)?]))
    }

    /// Where `path` leads.
    pub fn find(&self, path: &Path<'_>) -> Found<'_> {
        if path.is_plain() {
            return self.at(path.as_str()).map_or(Found::Nowhere, Found::Route);
        }
        let readings = path.readings();
        let mut places = readings.iter().map(|reading| self.at(reading));
        let first = places.next().flatten();
        if !places.all(|place| place == first) {
            return Found::Doubtful;
        }
        first.map_or(Found::Nowhere, Found::Route)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    fn at(&self, path: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.has(path))
    }
}

impl Route {
    /// The scopes that a call by `method` needs.
    ///
    /// # Errors
    /// The route does not have the method.
    pub fn scopes(&self, method: &str) -> Result<&[String], NotAllowed> {
        let mut named = self.scopes.named.iter();
        let own = named.find(|(name, _)| name == method);
        let needed = own.map(|(_, scopes)| scopes);
        needed
            .or(self.scopes.others.as_ref())
            .map(Vec::as_slice)
            .ok_or_else(|| {
                let names = self.scopes.named.iter().map(|(name, _)| name.as_str());
                NotAllowed(names.collect::<Vec<_>>().join(", "))
            })
    }

    /// Every scope that some call of it could need.
    pub fn every_scope(&self) -> impl Iterator<Item = &str> {
        let by_method = self.scopes.named.iter().map(|(_, scopes)| scopes);
        let all = by_method.chain(&self.scopes.others).flatten();
        let of_messages = self.mcp.iter().flat_map(mcp::Rules::scopes);
        all.map(String::as_str).chain(of_messages)
    }

    /// Whether `path` is this route's or under it, by whole segments.
    fn has(&self, path: &str) -> bool {
        if self.path == "/" {
            return true;
        }
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A route as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: String,
    origin: Option<String>,
    scopes: Option<BTreeMap<String, Vec<String>>>,
    resource: Option<String>,
    mcp: Option<mcp::Rules>,
    #[serde(default)]
    authorization: WrittenAuthorization,
    #[serde(default)]
    when_core_is_away: WrittenAway,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenAuthorization {
    #[default]
    Keep,
    Remove,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WrittenAway {
    #[default]
    Refuse,
    AdmitUpToS(u64),
}

impl Written {
    fn read(self, defaults: Defaults<'_>) -> Result<Route, String> {
        if !is_route(&self.path) {
            return Err(
                "a path is / or /a/b, of plain signs and without a slash at its end".into(),
            );
        }
        let origin = match self.origin.as_deref().or(defaults.origin) {
            Some(url) => Some(origin(url).ok_or_else(|| format!("{url} is no origin's URL"))?),
            None => None,
        };
        if let Some(resource) = &self.resource
            && !defaults.resources.contains(resource)
        {
            return Err(format!("RESOURCES does not have {resource}"));
        }
        let bad = {
            let mut of_messages = self.mcp.iter().flat_map(mcp::Rules::scopes);
            of_messages
                .find(|scope| !is_scope(scope))
                .map(str::to_owned)
        };
        if let Some(scope) = bad {
            return Err(format!("{scope:?} is no scope"));
        }
        let away = match self.when_core_is_away {
            WrittenAway::Refuse => Away::Refuse,
            WrittenAway::AdmitUpToS(s) if (1..=MOST_AWAY_S).contains(&s) => {
                Away::AdmitUpTo(s * 1_000)
            }
            WrittenAway::AdmitUpToS(_) => {
                return Err(format!("admit_up_to_s is from 1 to {MOST_AWAY_S}"));
            }
        };
        Ok(Route {
            scopes: Scopes::read(self.scopes, defaults.required_scopes)?,
            path: self.path,
            origin,
            resource: self.resource,
            mcp: self.mcp,
            keeps_authorization: matches!(self.authorization, WrittenAuthorization::Keep),
            away,
        })
    }
}

impl Scopes {
    fn read(
        written: Option<BTreeMap<String, Vec<String>>>,
        required: &[String],
    ) -> Result<Self, String> {
        let all = |own: Vec<String>| {
            let mut all = required.to_vec();
            for scope in own {
                if !all.contains(&scope) {
                    all.push(scope);
                }
            }
            match all.iter().find(|scope| !is_scope(scope)) {
                Some(scope) => Err(format!("{scope:?} is no scope")),
                None => Ok(all),
            }
        };
        let Some(mut written) = written else {
            return Ok(Self {
                named: Vec::new(),
                others: Some(all(Vec::new())?),
            });
        };
        if written.is_empty() {
            return Err("scopes names no method".to_owned());
        }
        let others = written.remove(ANY).map(all).transpose()?;
        let mut named = Vec::with_capacity(written.len());
        for (method, scopes) in written {
            // The methods that there are, RFC 9110 §9.1, are in capitals.
            if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                return Err(format!("{method:?} is no method"));
            }
            named.push((method, all(scopes)?));
        }
        Ok(Self { named, others })
    }
}

/// RFC 6749 §3.3: what may stand in a challenge.
fn is_scope(scope: &str) -> bool {
    let of_a_scope = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !scope.is_empty() && scope.bytes().all(of_a_scope)
}

/// Whether a route's path has one reading, and ends with its last segment.
fn is_route(path: &str) -> bool {
    let ends = path == "/" || !path.ends_with('/');
    let plain = |read: Path<'_>| read.is_plain() && read.as_str() == path;
    ends && Path::read(path).is_some_and(plain)
}

/// An origin's URL without a slash at its end; `None` where a path cannot simply be
/// appended to it.
fn origin(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let plain = rest.bytes().all(|b| b.is_ascii_graphic()) && !rest.contains(['?', '#', '@']);
    let url = url.trim_end_matches('/');
    (plain && !rest.starts_with(['/', ':']) && !rest.is_empty() && !has_dots(rest))
        .then(|| url.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Routes, String> {
        let required = ["base".to_owned()];
        let resources = ["https://mcp.example.com/mcp".to_owned()];
        Routes::parse(
            text,
            Defaults {
                origin: Some("https://default.example/"),
                required_scopes: &required,
                resources: &resources,
            },
        )
    }

    fn path_of(routes: &Routes, path: &str) -> String {
        match routes.find(&Path::read(path).unwrap()) {
            Found::Route(route) => route.path.clone(),
            Found::Nowhere => "nowhere".to_owned(),
            Found::Doubtful => "doubtful".to_owned(),
        }
    }

    #[test]
    fn all_that_a_route_can_say_is_read() {
        let routes = parse(
            r#"[{"path": "/", "origin": "https://api.internal"},
                {"path": "/orders", "scopes": {"GET": ["orders:read"], "*": ["orders:read", "base"]}},
                {"path": "/mcp", "origin": "http://mcp.internal:81/base/", "resource": "https://mcp.example.com/mcp",
                 "mcp": {"methods": {"tools/call": ["tools:call"], "*": []}, "tools": {"*": []}},
                 "authorization": "remove", "when_core_is_away": {"admit_up_to_s": 60}}]"#,
        )
        .unwrap();
        let routes: Vec<&Route> = routes.iter().collect();
        let [orders, mcp, rest] = routes[..] else {
            panic!("{routes:?}")
        };
        assert_eq!(orders.origin.as_deref(), Some("https://default.example"));
        assert_eq!(orders.scopes("GET").unwrap(), ["base", "orders:read"]);
        assert_eq!(orders.scopes("PATCH").unwrap(), ["base", "orders:read"]);
        assert!(orders.keeps_authorization);
        assert_eq!(orders.away, Away::Refuse);
        assert_eq!(mcp.origin.as_deref(), Some("http://mcp.internal:81/base"));
        assert_eq!(mcp.resource.as_deref(), Some("https://mcp.example.com/mcp"));
        assert_eq!(mcp.mcp.as_ref().unwrap().methods.len(), 2);
        assert!(!mcp.keeps_authorization);
        assert_eq!(mcp.away, Away::AdmitUpTo(60_000));
        assert_eq!(rest.scopes("GET").unwrap(), ["base"]);
    }

    #[test]
    fn the_longest_path_of_whole_segments_wins() {
        let routes = parse(r#"[{"path":"/"},{"path":"/a"},{"path":"/a/b"}]"#).unwrap();
        for (path, expected) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/b", "/a/b"),
            ("/a/b/c", "/a/b"),
            ("/a/bc", "/a"),
            ("/ab", "/"),
            ("/%61", "/a"),
            ("/a%2ec", "/"),
        ] {
            assert_eq!(path_of(&routes, path), expected, "{path}");
        }
        let narrow = parse(r#"[{"path":"/a"}]"#).unwrap();
        assert_eq!(path_of(&narrow, "/b"), "nowhere");
    }

    #[test]
    fn a_path_that_somebody_reads_as_anothers_is_doubtful() {
        let routes = parse(r#"[{"path":"/"},{"path":"/a"},{"path":"/a/b"}]"#).unwrap();
        for path in [
            "//a", "/a;x", "/a%2fb", "/a//b", "/%2561", "/a/b;x", "/x/%2fa", "/;/a", "/a%3bx",
        ] {
            let expected = if path == "/x/%2fa" { "/" } else { "doubtful" };
            assert_eq!(path_of(&routes, path), expected, "{path}");
        }
        for (path, expected) in [
            ("/c%2fd", "/"),
            ("/a/c;x", "/a"),
            ("/a/b/c%2fd", "/a/b"),
            ("/a/b%2fc", "doubtful"),
        ] {
            assert_eq!(path_of(&routes, path), expected, "{path}");
        }
    }

    #[test]
    fn a_method_that_is_not_named_is_not_allowed() {
        let routes = parse(r#"[{"path":"/","scopes":{"PUT":["w"],"GET":[]}}]"#).unwrap();
        let route = routes.iter().next().unwrap();
        assert_eq!(route.scopes("PUT").unwrap(), ["base", "w"]);
        assert_eq!(route.scopes("get"), Err(NotAllowed("GET, PUT".to_owned())));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            "[{}]",
            "null",
            r#"[{"path":"/"}] x"#,
            r#"[{"path":"/","path":"/a"}]"#,
            r#"[{"path":"/","extra":1}]"#,
            r#"[{"path":"/"},{"path":"/"}]"#,
            r#"[{"path":""}]"#,
            r#"[{"path":"a"}]"#,
            r#"[{"path":"/a/"}]"#,
            r#"[{"path":"/a//b"}]"#,
            r#"[{"path":"/../a"}]"#,
            r#"[{"path":"/%61"}]"#,
            r#"[{"path":"/a;b"}]"#,
            r#"[{"path":"/a?b"}]"#,
            r#"[{"path":"/","origin":"ftp://a"}]"#,
            r#"[{"path":"/","origin":"https://"}]"#,
            r#"[{"path":"/","origin":"https:///a"}]"#,
            r#"[{"path":"/","origin":"https://a?b"}]"#,
            r#"[{"path":"/","origin":"https://u:p@a"}]"#,
            r#"[{"path":"/","origin":"https://a/../b"}]"#,
            r#"[{"path":"/","scopes":{}}]"#,
            r#"[{"path":"/","scopes":{"get":[]}}]"#,
            r#"[{"path":"/","scopes":{"GET":["a b"]}}]"#,
            r#"[{"path":"/","scopes":{"GET":["\""]}}]"#,
            r#"[{"path":"/","scopes":{"GET":"a"}}]"#,
            r#"[{"path":"/","resource":"https://other.example"}]"#,
            r#"[{"path":"/","mcp":{"extra":{}}}]"#,
            r#"[{"path":"/","mcp":{"tools":{"x":["a b"]}}}]"#,
            r#"[{"path":"/","authorization":"drop"}]"#,
            r#"[{"path":"/","when_core_is_away":"admit"}]"#,
            r#"[{"path":"/","when_core_is_away":{"admit_up_to_s":0}}]"#,
            r#"[{"path":"/","when_core_is_away":{"admit_up_to_s":3601}}]"#,
            r#"[{"path":"/","when_core_is_away":{"admit_up_to_s":-1}}]"#,
            r#"[{"path":"/","when_core_is_away":{"admit_up_to_s":1,"x":2}}]"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(
            parse(r#"[{"path":"/","when_core_is_away":"refuse","authorization":"keep"}]"#).is_ok()
        );
    }

    #[test]
    fn without_the_variable_everything_is_one_route() {
        let scopes = ["a".to_owned()];
        let defaults = Defaults {
            required_scopes: &scopes,
            ..Defaults::default()
        };
        let routes = Routes::everything(defaults).unwrap();
        let route = routes.iter().next().unwrap();
        assert_eq!((route.path.as_str(), &route.origin), ("/", &None));
        assert_eq!(route.scopes("ANY").unwrap(), ["a"]);
        let bad = Defaults {
            origin: Some("nonsense"),
            ..defaults
        };
        assert!(Routes::everything(bad).is_err());
    }

    proptest! {
        #[test]
        fn a_route_is_found_for_what_is_under_it_and_only_that(
            route in "(/[a-z]{1,4}){1,3}", path in "(/[a-z]{1,4}){1,4}"
        ) {
            let routes = parse(&format!(r#"[{{"path":"{route}"}}]"#)).unwrap();
            let expected = path == route || path.starts_with(&format!("{route}/"));
            let found = path_of(&routes, &path) != "nowhere";
            prop_assert_eq!(found, expected);
            prop_assert_eq!(path_of(&routes, &format!("{route}{path}")), route);
        }

        /// However a guarded path is written, it is never another route's.
        #[test]
        fn no_spelling_of_a_guarded_path_takes_another_route(
            escapes in prop::collection::vec(0_usize..4, 4), slashes in 1_usize..3,
            end in prop::sample::select(vec!["", ";x=1", "%5cx", "%255cx", "%3fx", "%23x", "%253fx"]),
            before in prop::sample::select(vec!["", "%5c", "%5c/"]),
        ) {
            let routes = parse(r#"[{"path":"/"},{"path":"/open"},{"path":"/adm"}]"#).unwrap();
            let mut path = "/".repeat(slashes);
            for (sign, times) in "adm".chars().zip(&escapes) {
                let escaped = (0..*times).fold(sign.to_string(), |text, _| {
                    text.bytes().map(|b| format!("%{b:02x}")).collect()
                });
                path.push_str(&escaped);
            }
            path.push_str(end);
            path.insert_str(1, before);
            let found = path_of(&routes, &format!("{path}/x"));
            prop_assert!(found == "/adm" || found == "doubtful", "{} {}", path, found);
        }
    }
}
