//! The compose files as a compose tool reads them: by the compose schema's own
//! validator, and with the environment's variables filled in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use super::root;

/// A variable, and what stands after its name: `:-default`, `:?why` or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    pub name: String,
    pub otherwise: String,
}

enum Part<'a> {
    Text(&'a str),
    Variable(Variable),
}

/// Checks files by the schema.
pub async fn check(files: &[PathBuf]) -> Output {
    let mut command = Command::new(tool("check-jsonschema"));
    command.args(["--builtin-schema", "vendor.compose-spec"]);
    command.args(files).output().await.unwrap()
}

/// A YAML file of the repository, as the validator's own reader sees it.
pub async fn yaml(file: &str) -> Value {
    const TO_JSON: &str = "import json, sys; from ruamel.yaml import YAML; \
        json.dump(YAML(typ='safe').load(open(sys.argv[1])), sys.stdout)";
    let mut command = Command::new(tool("python"));
    command.args(["-c", TO_JSON]).arg(root().join(file));
    let output = command.output().await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A program of what `make stack` installs.
fn tool(name: &str) -> PathBuf {
    let path = root().join("target/compose-schema/bin").join(name);
    assert!(path.exists(), "the compose schema is missing: `make stack`");
    path
}

/// Every text in `value`.
pub fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The variables in `text`.
pub fn variables(text: &str) -> Vec<Variable> {
    let variable = |part| match part {
        Part::Text(_) => None,
        Part::Variable(variable) => Some(variable),
    };
    parts(text).into_iter().filter_map(variable).collect()
}

/// `value` with its variables filled in.
///
/// # Errors
/// A variable that must be set is not.
pub fn fill(value: &Value, vars: &HashMap<String, String>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(fill_text(text, vars)?),
        Value::Array(items) => items
            .iter()
            .map(|item| fill(item, vars))
            .collect::<Result<_, _>>()?,
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| Ok((name.clone(), fill(member, vars)?)))
            .collect::<Result<_, String>>()?,
        other => other.clone(),
    })
}

fn fill_text(text: &str, vars: &HashMap<String, String>) -> Result<String, String> {
    let mut filled = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Variable(Variable { name, otherwise }) => {
                let set = vars.get(&name).filter(|value| !value.is_empty());
                match (set, otherwise.get(..2)) {
                    (Some(value), _) => filled.push_str(value),
                    (None, Some(":-")) => filled.push_str(&otherwise[2..]),
                    (None, _) => {
                        return Err(format!("{name} {}", otherwise.trim_matches([':', '?'])));
                    }
                }
            }
        }
    }
    Ok(filled)
}

/// `$$` is a dollar; everything else with one is `${…}`.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        parts.push(Part::Text(before));
        if let Some(after) = after.strip_prefix('$') {
            parts.push(Part::Text("$"));
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|a| a.split_once('}'));
        let (inside, after) = braced.unwrap_or_else(|| panic!("a bare dollar: {text}"));
        let (name, otherwise) = inside.split_at(inside.find(':').unwrap_or(inside.len()));
        parts.push(Part::Variable(Variable {
            name: name.to_owned(),
            otherwise: otherwise.to_owned(),
        }));
        rest = after;
    }
    parts.push(Part::Text(rest));
    parts
}
