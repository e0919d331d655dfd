//! Versions: a change is made of what was read or not at all, and what a reader
//! has already is not sent again.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Deployment, Tenant, text};

/// Something that has versions: by whose token, where, a change and another one.
struct Versioned {
    token: String,
    path: String,
    change: Option<[Value; 2]>,
    deletes: bool,
}

async fn versioned(deployment: &Deployment, tenant: &Tenant) -> Vec<Versioned> {
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    let new = json!({ "identifier": format!("{}/2", tenant.resource), "scopes": [] });
    let resource = deployment
        .must(&admin, "POST", "/resources", Some(new))
        .await;
    let new = json!({ "name": "changing" });
    let agent = deployment.must(&admin, "POST", "/agents", Some(new)).await;
    let credentials = format!("/agents/{}/credentials", tenant.agent.id);
    let credential = deployment.must(&admin, "POST", &credentials, None).await;
    let names = Some([json!({ "name": "one" }), json!({ "name": "two" })]);
    vec![
        Versioned {
            token: operator,
            path: format!("/tenants/{}", tenant.org_id),
            change: names.clone(),
            deletes: false,
        },
        Versioned {
            token: admin.clone(),
            path: format!("/resources/{}", text(&resource, "resource_id")),
            change: names.clone(),
            deletes: true,
        },
        Versioned {
            token: admin.clone(),
            path: format!("/agents/{}", text(&agent, "agent_id")),
            change: names,
            deletes: true,
        },
        Versioned {
            token: admin,
            path: format!("{credentials}/{}", text(&credential, "credential_id")),
            change: None,
            deletes: true,
        },
    ]
}

/// The version that a reader gets.
async fn tag(deployment: &Deployment, token: &str, path: &str) -> String {
    let (status, headers, _) = deployment.call_with(token, "GET", path, &[], None).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    headers["etag"].to_str().unwrap().to_owned()
}

/// A change of the version `wanted`: its status, and the version that it shows.
async fn change(
    deployment: &Deployment,
    (token, method, path): (&str, &str, &str),
    wanted: &str,
    body: Option<&Value>,
) -> (StatusCode, Option<String>) {
    let headers = [("if-match", wanted)];
    let (status, headers, answer) = deployment
        .call_with(token, method, path, &headers, body.cloned())
        .await;
    if status == StatusCode::PRECONDITION_FAILED {
        assert_eq!(answer["code"], "PRECONDITION_FAILED");
    }
    let etag = headers.get("etag");
    (status, etag.map(|etag| etag.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn a_change_is_made_of_the_version_that_was_read_and_of_no_other() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    for thing in versioned(&deployment, &tenant).await {
        let Versioned {
            token,
            path,
            change: changes,
            deletes,
        } = thing;
        let first = tag(&deployment, &token, &path).await;
        let mut current = first.clone();
        if let Some([one, two]) = &changes {
            let patch = (token.as_str(), "PATCH", path.as_str());
            for wrong in [
                format!("W/{first}"),
                "\"other\"".to_owned(),
                String::new(),
                first.replace('"', ""),
            ] {
                let (status, _) = change(&deployment, patch, &wrong, Some(one)).await;
                assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{path} {wrong:?}");
                assert_eq!(
                    tag(&deployment, &token, &path).await,
                    first,
                    "nothing has changed"
                );
            }
            let (status, second) = change(&deployment, patch, &first, Some(one)).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            let second = second.unwrap();
            assert_ne!(second, first);
            assert_eq!(tag(&deployment, &token, &path).await, second, "{path}");
            let (status, _) = change(&deployment, patch, &first, Some(two)).await;
            assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{path}");
            // One of a list, and any.
            let list = format!("{first}, {second}");
            let (status, third) = change(&deployment, patch, &list, Some(two)).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            let (status, same) = change(&deployment, patch, "*", Some(two)).await;
            assert_eq!(
                (status, &same),
                (StatusCode::OK, &third),
                "it was so before"
            );
            current = third.unwrap();
        }
        if deletes {
            let delete = (token.as_str(), "DELETE", path.as_str());
            for wrong in ["\"other\"", &format!("W/{current}")] {
                let (status, _) = change(&deployment, delete, wrong, None).await;
                assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{path}");
            }
            let (status, _) = change(&deployment, delete, &current, None).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{path}");
        }
    }
    deployment.stop().await;
}

#[tokio::test]
async fn of_two_writers_that_read_the_same_version_one_writes() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let replica = deployment.replica(&[]).await;
    for thing in versioned(&deployment, &tenant).await {
        let Versioned {
            token,
            path,
            change: Some(_),
            ..
        } = thing
        else {
            continue;
        };
        for _ in 0..5 {
            let read = tag(&deployment, &token, &path).await;
            let patch = (token.as_str(), "PATCH", path.as_str());
            let bodies = [0, 1].map(|_| json!({ "name": format!("{:x}", rand::random::<u64>()) }));
            let (one, other) = tokio::join!(
                change(&deployment, patch, &read, Some(&bodies[0])),
                change(&replica, patch, &read, Some(&bodies[1])),
            );
            let mut statuses = [one.0.as_u16(), other.0.as_u16()];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{path}");
            let winner = if one.0 == StatusCode::OK { 0 } else { 1 };
            let now = deployment.must(&token, "GET", &path, None).await;
            assert_eq!(now["name"], bodies[winner]["name"]);
        }
    }
    replica.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn a_rotation_can_name_the_version_of_what_it_replaces() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &path, None).await;
    let path = format!("{path}/{}", text(&listed["data"][0], "credential_id"));
    let read = tag(&deployment, &admin, &path).await;
    // A use is no change of it.
    deployment.token(&tenant.agent).await;
    let rotate = format!("{path}/rotate");
    let rotate = (admin.as_str(), "POST", rotate.as_str());
    let (status, _) = change(&deployment, rotate, "\"other\"", None).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let (status, _) = change(&deployment, rotate, &read, None).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(tag(&deployment, &admin, &path).await, read);
    deployment.stop().await;
}

#[tokio::test]
async fn a_reader_that_has_the_version_is_not_sent_it_again() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    for Versioned { token, path, .. } in versioned(&deployment, &tenant).await {
        let current = tag(&deployment, &token, &path).await;
        let weak = format!("\"old\", W/{current}");
        for known in [current.as_str(), weak.as_str(), "*"] {
            let headers = [("if-none-match", known)];
            let (status, headers, body) = deployment
                .call_with(&token, "GET", &path, &headers, None)
                .await;
            assert_eq!(
                (status, body),
                (StatusCode::NOT_MODIFIED, Value::Null),
                "{path} {known}"
            );
            assert_eq!(headers["etag"], current);
            assert!(!headers.contains_key("content-type"));
        }
        for unknown in ["\"old\"", "", &current[1..]] {
            let headers = [("if-none-match", unknown)];
            let (status, _, body) = deployment
                .call_with(&token, "GET", &path, &headers, None)
                .await;
            assert_eq!(status, StatusCode::OK, "{path} {unknown}");
            assert!(body.is_object());
        }
    }
    // What nobody may read is not known either.
    let other = deployment.tenant("pro").await;
    let stranger = deployment.token(&other.administrator).await;
    let path = format!("/agents/{}", tenant.agent.id);
    let any = [("if-none-match", "*")];
    let (status, ..) = deployment
        .call_with(&stranger, "GET", &path, &any, None)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    deployment.stop().await;
}
