//! A tenant's own policies: uploaded, watched, switched on, rolled back; and what
//! they can and cannot do to whom.

use agentidp_verify::Claims;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::guest::{Grant, denying, granting};
use crate::support::modules::{component, policy};
use crate::support::{Client, Deployment, Tenant, root, text};

/// What stands beside a module.
type Beside<'a> = &'a [(&'static str, Value)];

fn claims(token: &Value) -> Claims {
    let token = token["access_token"].as_str().unwrap();
    let payload = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    serde_json::from_slice(&payload).unwrap()
}

async fn ask(deployment: &Deployment, client: &Client) -> (StatusCode, Value) {
    let answer = deployment.ask_token(client, &[]).await;
    (answer.status(), answer.json().await.unwrap())
}

fn path(tenant: &Tenant, rest: &str) -> String {
    format!("/tenants/{}/policy{rest}", tenant.org_id)
}

#[tokio::test]
async fn a_version_is_uploaded_watched_switched_on_and_rolled_back() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;

    // Watched: it decides beside nobody, and what it says does not count.
    let no = deployment
        .put_policy(&tenant, &denying("Not today."), &[], "shadow")
        .await;
    let (status, token) = ask(&deployment, &tenant.agent).await;
    assert_eq!(status, StatusCode::OK);
    let issued = text(&token, "decision_id");
    assert_eq!(issued, claims(&token).jti);
    let differences = format!("/versions/{no}/differences");
    let seen = deployment
        .must(&admin, "GET", &path(&tenant, &differences), None)
        .await;
    assert_eq!(seen["data"][0]["decision_id"], issued.as_str());
    assert_eq!(seen["data"][0]["was"]["decision"], "allow");
    assert_eq!(seen["data"][0]["would_be"]["reason"], "Not today.");

    // Switched on: it denies, and says which decision that was.
    let activate = format!("/versions/{no}/activate");
    deployment
        .must(&admin, "POST", &path(&tenant, &activate), None)
        .await;
    let (status, refused) = ask(&deployment, &tenant.agent).await;
    assert_eq!(
        (status, &refused["error"], &refused["error_description"]),
        (
            StatusCode::BAD_REQUEST,
            &json!("access_denied"),
            &json!("Not today.")
        )
    );
    let why = format!("/decisions/{}", text(&refused, "decision_id"));
    let why = deployment.must(&admin, "GET", &why, None).await;
    assert_eq!(why["decision"], "deny");
    assert_eq!(why["steps"][1]["by"], "tier");
    assert_eq!(why["steps"][1]["took_away"], json!([]));
    assert_eq!(why["steps"][2]["by"], "tenant");
    assert_eq!(
        why["steps"][2]["took_away"],
        json!(["files:read", "files:write"])
    );
    assert_eq!(why["steps"][2]["verdict"]["policy"], no.as_str());
    // It does not judge whoever could switch it off.
    deployment.token(&tenant.administrator).await;

    // Another one takes its place: fewer scopes, a shorter life, a claim.
    let grant = Grant {
        scopes: &["files:read", "tenants:write"],
        lifetime_s: Some(60),
        requests_per_minute: Some(7),
        claims: &[("team", "blue"), ("sub", "root")],
    };
    let some = deployment
        .put_policy(
            &tenant,
            &granting(&grant),
            &[("claims", json!(["team"]))],
            "activate",
        )
        .await;
    let (status, token) = ask(&deployment, &tenant.agent).await;
    assert_eq!(
        (status, &token["scope"], &token["expires_in"]),
        (StatusCode::OK, &json!("files:read"), &json!(60))
    );
    let said = claims(&token);
    assert_eq!(
        (said.agentidp.policy.as_str(), said.agentidp.rpm),
        (some.as_str(), Some(7))
    );
    assert_eq!(said.sub, tenant.agent.id);
    assert_eq!(
        said.ext.into_iter().collect::<Vec<_>>(),
        [("team".to_owned(), "blue".to_owned())]
    );

    // Back by one call, and off by another.
    let back = deployment
        .must(&admin, "POST", &path(&tenant, "/rollback"), None)
        .await;
    assert_eq!(
        (&back["digest"], &back["state"]),
        (&json!(no), &json!("active"))
    );
    assert_eq!(
        ask(&deployment, &tenant.agent).await.0,
        StatusCode::BAD_REQUEST
    );
    let retire = format!("/versions/{no}/retire");
    deployment
        .must(&admin, "POST", &path(&tenant, &retire), None)
        .await;
    let (status, token) = ask(&deployment, &tenant.agent).await;
    assert_eq!(
        (status, &token["scope"]),
        (StatusCode::OK, &json!("files:read files:write"))
    );
    let in_force = deployment
        .must(&admin, "GET", &path(&tenant, ""), None)
        .await;
    assert_eq!(in_force, json!({ "active": null, "shadow": null }));
    let all = deployment
        .must(&admin, "GET", &path(&tenant, "/versions"), None)
        .await;
    let states: Vec<&Value> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["retired", "retired"]);
    assert_eq!(deployment.events("policy.activated").await, 3);
    deployment.stop().await;
}

