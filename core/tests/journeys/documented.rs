//! `docs/openapi.json` says what is there: every documented call is served, every
//! route, parameter, header and member is documented.

mod answers;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Deployment, root};

const ID: &str = "01a209e1-0221-757e-bba8-30b9b72bbe32";
/// What answers before the limits, and takes nothing.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

fn document() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("docs/openapi.json")).unwrap()).unwrap()
}

/// Path, method and what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods
            .filter(|(method, _)| *method != "parameters")
            .map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// `value`, or what it refers to.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(place) => document
            .pointer(place.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{place} is not there")),
        None => value,
    }
}

/// The names of an operation's parameters that stand in `place`.
fn parameters(document: &Value, operation: &Value, place: &str) -> BTreeSet<String> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    all.map(|parameter| resolve(document, parameter))
        .filter(|parameter| parameter["in"] == place)
        .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_documented_call_is_served_and_answers_with_a_documented_status() {
    let deployment = Deployment::start().await;
    let document = document();
    let mut called = 0;
    for (path, method, operation) in operations(&document) {
        let url = path
            .replace("{org_id}", ID)
            .replace("{resource_id}", ID)
            .replace("{agent_id}", ID)
            .replace("{credential_id}", ID)
            .replace("{decision_id}", ID)
            .replace("{digest}", &"0".repeat(64))
            .replace("{edge_id}", ID)
            .replace("{tier}", "free");
        let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = deployment
            .http
            .request(method.clone(), format!("{}{url}", deployment.url))
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        assert!(!matches!(status, 404 | 405), "{method} {path} is not there");
        assert!(
            operation["responses"].get(status.to_string()).is_some(),
            "{method} {path} answered {status}"
        );
        called += 1;
    }
    assert!(called >= 45, "{called}");
    deployment.stop().await;
}

#[test]
fn every_route_is_documented_with_its_methods() {
    let document = document();
    let files = sources(&root().join("core/src"));
    let mut unserved: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for (path, methods) in files.iter().flat_map(|(_, source)| routes(source)) {
        let documented = operations(&document).filter(|(documented, ..)| *documented == path);
        let documented: BTreeSet<&str> = documented.map(|(_, method, _)| method).collect();
        assert_eq!(documented, methods, "{path}");
        unserved.remove(path);
    }
    // Their paths depend on the issuer's.
    let metadata = [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ];
    assert_eq!(unserved, BTreeSet::from(metadata));
}

/// The routes with a path of their own, and the methods that each serves.
fn routes(source: &str) -> Vec<(&str, BTreeSet<&'static str>)> {
    let calls = source.split(".route(").skip(1);
    let routes = calls.filter_map(|call| {
        let mut depth = 1;
        let end = call.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        })?;
        let (path, served) = call[..end]
            .trim_start()
            .strip_prefix('"')?
            .split_once('"')?;
        let methods = ["get", "post", "put", "patch", "delete"]
            .into_iter()
            .filter(|method| served.contains(&format!("{method}(")))
            .collect();
        Some((path, methods))
    });
    routes.collect()
}

/// Every Rust file below `folder`, and what is in it.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            found.push((path, source));
        }
    }
    found
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let journeys = root().join("core/tests/journeys");
    let mut named = 0;
    for name in text.split('`').skip(1).step_by(2) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        let Some((module, function)) = name.rsplit_once("::").filter(|_| name.chars().all(is_word))
        else {
            continue;
        };
        if (module, function) == ("floods", "x") || (module, function) == ("losses::revoked", "x") {
            continue;
        }
        let file = journeys.join(format!("{}.rs", module.replace("::", "/")));
        let source = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{name}: no file"));
        assert!(source.contains(&format!("fn {function}(")), "{name}");
        named += 1;
    }
    assert!(named > 50, "{named}");
}

#[test]
fn what_all_calls_of_a_kind_have_in_common_is_documented_of_each() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        let answers = |status: &str| operation["responses"].get(status).is_some();
        let takes = |header: &str| parameters(&document, operation, "header").contains(header);
        if PROBES.contains(&path) {
            assert!(!answers("429"), "{what} is not limited");
            continue;
        }
        assert!(answers("429"), "{what} is limited by address");
        let has_body = operation.get("requestBody").is_some();
        let sends = matches!(method, "post" | "put" | "patch");
        assert_eq!(has_body, sends, "{what}");
        for status in ["400", "408", "413"] {
            assert!(!has_body || answers(status), "{what} {status}");
        }
        // A PUT may be repeated as it is.
        let creates = answers("201") && method != "put";
        assert_eq!(takes("Idempotency-Key"), creates, "{what}");
        assert!(!creates || (answers("409") && answers("422")), "{what}");
        // An upload changes no version that is there.
        let replaces = method == "put" && !path.ends_with("/policy");
        let changes = replaces || matches!(method, "patch" | "delete") || path.ends_with("/rotate");
        assert_eq!(
            (takes("If-Match"), answers("412")),
            (changes, changes),
            "{what}"
        );
        let one = path.ends_with('}') || path.ends_with("/settings");
        let reads_one = method == "get" && one;
        assert_eq!(
            (takes("If-None-Match"), answers("304")),
            (reads_one, reads_one),
            "{what}"
        );
        if path.starts_with("/api/v1/") {
            assert!(answers("401") && answers("503"), "{what}");
        }
        // Whatever it refers to is there.
        for (_, response) in operation["responses"].as_object().unwrap() {
            assert!(
                resolve(&document, response)["description"].is_string(),
                "{what}"
            );
        }
    }
}
