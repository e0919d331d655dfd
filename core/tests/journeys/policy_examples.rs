//! What a tenant writes policies with: the SDK and the examples pass their own
//! tests, a copy of the template becomes a policy, and each does what it says.

use std::path::PathBuf;

use agentidp_core::clock::Now;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::modules::component_of;
use crate::support::policy::{cargo, example, module_path, put_version, succeed};
use crate::support::{Client, Deployment, Tenant, claims, root, secrets, text};

/// An agent of the tenant's that may read and write, and is as `more` says.
async fn agent(deployment: &Deployment, tenant: &Tenant, name: &str, more: Value) -> Client {
    let administrator = deployment.token(&tenant.administrator).await;
    let agent = deployment
        .agent(&administrator, name, &["files:read", "files:write"])
        .await;
    let path = format!("/agents/{}", agent.id);
    deployment
        .must(&administrator, "PATCH", &path, Some(more))
        .await;
    agent
}

/// What the agent is answered; a token's claims stand beside it as `claims`.
async fn ask(deployment: &Deployment, agent: &Client, scope: &str) -> (StatusCode, Value) {
    let answer = deployment.ask_token(agent, &[("scope", scope)]).await;
    let status = answer.status();
    let mut body: Value = answer.json().await.unwrap();
    if let Some(token) = body["access_token"].as_str() {
        secrets::keep_token(token);
        body["claims"] = claims(token);
    }
    (status, body)
}