#[tokio::test]
async fn nothing_of_one_decision_is_there_at_the_next() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let decide = "(if (global.get $asked) (then unreachable)) (global.set $asked (i32.const 1)) (i32.const 4096)";
    let more = r#"(global $asked (mut i32) (i32.const 0))
        (data (i32.const 4096) "\01\00\00\00\10\10\00\00\06\00\00\00")
        (data (i32.const 4112) "Fresh.")"#;
    let fresh = component(&policy(decide, more));
    deployment
        .put_policy(&tenant, &fresh, &[], "activate")
        .await;
    for _ in 0..5 {
        let (_, refused) = ask(&deployment, &tenant.agent).await;
        assert_eq!(refused["error_description"], "Fresh.");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn a_spent_day_still_lets_a_bad_policy_be_switched_off() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    for reason in ["First.", "Second."] {
        deployment
            .put_policy(&tenant, &denying(reason), &[], "activate")
            .await;
    }
    let admin = deployment.token(&tenant.administrator).await;
    deployment.set_tier("pro", "calls_per_day", Some(1)).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let try_it = Some(json!({ "scopes": ["files:read"] }));
    let (status, _) = deployment
        .call(&admin, "POST", &path(&tenant, "/try"), try_it)
        .await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let back = deployment
        .must(&admin, "POST", &path(&tenant, "/rollback"), None)
        .await;
    let digest = text(&back, "digest");
    // Said twice, it is left once.
    let (status, _) = deployment
        .call(
            &admin,
            "POST",
            &path(&tenant, "/rollback"),
            Some(json!({ "from": "0".repeat(64) })),
        )
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let retire = format!("/versions/{digest}/retire");
    deployment
        .must(&admin, "POST", &path(&tenant, &retire), None)
        .await;
    assert_eq!(ask(&deployment, &tenant.agent).await.0, StatusCode::OK);
    deployment.stop().await;
}

#[tokio::test]
async fn what_a_version_would_do_is_seen_before_it_counts() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    for _ in 0..12 {
        deployment.token(&tenant.agent).await;
    }
    let admin = deployment.token(&tenant.administrator).await;
    let (status, no) = deployment
        .upload(&admin, &tenant.org_id, &denying("Never."), &[])
        .await;
    assert_eq!(status, StatusCode::CREATED, "{no}");
    // The same upload again is the same version.
    let (status, again) = deployment
        .upload(&admin, &tenant.org_id, &denying("Never."), &[])
        .await;
    assert_eq!((status, &again["digest"]), (StatusCode::OK, &no["digest"]));

    let replay = format!("/versions/{}/replay", text(&no, "digest"));
    let replayed = deployment
        .must(
            &admin,
            "POST",
            &path(&tenant, &replay),
            Some(json!({ "limit": 10 })),
        )
        .await;
    assert_eq!(
        (
            &replayed["kept"],
            &replayed["replayed"],
            &replayed["would_deny"]
        ),
        (&json!(10), &json!(10), &json!(10)),
        "{replayed}"
    );
    let first = &replayed["changes"][0];
    assert_eq!(first["agent_id"], tenant.agent.id.as_str());
    assert_eq!(first["would_be"]["reason"], "Never.");

    let grant = Grant {
        scopes: &["files:read", "admin"],
        lifetime_s: Some(u32::MAX),
        requests_per_minute: Some(1),
        claims: &[("iss", "me")],
    };
    let (_, some) = deployment
        .upload(&admin, &tenant.org_id, &granting(&grant), &[])
        .await;
    let made_up = json!({ "version": some["digest"], "scopes": ["files:read", "files:write"] });
    let tried = deployment
        .must(&admin, "POST", &path(&tenant, "/try"), Some(made_up))
        .await;
    assert_eq!(tried["decision"], "allow");
    let tenants = &tried["tenant"];
    assert_eq!(
        (
            &tenants["scope"],
            &tenants["lifetime_s"],
            &tenants["claims"]
        ),
        (&json!("files:read"), &json!(3600), &json!({}))
    );
    assert_eq!(tenants["notes"].as_array().unwrap().len(), 3, "{tried}");
    assert!(tenants["fuel"].as_u64().unwrap() > 0);
    // Nothing of all that counted.
    assert_eq!(
        ask(&deployment, &tenant.agent).await.1["scope"],
        "files:read files:write"
    );
    deployment.stop().await;
}

