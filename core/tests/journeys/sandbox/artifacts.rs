//! Compiled modules in the database: taken by every replica, and by none when they
//! are not what was stored.

use agentidp_core::policy::{Decision, Denial};

use super::{Sandbox, ask, sandbox};
use crate::support::modules::{core_module, policy};

/// One that says `word`, of eight letters.
fn saying(word: &str) -> Vec<u8> {
    core_module(&policy(
        "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 65000)) (i32.store (i32.const 2056) (i32.const 8)) (i32.const 2048)",
        &format!(r#"(data (i32.const 65000) "{word}")"#),
    ))
}

fn said(word: &str) -> Decision {
    Decision::Deny(Denial::Said(word.to_owned()))
}

type Stored = (String, Vec<u8>, Vec<u8>);

async fn stored(sandbox: &Sandbox, module: &str) -> Stored {
    sqlx::query_as("SELECT engine, artifact, mac FROM policy_artifacts WHERE module_digest = $1")
        .bind(module)
        .fetch_one(&sandbox.deployment.pool)
        .await
        .unwrap()
}

async fn replace(sandbox: &Sandbox, module: &str, (_, artifact, mac): &Stored) {
    sqlx::query("UPDATE policy_artifacts SET artifact = $2, mac = $3 WHERE module_digest = $1")
        .bind(module)
        .bind(artifact)
        .bind(mac)
        .execute(&sandbox.deployment.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_artifact_that_somebody_changed_is_never_run_and_is_made_anew() {
    let here = Sandbox::start().await;
    let (one, other) = (saying("this one"), saying("that one"));
    here.upload(&one).await.0.unwrap();
    here.upload(&other).await.0.unwrap();
    let (one, other) = (here.put(&one).await, here.put(&other).await);
    let (good, foreign) = (stored(&here, &one).await, stored(&here, &other).await);
    println!("{} bytes", good.1.len());
    assert_ne!(good.1, foreign.1);

    let mut changed = good.clone();
    let middle = changed.1.len() / 2;
    changed.1[middle] ^= 1;
    let mut unsealed = good.clone();
    unsealed.2 = vec![0; 32];
    let mut short = good.clone();
    short.1.pop();
    for bad in [changed, unsealed, short, foreign] {
        replace(&here, &one, &bad).await;
        // As another replica, or this one after a restart.
        let replica = sandbox(&here.deployment);
        let verdict = ask(&replica, &here.database, here.org_id, &one).await;
        assert_eq!(verdict.decision, said("this one"));
        assert_eq!(stored(&here, &one).await, good);
    }
    here.stop().await;
}

#[tokio::test]
async fn replicas_share_what_one_compiled_and_need_no_compiler_for_it() {
    let here = Sandbox::start().await;
    let module = saying("shared!!");
    here.upload(&module).await.0.unwrap();
    let digest = here.put(&module).await;
    let key = agentidp_core::config::Pem::from(here.deployment.private_key.clone());
    let without = agentidp_core::policy::Policies::start(&key, "/nowhere/agentidp".into()).unwrap();
    let verdict = ask(&without, &here.database, here.org_id, &digest).await;
    assert_eq!(verdict.decision, said("shared!!"));

    // What is not there yet cannot be had there, and that is not remembered.
    let later = saying("later on");
    let digest = here.put(&later).await;
    let verdict = ask(&without, &here.database, here.org_id, &digest).await;
    assert!(
        matches!(&verdict.decision, Decision::Deny(Denial::NoModule(_))),
        "{verdict:?}"
    );
    here.upload(&later).await.0.unwrap();
    let verdict = ask(&without, &here.database, here.org_id, &digest).await;
    assert_eq!(verdict.decision, said("later on"));
    here.stop().await;
}