async fn is_granted(deployment: &Deployment, agent: &Client, scope: &str) -> Value {
    let (status, body) = ask(deployment, agent, scope).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn is_denied(deployment: &Deployment, agent: &Client, scope: &str, why: &str) {
    let (status, body) = ask(deployment, agent, scope).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(
        (&body["error"], &body["message"]),
        (&json!("access_denied"), &json!(why)),
        "{body}"
    );
}

const BOTH: &str = "files:read files:write";

#[tokio::test]
async fn the_sdk_and_the_examples_pass_their_own_tests() {
    let folder = root().join("policies");
    let mut command = cargo("cargo");
    command.args(["test", "--locked"]).current_dir(&folder);
    let printed = succeed(&mut command).await;
    let passed: u32 = printed
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .map(|line| line.split(' ').next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert!(passed >= 50, "{printed}");
    for example in std::fs::read_dir(folder.join("examples")).unwrap() {
        let source = example.unwrap().path().join("src/lib.rs");
        let source = std::fs::read_to_string(source).unwrap();
        assert!(source.matches("#[test]").count() >= 3, "{source}");
    }
}

/// The parts of the page that are in this language.
fn blocks_of_the_page(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/policies.md")).unwrap();
    let start = format!("```{language}\n");
    let parts = page.split(&start).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

/// Outside of the repository, and each time the same: cargo keeps something for each
/// place of a package.
fn place_for_a_copy() -> PathBuf {
    let place = Sha256::digest(root().as_os_str().as_encoded_bytes());
    let place = data_encoding::HEXLOWER.encode(&place[..4]);
    std::env::temp_dir().join(format!("agentidp-my-policy-{place}"))
}

#[tokio::test]
async fn a_copy_of_the_template_as_the_page_has_it_becomes_a_policy_that_refuses_a_token() {
    let place = place_for_a_copy();
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir(&place).unwrap();
    std::os::unix::fs::symlink(root().join("policies"), place.join("policies")).unwrap();
    let commands = blocks_of_the_page("sh").swap_remove(0);
    let (first, rest) = commands.split_once('\n').unwrap();
    assert_eq!(first, "cp -r policies/template my-policy");
    assert!(rest.contains("cargo test\n"), "{rest}");
    let mut shell = cargo("sh");
    shell.args(["-e", "-c", &commands]).current_dir(&place);
    let printed = succeed(&mut shell).await;
    assert!(printed.contains("3 passed"), "{printed}");
    // What the page shows is what is there.
    let source = std::fs::read_to_string(place.join("my-policy/src/lib.rs")).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = blocks_of_the_page("rust");
    assert!(shown.len() >= 2, "{shown:?}");
    for shown in shown {
        assert!(words(&source).contains(&words(&shown)), "{shown}");
    }
    let locked = |folder: PathBuf| std::fs::read(folder.join("Cargo.lock")).unwrap();
    let template = root().join("policies/template");
    assert_eq!(locked(place.join("my-policy")), locked(template));
    let module = std::fs::read(module_path("my-policy")).unwrap();
    std::fs::remove_dir_all(&place).unwrap();

    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    is_granted(&deployment, &tenant.agent, BOTH).await;
    put_version(&deployment, &tenant, &component_of(&module), &[], &[]).await;
    let why = "Writing needs the capability `reviewed`.";
    is_denied(&deployment, &tenant.agent, BOTH, why).await;
    let reading = is_granted(&deployment, &tenant.agent, "files:read").await;
    assert_eq!(reading["expires_in"], 3_600);
    let reviewed = json!({ "capabilities": ["reviewed"] });
    let reviewed = agent(&deployment, &tenant, "reviewed", reviewed).await;
    let writing = is_granted(&deployment, &reviewed, BOTH).await;
    assert_eq!(writing["expires_in"], 300);
    // The administrator is not judged.
    deployment.token(&tenant.administrator).await;
    deployment.stop().await;
}

/// So many minutes from now, as the example's settings have it.
fn in_minutes(minutes: i64) -> String {
    let then = Now::read().timestamp() + time::Duration::minutes(minutes);
    format!("{:02}:{:02}", then.hour(), then.minute())
}

#[tokio::test]
async fn business_hours_gives_tokens_while_it_is_open_and_until_it_closes() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let component = example("business-hours").await;
    let put = async |open: i64, close: i64, days: &str| {
        let (open, close) = (in_minutes(open), in_minutes(close));
        let settings = [("open", &*open), ("close", &*close), ("days", days)];
        put_version(&deployment, &tenant, &component, &settings, &[]).await;
    };
    let always = "mon tue wed thu fri sat sun";
    put(-60, 20, always).await;
    let granted = is_granted(&deployment, &tenant.agent, BOTH).await;
    let life = granted["expires_in"].as_u64().unwrap();
    assert!((18 * 60..=20 * 60).contains(&life), "{life}");
    put(60, -5, always).await;
    let why = "There are no tokens at this hour.";
    is_denied(&deployment, &tenant.agent, BOTH, why).await;
    let today = Now::read().timestamp().weekday().to_string().to_lowercase();
    let others = always.split(' ').filter(|day| !today.starts_with(day));
    put(-60, 60, &others.collect::<Vec<_>>().join(",")).await;
    let why = "There are no tokens on this day of the week.";
    is_denied(&deployment, &tenant.agent, BOTH, why).await;
    put(-60, 60, "funday").await;
    let why = "The policy's setting `days` names a day that there is not.";
    is_denied(&deployment, &tenant.agent, BOTH, why).await;
    deployment.stop().await;
}

#[tokio::test]
async fn deny_by_environment_lets_production_write_and_the_others_read() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let of = async |environment: &str| {
        let more = json!({ "deployment_env": environment });
        agent(&deployment, &tenant, environment, more).await
    };
    let (production, staging) = (of("production").await, of("staging").await);
    let component = example("deny-by-environment").await;
    put_version(&deployment, &tenant, &component, &[], &[]).await;
    assert_eq!(
        is_granted(&deployment, &production, BOTH).await["scope"],
        BOTH
    );
    let rest = is_granted(&deployment, &staging, BOTH).await;
    assert_eq!(rest["scope"], "files:read");
    let why = "Agents of this environment may not write.";
    is_denied(&deployment, &staging, "files:write", why).await;

    let settings = [("denied", "production"), ("what", "everything")];
    put_version(&deployment, &tenant, &component, &settings, &[]).await;
    let why = "Agents of this environment get no tokens.";
    is_denied(&deployment, &production, "files:read", why).await;
    is_granted(&deployment, &staging, BOTH).await;
    deployment.stop().await;
}

#[tokio::test]
async fn scopes_by_label_gives_each_agent_what_its_labels_say() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let with = async |label: &str| {
        let more = json!({ "capabilities": [label] });
        agent(&deployment, &tenant, label, more).await
    };
    let (reader, writer) = (with("reader").await, with("writer").await);
    let component = example("scopes-by-label").await;
    let settings = [("files:read", "reader, writer"), ("files:write", "writer")];
    put_version(&deployment, &tenant, &component, &settings, &[]).await;
    let read = is_granted(&deployment, &reader, BOTH).await;
    assert_eq!(read["scope"], "files:read");
    assert_eq!(is_granted(&deployment, &writer, BOTH).await["scope"], BOTH);
    let why = "The agent has no label that one of these scopes needs.";
    is_denied(&deployment, &tenant.agent, BOTH, why).await;
    deployment.stop().await;
}