#[tokio::test]
async fn a_policy_that_fails_denies_is_reported_and_hurts_nobody_else() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let neighbour = deployment.tenant("pro").await;
    for guest in ["endless-loop", "unreachable", "memory-bomb", "list-bomb"] {
        let wat = root().join(format!("policies/hostile/{guest}.wat"));
        let wat = component(&std::fs::read_to_string(wat).unwrap());
        deployment.put_policy(&tenant, &wat, &[], "activate").await;
        for _ in 0..5 {
            let (status, refused) = ask(&deployment, &tenant.agent).await;
            assert_eq!(
                (status, &refused["error_description"]),
                (
                    StatusCode::BAD_REQUEST,
                    &json!("The policy could not decide.")
                ),
                "{guest}"
            );
            deployment.token(&neighbour.agent).await;
        }
        // Its administrators switch it off.
        deployment.token(&tenant.administrator).await;
    }
    assert_eq!(deployment.events("token.denied").await, 20);
    let metrics = deployment.http.get(format!("{}/metrics", deployment.url));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let failures = format!(
        "agentidp_policy_failures_total{{module=\"tenant\",org_id=\"{}\"}} 20",
        tenant.org_id
    );
    assert!(metrics.contains(&failures), "{metrics}");
    deployment.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_no_policy_is_refused_and_leaves_the_active_one_as_it_was() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let other = deployment.tenant("pro").await;
    let active = deployment
        .put_policy(&tenant, &denying("Still here."), &[], "activate")
        .await;
    let admin = deployment.token(&tenant.administrator).await;
    let good = denying("x");
    let oversized = vec![0; (1 << 20) + 1];
    let cases: [(&[u8], Beside<'_>, u16); 8] = [
        (b"not wasm", &[], 422),
        (b"", &[], 422),
        (&good[..good.len() / 2], &[], 422),
        (&oversized, &[], 413),
        (&good, &[("claims", json!(["sub"]))], 422),
        (&good, &[("claims", json!("team"))], 422),
        (&good, &[("settings", json!({ "a": 1 }))], 422),
        (&good, &[("other", json!({}))], 422),
    ];
    for (module, beside, expected) in cases {
        let (status, body) = deployment
            .upload(&admin, &tenant.org_id, module, beside)
            .await;
        assert_eq!(status.as_u16(), expected, "{beside:?} {body}");
    }
    let (status, _) = deployment.upload(&admin, &other.org_id, &good, &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let url = format!("{}/api/v1{}", deployment.url, path(&tenant, ""));
    let bare = deployment.http.put(&url).bearer_auth(&admin);
    let bare = bare
        .header("content-type", "application/wasm")
        .body(good.clone());
    assert_eq!(bare.send().await.unwrap().status(), StatusCode::CREATED);
    let json = deployment
        .http
        .put(&url)
        .bearer_auth(&admin)
        .json(&json!({}));
    assert_eq!(json.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let stranger = deployment
        .http
        .put(&url)
        .body(oversized)
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);

    let in_force = deployment
        .must(&admin, "GET", &path(&tenant, ""), None)
        .await;
    assert_eq!(in_force["active"]["digest"], active.as_str());
    let (_, refused) = ask(&deployment, &tenant.agent).await;
    assert_eq!(refused["error_description"], "Still here.");
    let delete = format!("/versions/{active}");
    let (status, _) = deployment
        .call(&admin, "DELETE", &path(&tenant, &delete), None)
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    deployment.stop().await;
}

#[tokio::test]
async fn a_decision_is_asked_for_in_the_words_of_authzen() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let evaluate = async |subject: &str, resource: &str, action: &str| {
        let answer = deployment
            .http
            .post(format!("{}/access/v1/evaluation", deployment.url))
            .bearer_auth(&admin)
            .header("x-request-id", "r-1")
            .json(&json!({
                "subject": { "type": "agent", "id": subject, "properties": { "x": 1 } },
                "resource": { "type": "api", "id": resource },
                "action": { "name": action },
                "context": { "time": "now" },
            }))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["x-request-id"], "r-1");
        let body: Value = answer.json().await.unwrap();
        body["decision"].as_bool().unwrap()
    };
    let (agent, resource) = (tenant.agent.id.clone(), tenant.resource.clone());
    assert!(evaluate(&agent, &resource, "files:read").await);
    assert!(!evaluate(&agent, &resource, "files:delete").await);
    assert!(!evaluate(&agent, "https://elsewhere.example", "files:read").await);
    assert!(!evaluate("nobody", &resource, "files:read").await);
    let other = deployment.tenant("pro").await;
    assert!(!evaluate(&other.agent.id, &other.resource, "files:read").await);
    let issued = deployment.events("token.issued").await;

    let grant = Grant {
        scopes: &["files:write"],
        ..Grant::default()
    };
    deployment
        .put_policy(&tenant, &granting(&grant), &[], "activate")
        .await;
    assert!(!evaluate(&agent, &resource, "files:read").await);
    assert!(evaluate(&agent, &resource, "files:write").await);
    // One administrator's token was got on the way; an evaluation leaves none.
    assert_eq!(deployment.events("token.issued").await, issued + 1);

    let metadata = format!("{}/.well-known/authzen-configuration", deployment.url);
    let metadata: Value = deployment
        .http
        .get(metadata)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    for (member, path) in [
        ("access_evaluation_endpoint", "evaluation"),
        ("access_evaluations_endpoint", "evaluations"),
    ] {
        let endpoint = format!("{}/access/v1/{path}", deployment.issuer());
        assert_eq!(metadata[member], endpoint);
    }
    deployment.stop().await;
}

