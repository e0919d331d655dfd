//! What a message to an MCP server needs: scopes by JSON-RPC method, and by tool for
//! `tools/call`, over every message of a body (Model Context Protocol, "Streamable
//! HTTP"; JSON-RPC 2.0).
//!
//! The body goes on as it came, and the server reads it with a parser of its own.
//! So a body that another parser could read otherwise is refused: members that
//! stand twice, or that differ from the decisive ones by upper and lower case alone, and
//! headers that name another method or tool than the body does.

use std::collections::{BTreeMap, BTreeSet};

use agentidp_verify::strict_json::{self, Bounds};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest body that is looked at, in bytes.
pub const LONGEST_BODY: usize = 1 << 20;
/// Arguments of tools may be deeper than what the core says, but not endless.
const BOUNDS: Bounds = Bounds {
    deepest: 64,
    most_members: 4_096,
};
/// What decides, in a message and in its `params`.
const DECISIVE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const DECISIVE_PARAMS: [&str; 2] = ["name", "uri"];

/// The scopes that stand under one name. `*` is for every name that is not there.
type ByName = BTreeMap<String, Vec<String>>;

/// A route's rules for MCP, as `ROUTES` has them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// By JSON-RPC method.
    pub methods: ByName,
    /// By the name of the tool, for `tools/call`, beside what the method needs. Where
    /// it is absent, every tool may be called that the method's scopes allow.
    pub tools: Option<ByName>,
}

