//! The local stack's files: valid by the compose schema, and as the contract has
//! them. That what they say works is told in `stack_runs.rs`.

use std::collections::{BTreeSet, HashMap};

use agentidp_core::settings::SETTINGS;
use serde_json::{Value, json};

use crate::support::compose::{check, fill, texts, variables, yaml};
use crate::support::root;

const FILES: [&str; 2] = ["compose.yaml", "compose.monitoring.yaml"];

/// A file's services that are made here: the overlay adds a network to `app`.
fn services(file: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let services = file["services"].as_object().unwrap().iter();
    services
        .map(|(name, service)| (name.as_str(), service))
        .filter(|(_, service)| service.get("image").is_some())
}

/// A tag that names one build, such as `v3.5.0` or `17.10-bookworm`, and never moves on.
fn is_exact(image: &str) -> bool {
    let tag = image.split_once(':').map_or("", |(_, tag)| tag);
    let version = tag
        .split('-')
        .find(|part| part.contains(|c: char| c.is_ascii_digit()));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    version.is_some_and(|version| {
        let numbers: Vec<_> = version.trim_start_matches('v').split('.').collect();
        let dated = numbers.len() == 1 && version.len() == 8;
        numbers.iter().all(|number| digits(number)) && (numbers.len() >= 2 || dated)
    })
}

#[tokio::test]
async fn the_compose_files_are_valid_by_the_compose_schema_and_a_misspelt_one_is_not() {
    let outcome = check(&FILES.map(|file| root().join(file))).await;
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{said}");

    let folder = std::env::temp_dir().join(format!("agentidp-{:08x}", rand::random::<u32>()));
    std::fs::create_dir(&folder).unwrap();
    let text = std::fs::read_to_string(root().join("compose.yaml")).unwrap();
    let misspelt = folder.join("compose.yaml");
    std::fs::write(&misspelt, text.replace("depends_on:", "depend_on:")).unwrap();
    let outcome = check(&[misspelt]).await;
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(
        !outcome.status.success() && said.contains("depend_on"),
        "{said}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_stack_is_the_contracts() {
    let [stack, monitoring] = [yaml(FILES[0]).await, yaml(FILES[1]).await];
    assert_eq!(stack["name"], "sentryagent-idp");
    let names: BTreeSet<_> = services(&stack).map(|(name, _)| name).collect();
    assert_eq!(names, BTreeSet::from(["app", "edge", "postgres", "redis"]));
    let names: BTreeSet<_> = services(&monitoring).map(|(name, _)| name).collect();
    assert_eq!(names, BTreeSet::from(["grafana", "prometheus"]));
    for (store, volume) in [("postgres", "postgres-data"), ("redis", "redis-data")] {
        assert!(stack["volumes"].get(volume).is_some());
        let mounted = stack["services"][store]["volumes"][0].as_str().unwrap();
        assert!(mounted.starts_with(&format!("{volume}:/")), "{mounted}");
        // Nobody outside reaches a store.
        assert!(stack["services"][store].get("ports").is_none());
        assert_eq!(stack["services"][store]["networks"], json!(["stores"]));
    }
    assert_eq!(stack["networks"]["stores"]["internal"], true);
    let ports = |file: &Value, name: &str| file["services"][name]["ports"].clone();
    assert_eq!(
        ports(&monitoring, "prometheus"),
        json!(["127.0.0.1:9090:9090"])
    );
    assert_eq!(
        ports(&monitoring, "grafana"),
        json!(["127.0.0.1:3001:3000"])
    );

    for (name, service) in services(&stack).chain(services(&monitoring)) {
        assert!(is_exact(service["image"].as_str().unwrap()), "{name}");
        let check = service["healthcheck"]["test"].as_array().unwrap();
        assert!(check[0] == "CMD" || check[0] == "CMD-SHELL", "{name}");
        let ports = service.get("ports").and_then(Value::as_array);
        for port in ports.into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}");
        }
        // Each waits for what it needs to be healthy.
        let waits: &[&str] = match name {
            "app" => &["postgres", "redis"],
            "edge" | "prometheus" => &["app"],
            "grafana" => &["prometheus"],
            _ => &[],
        };
        let waiting = service.get("depends_on").and_then(Value::as_object);
        assert_eq!(
            waiting.map_or(0, serde_json::Map::len),
            waits.len(),
            "{name}"
        );
        for other in waits {
            let condition = &service["depends_on"][other]["condition"];
            assert_eq!(condition, "service_healthy", "{name}");
        }
    }
}

#[test]
fn a_tag_that_moves_is_not_exact() {
    for image in [
        "redis",
        "redis:latest",
        "redis:7",
        "rust:slim",
        "debian:bookworm-slim",
        "node:22-slim",
    ] {
        assert!(!is_exact(image), "{image}");
    }
}

