//! Lists, a page at a time, while others insert and delete.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Deployment, text};

/// Follows the cursors from `path`, which has a query, to the last page; `between`
/// is called after each page but the last.
pub(super) async fn follow(
    deployment: &Deployment,
    token: &str,
    path: &str,
    between: impl AsyncFn(usize),
) -> Vec<Value> {
    let (mut items, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = deployment
            .must(token, "GET", &format!("{path}{cursor}"), None)
            .await;
        items.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else {
            return items;
        };
        cursor = format!("&cursor={next}");
        pages += 1;
        assert!(pages < 100, "the list has no end");
        between(pages).await;
    }
}

#[tokio::test]
async fn what_is_there_throughout_is_listed_once_while_others_come_and_go() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let resources: Vec<String> = (0..12)
        .map(|n| format!("{}/{n:02}", tenant.resource))
        .collect();
    let mut ids = Vec::new();
    for identifier in &resources {
        let new = json!({ "identifier": identifier, "scopes": [] });
        let made = deployment
            .must(&admin, "POST", "/resources", Some(new))
            .await;
        ids.push(text(&made, "resource_id"));
    }
    // After each page of two a new one comes and one goes: one that is still to be
    // read, the cursor's own, and two more that are still to be read.
    let doomed = [1, 3, 9, 11];
    let listed = follow(&deployment, &admin, "/resources?limit=2", async |page| {
        if let Some(n) = doomed.get(page - 1) {
            let path = format!("/resources/{}", ids[*n]);
            deployment.must(&admin, "DELETE", &path, None).await;
        }
        let new = json!({ "identifier": format!("{}/new{page}", tenant.resource), "scopes": [] });
        deployment
            .must(&admin, "POST", "/resources", Some(new))
            .await;
    })
    .await;
    let listed: Vec<String> = listed.iter().map(|item| text(item, "identifier")).collect();
    let mut unique = listed.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), listed.len(), "nothing twice: {listed:?}");
    for (n, identifier) in resources.iter().enumerate() {
        assert!(
            doomed.contains(&n) || listed.contains(identifier),
            "{identifier} is hidden: {listed:?}"
        );
    }
    assert!(!listed.contains(&resources[9]) && !listed.contains(&resources[11]));
    deployment.stop().await;
}

#[tokio::test]
async fn a_page_has_from_one_to_two_hundred_items_and_fifty_where_nobody_says() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    sqlx::query(
        "INSERT INTO agents SELECT gen_random_uuid(), $1::uuid, 'bulk ' || n, 'custom', '1', '{}', '',
                'development', 'active', '{}', now(), now() FROM generate_series(1, 209) n",
    )
    .bind(&tenant.org_id)
    .execute(&deployment.pool)
    .await
    .unwrap();
    // With the administrator and its agent they are 211.
    for (path, first) in [
        ("/agents?limit=1", 1),
        ("/agents?", 50),
        ("/agents?limit=200", 200),
    ] {
        let page = deployment.must(&admin, "GET", path, None).await;
        assert_eq!(page["data"].as_array().unwrap().len(), first, "{path}");
        assert!(page["next_cursor"].is_string(), "{path}");
    }
    for path in ["/agents?limit=200", "/agents?limit=7"] {
        let all = follow(&deployment, &admin, path, async |_| {}).await;
        let mut ids: Vec<String> = all.iter().map(|agent| text(agent, "agent_id")).collect();
        assert_eq!(ids.len(), 211);
        ids.dedup();
        assert_eq!(ids.len(), 211, "in order, and none twice");
    }
    // A list that ends with its page says so.
    let page = deployment
        .must(&admin, "GET", "/resources?limit=1", None)
        .await;
    assert_eq!(page["next_cursor"], Value::Null);
    deployment.stop().await;
}

#[tokio::test]
async fn what_a_list_does_not_know_is_refused_and_never_ignored() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let credentials = format!("/agents/{}/credentials", tenant.agent.id);
    let refused: Vec<String> = [
        "/agents",
        "/tenants",
        "/resources",
        "/credentials",
        &credentials,
    ]
    .iter()
    .flat_map(|list| {
        [
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=",
            "limit=ten",
            "limit=1&limit=2",
            "cursor=",
            "cursor=!",
            "cursor=AAAA",
            "cursor=AAAAAAAAAAAAAAAAAAAAAAA",
            "page=2",
            "status=",
            "status=Active",
            "status=gone",
            "q%00=a",
            "sort=name",
        ]
        .map(|query| format!("{list}?{query}"))
    })
    .chain(
        [
            "/agents?tier=pro",
            "/agents?q=a%00b",
            "/agents?owner=%00",
            "/agents?q=a&q=b",
            "/tenants?owner=a",
            "/tenants?tier=%00",
            "/resources?q=a",
            "/credentials?expires_before=tomorrow",
            "/credentials?expires_before=2026-01-01",
            "/credentials?agent_id=1",
        ]
        .map(str::to_owned),
    )
    .collect();
    for path in refused {
        let (status, answer) = deployment.call(&admin, "GET", &path, None).await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST")),
            "{path} {answer}"
        );
    }
    deployment.stop().await;
}
