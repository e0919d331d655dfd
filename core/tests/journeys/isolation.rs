//! A tenant never sees that another tenant's things exist.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::modules::component;
use crate::support::{Deployment, root, text};

/// Status, headers (but the date) and body.
async fn whole_answer(
    deployment: &Deployment,
    token: &str,
    method: &Method,
    path: &str,
    body: &Option<Value>,
) -> String {
    let mut request = deployment
        .http
        .request(method.clone(), format!("{}/api/v1{path}", deployment.url))
        .bearer_auth(token);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let mut headers: Vec<String> = answer
        .headers()
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    format!(
        "{} {headers:?} {}",
        answer.status(),
        answer.text().await.unwrap()
    )
}

#[tokio::test]
async fn what_is_another_tenants_answers_exactly_as_what_is_not_there() {
    let deployment = Deployment::start().await;
    let (mine, theirs) = (
        deployment.tenant("pro").await,
        deployment.tenant("pro").await,
    );
    let my_admin = deployment.token(&mine.administrator).await;
    let their_admin = deployment.token(&theirs.administrator).await;
    let their_resource = deployment
        .must(&their_admin, "GET", "/resources", None)
        .await["data"][0]
        .clone();
    let path = format!("/agents/{}/credentials", theirs.agent.id);
    let their_credential =
        deployment.must(&their_admin, "GET", &path, None).await["data"][0].clone();
    let their_policy = format!("/tenants/{}/policy", theirs.org_id);
    let wat = std::fs::read_to_string(root().join("policies/hostile/unreachable.wat")).unwrap();
    let their_version: Value = deployment
        .http
        .put(format!("{}/api/v1{their_policy}", deployment.url))
        .bearer_auth(&their_admin)
        .header("content-type", "application/wasm")
        .body(component(&wat))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let digest = text(&their_version, "digest");
    let their_token: Value = deployment
        .ask_token(&theirs.agent, &[])
        .await
        .json()
        .await
        .unwrap();
    let nothing = "01a209e1-0221-757e-bba8-30b9b72bbe32";
    let no_version = "0".repeat(64);

    let mut paths = vec![
        ("/agents/{}".to_owned(), theirs.agent.id.clone()),
        ("/agents/{}/credentials".to_owned(), theirs.agent.id.clone()),
        (
            format!("/agents/{}/credentials/{{}}", theirs.agent.id),
            text(&their_credential, "credential_id"),
        ),
        (
            format!("/agents/{}/credentials/{{}}", mine.agent.id),
            text(&their_credential, "credential_id"),
        ),
        (
            "/resources/{}".to_owned(),
            text(&their_resource, "resource_id"),
        ),
        ("/tenants/{}".to_owned(), theirs.org_id.clone()),
        (
            "/decisions/{}".to_owned(),
            text(&their_token, "decision_id"),
        ),
        ("/agents/{}/usage".to_owned(), theirs.agent.id.clone()),
        ("/tenants/{}/usage".to_owned(), theirs.org_id.clone()),
        ("/tenants/{}/settings".to_owned(), theirs.org_id.clone()),
        ("/tenants/{}/export".to_owned(), theirs.org_id.clone()),
        ("/tenants/{}/refusals".to_owned(), theirs.org_id.clone()),
    ];
    let of_version = [
        "",
        "/shadow",
        "/activate",
        "/retire",
        "/replay",
        "/differences",
    ];
    for end in of_version.map(|end| format!("/versions/{digest}{end}")) {
        paths.push((format!("/tenants/{{}}/policy{end}"), theirs.org_id.clone()));
        for org_id in [&mine.org_id, &theirs.org_id] {
            let path = format!("/tenants/{org_id}/policy{end}");
            paths.push((path.replace(&digest, "{}"), digest.clone()));
        }
    }
    for end in ["", "/versions", "/rollback", "/try"] {
        paths.push((format!("/tenants/{{}}/policy{end}"), theirs.org_id.clone()));
    }
    let mut compared = 0;
    for (template, id) in &paths {
        let nothing = if *id == digest {
            no_version.as_str()
        } else {
            nothing
        };
        let new = if template.ends_with("/try") {
            json!({ "scopes": ["files:read"] })
        } else {
            json!({})
        };
        for (method, body) in [
            (Method::GET, None),
            (Method::PUT, Some(json!({}))),
            (Method::PATCH, Some(json!({ "name": "mine now" }))),
            (Method::POST, Some(new)),
            (Method::DELETE, None),
        ] {
            let there = whole_answer(
                &deployment,
                &my_admin,
                &method,
                &template.replace("{}", id),
                &body,
            )
            .await;
            let not_there = whole_answer(
                &deployment,
                &my_admin,
                &method,
                &template.replace("{}", nothing),
                &body,
            )
            .await;
            assert_eq!(there, not_there, "{method} {template}");
            assert!(there.starts_with('4'), "{there}");
            compared += 1;
        }
    }
    assert_eq!(compared, 170);
    // And nothing has happened to them.
    assert_eq!(
        deployment
            .must(
                &their_admin,
                "GET",
                &format!("/agents/{}", theirs.agent.id),
                None
            )
            .await["name"],
        "worker"
    );
    let version = format!("{their_policy}/versions/{digest}");
    let version = deployment.must(&their_admin, "GET", &version, None).await;
    assert_eq!(version, their_version);
    for path in ["/agents", "/resources", "/tenants"] {
        let list = deployment.must(&my_admin, "GET", path, None).await;
        assert!(
            !list.to_string().contains(&theirs.org_id)
                && !list.to_string().contains(&theirs.resource),
            "{path}"
        );
    }
    deployment.stop().await;
}