#[tokio::test]
async fn no_credential_is_written_down_and_every_variable_is_a_setting() {
    let [stack, monitoring] = [yaml(FILES[0]).await, yaml(FILES[1]).await];
    let used: BTreeSet<_> = [&stack, &monitoring]
        .into_iter()
        .flat_map(texts)
        .flat_map(variables)
        .collect();
    let settings: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    for variable in &used {
        assert!(settings.contains(variable.name.as_str()), "{variable:?}");
    }
    // And no setting is left out: compose decides it, or hands it on.
    let decided: BTreeSet<&str> = services(&stack)
        .filter_map(|(_, service)| service["environment"].as_object())
        .flat_map(|environment| environment.keys().map(String::as_str))
        .chain(used.iter().map(|variable| variable.name.as_str()))
        .collect();
    for setting in SETTINGS {
        assert!(decided.contains(setting.name), "{}", setting.name);
    }

    let secret = |name: &str| {
        ["PASSWORD", "SECRET", "PRIVATE_KEY"]
            .iter()
            .any(|word| name.contains(word))
    };
    let mut secrets = 0;
    for (name, service) in services(&stack).chain(services(&monitoring)) {
        let environment = service.get("environment").and_then(Value::as_object);
        for (key, value) in environment.into_iter().flatten() {
            let value = value.as_str().unwrap();
            assert!(!value.contains('@'), "{name}: {key} holds somebody's name");
            if secret(key) {
                // The variable and nothing else, without a default.
                let inside = value
                    .strip_prefix("${")
                    .and_then(|rest| rest.strip_suffix('}'));
                let (variable, otherwise) = inside.unwrap().split_once(':').unwrap();
                assert!(secret(variable), "{name}: {key}");
                assert!(
                    otherwise.starts_with('?') || otherwise == "-",
                    "{name}: {key}"
                );
                secrets += 1;
            }
        }
    }
    assert_eq!(
        secrets, 7,
        "three passwords, a key, the edge's credential, its sign to origins and its gateway's to it"
    );

    // What must be set is asked for by name.
    let mut vars: HashMap<String, String> = used
        .iter()
        .map(|variable| (variable.name.clone(), "x".to_owned()))
        .collect();
    assert!(fill(&stack, &vars).is_ok());
    for name in [
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "POSTGRES_DB",
        "JWT_PRIVATE_KEY",
        "JWT_PUBLIC_KEY",
    ] {
        let value = vars.remove(name).unwrap();
        assert_eq!(
            fill(&stack, &vars).unwrap_err(),
            format!("{name} is not set")
        );
        vars.insert(name.to_owned(), value);
    }
    vars.remove("GF_ADMIN_PASSWORD");
    assert!(fill(&stack, &vars).is_ok());
    assert_eq!(
        fill(&monitoring, &vars).unwrap_err(),
        "GF_ADMIN_PASSWORD is not set"
    );
}

/// A Dockerfile's instructions, each with its stage.
fn instructions(text: &str) -> Vec<(String, String, String)> {
    let mut stage = String::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines().filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "FROM" {
            stage = rest.split_once(" AS ").unwrap().1.to_owned();
        }
        found.push((stage.clone(), word.to_owned(), rest.trim().to_owned()));
    }
    found
}

#[tokio::test]
async fn the_images_are_slim_and_run_by_uid_1001_what_compose_runs() {
    let text = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let instructions = instructions(&text);
    let of = |stage: &str, word: &str| -> Vec<&str> {
        let wanted = instructions
            .iter()
            .filter(|(s, w, _)| s == stage && w == word);
        wanted.map(|(_, _, rest)| rest.as_str()).collect()
    };

    let mut stages: Vec<&str> = Vec::new();
    for (stage, word, rest) in &instructions {
        match word.as_str() {
            "FROM" => {
                let image = rest.split(' ').next().unwrap();
                assert!(stages.contains(&image) || is_exact(image), "{image}");
                stages.push(stage);
            }
            "COPY" => {
                let mut words: Vec<&str> = rest.split_whitespace().collect();
                words.pop();
                match words[0].strip_prefix("--from=") {
                    Some(other) => assert!(stages.contains(&other), "{rest}"),
                    None => words.iter().for_each(|file| {
                        assert!(root().join(file).exists(), "{file}");
                    }),
                }
            }
            _ => {}
        }
    }
    assert!(stages.len() >= 4, "{stages:?}");

    let compose = yaml("compose.yaml").await;
    for image in ["app", "edge"] {
        assert_eq!(of(image, "USER"), ["1001:1001"]);
        assert!(of(image, "FROM")[0].starts_with("slim "));
        let service = &compose["services"][image];
        assert_eq!(service["build"]["target"], image);
        let tag = format!("sentryagent-idp-{image}:{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(service["image"], tag);
        let command: Value = serde_json::from_str(of(image, "CMD")[0]).unwrap();
        assert_eq!(service["command"], command);
        let (_, check) = of(image, "HEALTHCHECK")[0].split_once("CMD ").unwrap();
        let mut check: Vec<Value> = serde_json::from_str(check).unwrap();
        check.insert(0, json!("CMD"));
        assert_eq!(service["healthcheck"]["test"], json!(check));
    }
    assert_eq!(
        of("slim", "FROM")[0].split('-').nth(2),
        Some("slim AS slim")
    );
    assert!(of("slim", "RUN")[0].contains("useradd --uid 1001 "));

    // The compiler is the one that the repository names.
    let toolchain = std::fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.split('"').nth(1).unwrap();
    assert!(of("source", "FROM")[0].starts_with(&format!("rust:{channel}-slim-")));
    assert_eq!(of("source", "ENV"), [format!("RUSTUP_TOOLCHAIN={channel}")]);

    // No secret and no other machine's build goes into the context.
    let ignored = std::fs::read_to_string(root().join(".dockerignore")).unwrap();
    for left_out in [
        ".git",
        ".env",
        ".env.*",
        ".agentidp",
        "**/*.pem",
        "**/target",
    ] {
        assert!(ignored.lines().any(|line| line == left_out), "{left_out}");
    }
}