#[tokio::test]
async fn several_decisions_are_asked_for_in_one_call_with_what_is_the_same_said_once() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let ask = async |body: Value| {
        let answer = deployment
            .http
            .post(format!("{}/access/v1/evaluations", deployment.url))
            .bearer_auth(&admin)
            .json(&body)
            .send()
            .await
            .unwrap();
        (
            answer.status(),
            answer.json::<Value>().await.unwrap_or_default(),
        )
    };
    let subject = json!({ "type": "agent", "id": tenant.agent.id });
    let asked = |semantic: &str, actions: &[&str]| {
        let evaluations: Vec<Value> = actions
            .iter()
            .map(|name| json!({ "action": { "name": name } }))
            .collect();
        json!({
            "subject": subject,
            "resource": { "type": "api", "id": tenant.resource },
            "evaluations": evaluations,
            "options": { "evaluations_semantic": semantic },
        })
    };
    let (yes, no) = ("files:read", "files:delete");
    for (semantic, actions, expected) in [
        ("execute_all", [yes, no, yes], &[true, false, true][..]),
        ("deny_on_first_deny", [yes, no, yes], &[true, false][..]),
        ("permit_on_first_permit", [no, yes, no], &[false, true][..]),
    ] {
        let (status, answer) = ask(asked(semantic, &actions)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let outcomes = answer["evaluations"].as_array().unwrap().iter();
        let decisions: Vec<bool> = outcomes
            .map(|outcome| outcome["decision"].as_bool().unwrap())
            .collect();
        assert_eq!(decisions, expected, "{semantic}: {answer}");
    }

    // One that says otherwise, and one that says too little.
    let mut mixed = asked("execute_all", &[yes]);
    let elsewhere = json!({ "type": "api", "id": "https://elsewhere.example" });
    let evaluations = mixed["evaluations"].as_array_mut().unwrap();
    evaluations.push(json!({ "action": { "name": yes }, "resource": elsewhere }));
    evaluations.push(json!({}));
    let (_, answer) = ask(mixed).await;
    assert_eq!(answer["evaluations"][0]["decision"], true, "{answer}");
    assert_eq!(answer["evaluations"][1]["decision"], false, "{answer}");
    let error = &answer["evaluations"][2]["context"]["error"];
    assert_eq!(error["status"], 400, "{answer}");

    // Without any it is the one that stands there.
    let mut alone = asked("execute_all", &[]);
    alone["action"] = json!({ "name": yes });
    let (status, answer) = ask(alone).await;
    assert_eq!(
        (status, &answer["decision"]),
        (StatusCode::OK, &json!(true))
    );
    let (status, _) = ask(asked("execute_all", &[yes; 51])).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    for (semantic, evaluations) in [("at_random", json!([])), ("execute_all", json!("all"))] {
        let mut unreadable = asked(semantic, &[yes]);
        if !evaluations.is_array() {
            unreadable["evaluations"] = evaluations;
        }
        let (status, answer) = ask(unreadable).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    }
    let refused = deployment
        .http
        .post(format!("{}/access/v1/evaluations", deployment.url))
        .bearer_auth("none")
        .json(&asked("execute_all", &[yes]))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    deployment.stop().await;
}