#[tokio::test]
async fn budget_by_usage_stops_at_its_share_and_the_exempt_go_on() {
    let deployment = Deployment::start().await;
    deployment.set_tier("pro", "tokens_per_day", Some(20)).await;
    let tenant = deployment.tenant("pro").await;
    let on_call = json!({ "capabilities": ["on-call"] });
    let on_call = agent(&deployment, &tenant, "on-call", on_call).await;
    let component = example("budget-by-usage").await;
    let settings = [("day", "50"), ("exempt", "on-call")];
    put_version(&deployment, &tenant, &component, &settings, &[]).await;
    let day = format!("rate:tier:tokens:{}", tenant.org_id);
    while deployment.counter(&day).await < 10 {
        is_granted(&deployment, &tenant.agent, BOTH).await;
    }
    let why = "The tenant's budget for today is used. The day ends at midnight UTC.";
    for _ in 0..3 {
        is_denied(&deployment, &tenant.agent, BOTH, why).await;
    }
    assert_eq!(deployment.counter(&day).await, 10, "a denial uses nothing");
    is_granted(&deployment, &on_call, BOTH).await;
    deployment.stop().await;
}

#[tokio::test]
async fn step_down_near_the_limit_gives_shorter_tokens_with_fewer_requests() {
    let deployment = Deployment::start().await;
    deployment.set_tier("pro", "tokens_per_day", Some(20)).await;
    let tenant = deployment.tenant("pro").await;
    let component = example("step-down-near-the-limit").await;
    put_version(
        &deployment,
        &tenant,
        &component,
        &[("from", "80")],
        &["left"],
    )
    .await;
    let mut seen: Vec<(u64, u64, String)> = Vec::new();
    loop {
        let (status, body) = ask(&deployment, &tenant.agent, BOTH).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        assert_eq!(status, StatusCode::OK, "{body}");
        let number = |value: &Value| value.as_u64().unwrap();
        let claims = &body["claims"];
        let ext = &claims["ext"];
        let left = if ext.is_null() {
            "all".into()
        } else {
            text(ext, "left")
        };
        let rpm = number(&claims["agentidp"]["rpm"]);
        seen.push((number(&body["expires_in"]), rpm, left));
    }
    println!("{seen:?}");
    assert_eq!(seen.first(), Some(&(3_600, 1_000, "all".to_owned())));
    assert_eq!(seen.last(), Some(&(60, 10, "0".to_owned())));
    let half = (1_800, 500, "40".to_owned());
    assert!(seen.contains(&half), "{seen:?}");
    for pair in seen.windows(2) {
        assert!(pair[0].0 >= pair[1].0 && pair[0].1 >= pair[1].1, "{pair:?}");
    }
    deployment.stop().await;
}
