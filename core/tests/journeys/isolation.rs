//! A tenant never sees that another tenant's things exist.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Deployment, text};

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
    let nothing = "01a209e1-0221-757e-bba8-30b9b72bbe32";

    let paths = [
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
        ("/agents/{}/usage".to_owned(), theirs.agent.id.clone()),
        ("/tenants/{}/usage".to_owned(), theirs.org_id.clone()),
        ("/tenants/{}/settings".to_owned(), theirs.org_id.clone()),
        ("/tenants/{}/export".to_owned(), theirs.org_id.clone()),
    ];
    let mut compared = 0;
    for (template, id) in &paths {
        for (method, body) in [
            (Method::GET, None),
            (Method::PATCH, Some(json!({ "name": "mine now" }))),
            (Method::POST, Some(json!({}))),
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
    assert_eq!(compared, 40);
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
