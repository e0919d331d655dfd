//! The scopes that messages of the Model Context Protocol need, by their JSON-RPC
//! method and, for `tools/call`, by the tool.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A route's rules, the member `mcp` of `ROUTES`. `*` is for what is not named; what
/// is neither named nor covered by it is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Scopes by method.
    #[serde(default)]
    pub methods: BTreeMap<String, Vec<String>>,
    /// Scopes by the tool's name, for `tools/call`.
    #[serde(default)]
    pub tools: BTreeMap<String, Vec<String>>,
}
