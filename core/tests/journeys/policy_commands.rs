//! `agentidp policy check|try|push`, as a tenant uses them.

use serde_json::{Value, json};

use crate::support::guest::{Grant, denying, granting};
use crate::support::modules::core_module;
use crate::support::{Deployment, run, secrets};

#[tokio::test]
async fn a_module_is_checked_tried_and_pushed_from_the_command_line() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let file = |name: &str, bytes: &[u8]| {
        let path = deployment.folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut vars = deployment.vars().clone();
    for (name, value) in [
        ("AGENTIDP_URL", &deployment.url),
        ("AGENTIDP_ORG_ID", &tenant.org_id),
        ("AGENTIDP_ADMIN_CLIENT_ID", &tenant.administrator.id),
        ("AGENTIDP_ADMIN_CLIENT_SECRET", &tenant.administrator.secret),
    ] {
        vars.insert(name.to_owned(), value.clone());
    }
    let policy = async |arguments: &[&str]| {
        let (good, printed, why) = run(&[&["policy"], arguments].concat(), &vars).await;
        let shown: Value = serde_json::from_str(&printed).unwrap_or_default();
        (good, shown, why)
    };

    // Checked: what a service would refuse is refused here, in the same words.
    let bad = file("bad.wasm", b"not wasm");
    let (good, _, why) = policy(&["check", &bad]).await;
    assert!(!good && why.contains("not a WebAssembly module"), "{why}");
    let importing = r#"(module (import "env" "clock" (func)) (memory (export "memory") 1))"#;
    let importing = file("importing.wasm", &core_module(importing));
    let (good, _, why) = policy(&["check", &importing]).await;
    assert!(!good && why.contains("imports `env.clock`"), "{why}");
    let no = file("no.wasm", &denying("Closed."));
    let (good, shown, why) = policy(&["check", &no]).await;
    assert!(
        good && shown["machine_code_bytes"].as_u64() > Some(0),
        "{why}"
    );

    // Tried: what it says, what it may not say, and what it burns.
    let (good, shown, why) = policy(&["try", &no]).await;
    assert!(good, "{why}");
    assert_eq!(
        (&shown["decision"], &shown["reason"]),
        (&json!("deny"), &json!("Closed."))
    );
    let grant = Grant {
        scopes: &["files:read", "admin"],
        claims: &[("team", "blue")],
        ..Grant::default()
    };
    let some = file("some.wasm", &granting(&grant));
    let request = r#"{"scopes":["files:read"],"deployment_env":"staging"}"#;
    let arguments = ["try", &some, "--request", request, "--claim", "team"];
    let (good, shown, why) = policy(&arguments).await;
    assert!(good, "{why}");
    assert_eq!(
        (
            &shown["scope"],
            &shown["claims"]["team"],
            shown["notes"].as_array().unwrap().len()
        ),
        (&json!("files:read"), &json!("blue"), 1)
    );

    // Pushed, and in force with the answer.
    let (good, shown, why) = policy(&["push", &no, "--setting", "open=8", "--activate"]).await;
    assert!(good, "{why}");
    assert_eq!(
        (&shown["state"], &shown["settings"]["open"]),
        (&json!("active"), &json!("8"))
    );
    let refused = deployment.ask_token(&tenant.agent, &[]).await;
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["error_description"], "Closed.");
    let (good, _, why) = policy(&["push", &bad]).await;
    assert!(!good && why.contains("422"), "{why}");
    vars.insert(
        "AGENTIDP_ADMIN_CLIENT_SECRET".to_owned(),
        "wrong".to_owned(),
    );
    let (good, _, why) = run(&["policy", "push", &no], &vars).await;
    assert!(!good && why.contains("401"), "{why}");
    secrets::keep_credential(&tenant.administrator.id, &tenant.administrator.secret);
    deployment.stop().await;
}