/// Why a body goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: it is not what every reader would take for the same messages.
    Unreadable(&'static str),
    /// 403: a method or a tool that the rules do not name, whatever the scopes.
    NotAllowed(&'static str),
}

/// What headers say that the body is, revision 2026-07-28 of the protocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Announced<'a> {
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`: of the tool or prompt, or the URI of the resource.
    pub name: Option<&'a str>,
}

/// What is done with a call of a route that has rules for MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Its body is messages: read it, and ask the rules.
    Read,
    /// It has no message in it: it opens the server's stream, or ends the session.
    Pass,
    /// 405.
    NotAllowed,
    /// 400: a body where there is none to be, which nobody would have looked at.
    Unreadable,
}

/// The methods of the transport, and those that ask about it; the value of `Allow`.
pub const METHODS: &str = "GET, HEAD, POST, DELETE, OPTIONS";

/// By the call's method, and whether it has a body.
pub fn treatment(method: &str, has_body: bool) -> Treatment {
    match method {
        "POST" => Treatment::Read,
        "GET" | "HEAD" | "DELETE" | "OPTIONS" if has_body => Treatment::Unreadable,
        "GET" | "HEAD" | "DELETE" | "OPTIONS" => Treatment::Pass,
        _ => Treatment::NotAllowed,
    }
}

/// Whether `content_type` is JSON's, in UTF-8 (RFC 8259 §8.1 and §11).
pub fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        let name = name.trim().trim_end_matches('*');
        !name.eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

impl Rules {
    /// Every scope that some message could need.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let tools = self.tools.iter().flat_map(BTreeMap::values);
        let all = self.methods.values().chain(tools);
        all.flatten().map(String::as_str)
    }

    /// The scopes that `body` needs, of all its messages together.
    ///
    /// # Errors
    /// Why nobody may send it.
    pub fn needed(&self, body: &[u8], announced: Announced<'_>) -> Result<BTreeSet<&str>, Refusal> {
        let messages = read(body)?;
        let mut needed = BTreeSet::new();
        for message in &messages {
            if let Some(method) = &message.method {
                needed.extend(self.one(method, message.name.as_deref())?);
            }
        }
        announced.agrees_with(&messages)?;
        Ok(needed)
    }

    fn one(&self, method: &str, name: Option<&str>) -> Result<impl Iterator<Item = &str>, Refusal> {
        let of_method = under(&self.methods, method)
            .ok_or(Refusal::NotAllowed("This method may not be called here."))?;
        let mut of_tool: &[String] = &[];
        if method == "tools/call" {
            let name = name.ok_or(Refusal::Unreadable("A tool's call must name the tool."))?;
            if let Some(tools) = &self.tools {
                of_tool = under(tools, name)
                    .ok_or(Refusal::NotAllowed("This tool may not be called here."))?;
            }
        }
        Ok(of_method.iter().chain(of_tool).map(String::as_str))
    }
}

fn under<'a>(rules: &'a ByName, name: &str) -> Option<&'a [String]> {
    // A method or a tool that is called `*` is not the rule for all others.
    let own = rules.get(name).filter(|_| name != "*");
    own.or_else(|| rules.get("*")).map(Vec::as_slice)
}

/// A message, as far as it decides.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    /// None for an answer.
    method: Option<String>,
    /// `params.name`, or `params.uri` of a resource.
    name: Option<String>,
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

fn read(body: &[u8]) -> Result<Vec<Message>, Refusal> {
    const NO_JSON: Refusal =
        Refusal::Unreadable("The body must be JSON without duplicate members.");
    let text = std::str::from_utf8(body).map_err(|_| NO_JSON)?;
    strict_json::check(text, BOUNDS).map_err(|_| NO_JSON)?;
    if text.trim_start().starts_with('[') {
        let batch: Vec<Members<'_>> = serde_json::from_str(text).map_err(|_| NOT_A_MESSAGE)?;
        if batch.is_empty() {
            return Err(NOT_A_MESSAGE);
        }
        return batch.iter().map(message).collect();
    }
    let one: Members<'_> = serde_json::from_str(text).map_err(|_| NOT_A_MESSAGE)?;
    Ok(vec![message(&one)?])
}

const NOT_A_MESSAGE: Refusal = Refusal::Unreadable("The body must be messages of JSON-RPC.");

fn message(members: &Members<'_>) -> Result<Message, Refusal> {
    plainly_spelled(members, &DECISIVE)?;
    let Some(method) = members.get("method") else {
        // An answer to what the server asked.
        let answers = members.contains_key("result") || members.contains_key("error");
        return answers
            .then_some(Message {
                method: None,
                name: None,
            })
            .ok_or(NOT_A_MESSAGE);
    };
    let method: String = serde_json::from_str(method.get()).map_err(|_| NOT_A_MESSAGE)?;
    let mut name = None;
    if let Some(params) = members.get("params") {
        // JSON-RPC allows an array here, MCP does not.
        let params: Members<'_> = serde_json::from_str(params.get()).map_err(|_| NOT_A_MESSAGE)?;
        plainly_spelled(&params, &DECISIVE_PARAMS)?;
        let by_uri = method.starts_with("resources/");
        let named = params.get(if by_uri { "uri" } else { "name" });
        name = named.and_then(|name| serde_json::from_str(name.get()).ok());
    }
    Ok(Message {
        method: Some(method),
        name,
    })
}

/// Some parsers (Go's) take `Method` for `method`.
fn plainly_spelled(members: &Members<'_>, decisive: &[&str]) -> Result<(), Refusal> {
    // By way of upper case: `ſ` is a small s there.
    let fold = |name: &str| name.to_uppercase().to_lowercase();
    let odd = members
        .keys()
        .filter(|name| !decisive.contains(&name.as_str()))
        .any(|name| decisive.contains(&fold(name).as_str()));
    if odd {
        return Err(NOT_A_MESSAGE);
    }
    Ok(())
}

impl Announced<'_> {
    fn agrees_with(self, messages: &[Message]) -> Result<(), Refusal> {
        const OTHERWISE: Refusal =
            Refusal::Unreadable("Mcp-Method and Mcp-Name must say what the body does.");
        let Self { method, name } = self;
        if method.is_none() && name.is_none() {
            return Ok(());
        }
        // The headers are of one message, and so must the body be.
        let [message] = messages else {
            return Err(OTHERWISE);
        };
        if method.is_some_and(|method| message.method.as_deref() != Some(method)) {
            return Err(OTHERWISE);
        }
        match name {
            Some(name) if plain(name).as_deref() != message.name.as_deref() => Err(OTHERWISE),
            _ => Ok(()),
        }
    }
}

/// A header's value, which may stand in Base64: `=?base64?…?=`.
fn plain(value: &str) -> Option<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let value = value.trim();
    let wrapped = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match wrapped {
        Some(wrapped) => String::from_utf8(STANDARD.decode(wrapped).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn rules() -> Rules {
        serde_json::from_value(json!({
            "methods": { "tools/call": ["tools:call"], "resources/read": ["files:read"], "*": [] },
            "tools": { "delete_file": ["files:write", "files:read"], "*": [] },
        }))
        .unwrap()
    }

    fn needed(body: &str) -> Result<Vec<String>, Refusal> {
        let rules = rules();
        let needed = rules.needed(body.as_bytes(), Announced::default())?;
        Ok(needed.into_iter().map(str::to_owned).collect())
    }

    fn is_unreadable(body: &str) -> bool {
        matches!(needed(body), Err(Refusal::Unreadable(_)))
    }

    #[test]
    fn a_method_needs_its_scopes_and_a_tool_its_own_beside_them() {
        let scopes = |body: &str| needed(body).unwrap();
        assert!(scopes(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).is_empty());
        assert_eq!(
            scopes(r#"{"method":"tools/call","params":{"name":"read_file"}}"#),
            ["tools:call"]
        );
        assert_eq!(
            scopes(r#"{"method":"tools/call","params":{"name":"delete_file","arguments":{}}}"#),
            ["files:read", "files:write", "tools:call"]
        );
        // By the name as it is, however it is written.
        assert_eq!(
            scopes(r#"{"m\u0065thod":"tools\/call","params":{"name":"delete\u005ffile"}}"#),
            ["files:read", "files:write", "tools:call"]
        );
    }

    #[test]
    fn a_batch_needs_what_all_its_messages_need() {
        let batch = r#"[{"method":"ping"},{"method":"resources/read","params":{"uri":"a:b"}},
            {"method":"tools/call","params":{"name":"x"}},{"id":1,"result":{}}]"#;
        assert_eq!(needed(batch).unwrap(), ["files:read", "tools:call"]);
        for bad in ["[]", "[[]]", r#"[{"method":"ping"},7]"#, "[null]"] {
            assert!(is_unreadable(bad), "{bad}");
        }
    }

    #[test]
    fn an_answer_needs_nothing_and_what_is_neither_is_refused() {
        assert!(
            needed(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
                .unwrap()
                .is_empty()
        );
        assert!(
            needed(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#)
                .unwrap()
                .is_empty()
        );
        for bad in [
            "",
            "7",
            r#""tools/list""#,
            "{}",
            r#"{"id":1}"#,
            r#"{"method":7}"#,
            r#"{"method":null,"result":{}}"#,
            r#"{"method":["tools/call"]}"#,
            r#"{"method":"ping","params":[]}"#,
            r#"{"method":"tools/call"}"#,
            r#"{"method":"tools/call","params":{}}"#,
            r#"{"method":"tools/call","params":{"name":7}}"#,
            r#"{"method":"tools/call","params":{"name":null}}"#,
            r#"{"method":"ping"}{"method":"ping"}"#,
        ] {
            assert!(is_unreadable(bad), "{bad}");
        }
        assert!(matches!(
            rules().needed(b"{\"method\":\"p\xffng\"}", Announced::default()),
            Err(Refusal::Unreadable(_))
        ));
    }

    #[test]
    fn what_another_parser_could_read_otherwise_is_refused() {
        for bad in [
            r#"{"method":"tools/list","method":"tools/call"}"#,
            r#"{"method":"tools/list","m\u0065thod":"tools/call"}"#,
            r#"{"method":"tools/list","Method":"tools/call"}"#,
            r#"{"Method":"tools/call","result":{}}"#,
            r#"{"method":"ping","PARAMS":{}}"#,
            r#"{"method":"ping","paramſ":{}}"#,
            r#"{"method":"tools/call","params":{"name":"x","NAME":"delete_file"}}"#,
            r#"{"method":"tools/call","params":{"name":"x","name":"delete_file"}}"#,
            r#"{"method":"tools/call","params":{"name":"x","arguments":{"a":1,"a":2}}}"#,
            "\u{feff}{\"method\":\"ping\"}",
        ] {
            assert!(is_unreadable(bad), "{bad}");
        }
        // Arguments are the tool's own affair.
        assert!(
            needed(
                r#"{"method":"tools/call","params":{"name":"x","arguments":{"Name":1,"name":2}}}"#
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_not_named_is_not_allowed() {
        let rules: Rules = serde_json::from_value(json!({
            "methods": { "tools/call": [], "tools/list": [] }, "tools": { "read": [] },
        }))
        .unwrap();
        let needed = |body: &str| rules.needed(body.as_bytes(), Announced::default());
        assert!(needed(r#"{"method":"tools/call","params":{"name":"read"}}"#).is_ok());
        for body in [
            r#"{"method":"ping"}"#,
            r#"{"method":"*"}"#,
            r#"{"method":"Tools/call","params":{"name":"read"}}"#,
            r#"{"method":"tools/call","params":{"name":"*"}}"#,
            r#"{"method":"tools/call","params":{"name":"write"}}"#,
            r#"[{"method":"tools/list"},{"method":"ping"}]"#,
        ] {
            assert!(
                matches!(needed(body), Err(Refusal::NotAllowed(_))),
                "{body}"
            );
        }
        let any_tool: Rules =
            serde_json::from_value(json!({ "methods": { "tools/call": ["t"] } })).unwrap();
        let call = br#"{"method":"tools/call","params":{"name":"*"}}"#;
        assert_eq!(
            any_tool.needed(call, Announced::default()),
            Ok(BTreeSet::from(["t"]))
        );
    }

    #[test]
    fn headers_that_announce_the_body_must_agree_with_it() {
        let rules = rules();
        let agrees = |body: &str, method, name| {
            rules
                .needed(body.as_bytes(), Announced { method, name })
                .is_ok()
        };
        let call = r#"{"method":"tools/call","params":{"name":"x y"}}"#;
        let read = r#"{"method":"resources/read","params":{"uri":"file:///a"}}"#;
        assert!(agrees(call, Some("tools/call"), Some("x y")));
        assert!(agrees(call, Some("tools/call"), Some("=?base64?eCB5?=")));
        assert!(agrees(call, None, None));
        assert!(agrees(read, Some("resources/read"), Some("file:///a")));
        assert!(!agrees(call, Some("tools/list"), None));
        assert!(!agrees(call, Some("tools/call, tools/list"), None));
        assert!(!agrees(call, Some("tools/call"), Some("other")));
        assert!(!agrees(call, None, Some("=?base64?%%%?=")));
        assert!(!agrees(
            &format!("[{call},{call}]"),
            Some("tools/call"),
            None
        ));
        assert!(!agrees(r#"{"id":1,"result":{}}"#, Some("ping"), None));
    }

    #[test]
    fn a_body_is_read_or_is_not_there() {
        assert_eq!(treatment("POST", true), Treatment::Read);
        assert_eq!(treatment("POST", false), Treatment::Read);
        for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
            assert_eq!(treatment(method, false), Treatment::Pass);
            assert_eq!(treatment(method, true), Treatment::Unreadable);
            assert!(METHODS.contains(method));
        }
        for method in ["PUT", "PATCH", "post", "QUERY"] {
            assert_eq!(treatment(method, true), Treatment::NotAllowed);
        }
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/json; charset=utf-16",
            "application/json; charset =utf-7",
            "application/json; charset*=utf-8''utf-7",
            "application/jsonx",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    /// What a lenient reader would do with `body`: the last of several members counts,
    /// and names are told apart without regard to case.
    fn deletes(body: &Value) -> bool {
        let member = |of: &Value, wanted: &str| -> Option<Value> {
            let members = of.as_object()?.iter();
            let mut found = members.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.next_back().map(|(_, value)| value.clone())
        };
        if let Some(batch) = body.as_array() {
            return batch.iter().any(deletes);
        }
        let tool = member(body, "params").and_then(|params| member(&params, "name"));
        member(body, "method") == Some("tools/call".into()) && tool == Some("delete_file".into())
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            r#""method""#,
            r#""Method""#,
            r#""m\u0065thod""#,
            r#""tools/call""#,
            r#""ping""#,
            r#""params""#,
            r#""PARAMS""#,
            r#""name""#,
            r#""Name""#,
            r#""delete_file""#,
            r#""read""#,
            r#""result""#,
            "null",
            "7",
            r#""method":"tools/call","params":{"name":"delete_file"}"#,
            r#""method":"ping""#,
            r#"{"method":"ping"}"#,
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn nobody_deletes_without_the_scope_however_the_body_is_read(
            pieces in prop::collection::vec(piece(), 0..12),
            wrapped in 0..3,
        ) {
            let inside = pieces.concat();
            let body = match wrapped {
                0 => inside,
                1 => format!("{{{inside}}}"),
                _ => format!("[{{{inside}}}]"),
            };
            if let Ok(scopes) = needed(&body) {
                let read: Value = serde_json::from_str(&body).unwrap();
                let may = scopes.iter().any(|scope| scope == "files:write");
                prop_assert!(may || !deletes(&read), "{}", body);
            }
        }

        #[test]
        fn whatever_comes_is_read_or_refused(body in any::<Vec<u8>>()) {
            let _ = rules().needed(&body, Announced::default());
        }
    }
}
