//! Credentials that end: found before they do, by a list and by a gauge; and when
//! each was last used.

use std::time::{Duration, Instant};

use agentidp_core::clock::Now;
use reqwest::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{Client, Deployment, text};

fn in_days(days: i64) -> String {
    let end = Now::read().timestamp() + time::Duration::days(days);
    end.format(&Rfc3339).unwrap()
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["data"].as_array().unwrap().iter();
    items.map(|item| text(item, "credential_id")).collect()
}

/// What the gauge shows.
async fn expiring_soon(deployment: &Deployment) -> i64 {
    let url = format!("{}/metrics", deployment.url);
    let shown = deployment
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let line = shown
        .lines()
        .find(|line| line.starts_with("agentidp_credentials_expiring_soon_total "))
        .unwrap_or_else(|| panic!("{shown}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn credentials_are_listed_by_status_and_end_of_one_agent_and_of_all() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let first = ids(&deployment.must(&admin, "GET", &path, None).await).remove(0);
    let mut make = Vec::new();
    for days in [1, 30] {
        let new = Some(json!({ "expires_at": in_days(days) }));
        let made = deployment.must(&admin, "POST", &path, new).await;
        make.push(text(&made, "credential_id"));
    }
    let [soon, revoked] = make.try_into().unwrap();
    deployment
        .must(&admin, "DELETE", &format!("{path}/{revoked}"), None)
        .await;
    let new = Some(json!({ "expires_at": in_days(300) }));
    let expired = text(
        &deployment.must(&admin, "POST", &path, new).await,
        "credential_id",
    );
    sqlx::query("UPDATE credentials SET expires_at = now() - interval '1 hour' WHERE credential_id = $1::uuid")
        .bind(&expired)
        .execute(&deployment.pool)
        .await
        .unwrap();
    // The administrator has one too, and another tenant has its own.
    let administrators = format!("/agents/{}/credentials", tenant.administrator.id);
    let administrators =
        ids(&deployment.must(&admin, "GET", &administrators, None).await).remove(0);
    let other = deployment.tenant("pro").await;
    let stranger = deployment.token(&other.administrator).await;

    let (week, year) = (in_days(7), in_days(365));
    for (query, of_agent, of_all) in [
        (
            "status=active".to_owned(),
            vec![&first, &soon],
            vec![&administrators],
        ),
        ("status=revoked".to_owned(), vec![&revoked], vec![]),
        ("status=expired".to_owned(), vec![&expired], vec![]),
        (
            format!("expires_before={week}"),
            vec![&soon, &expired],
            vec![],
        ),
        (
            format!("status=active&expires_before={week}"),
            vec![&soon],
            vec![],
        ),
        (
            format!("expires_before={year}"),
            vec![&first, &soon, &revoked, &expired],
            vec![&administrators],
        ),
    ] {
        let found = deployment
            .must(&admin, "GET", &format!("{path}?{query}"), None)
            .await;
        assert_eq!(ids(&found).iter().collect::<Vec<_>>(), of_agent, "{query}");
        let found = deployment
            .must(&admin, "GET", &format!("/credentials?{query}"), None)
            .await;
        let mut all = [of_agent, of_all].concat();
        all.sort();
        assert_eq!(ids(&found).iter().collect::<Vec<_>>(), all, "{query}");
        assert!(!found.to_string().contains("secret"), "{found}");
        let theirs = deployment
            .must(&stranger, "GET", &format!("/credentials?{query}"), None)
            .await;
        assert!(ids(&theirs).iter().all(|id| !all.contains(&id)), "{query}");
    }
    let (status, _) = deployment.call(&stranger, "GET", &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // By pages as any list.
    let page = deployment
        .must(&admin, "GET", "/credentials?limit=2", None)
        .await;
    let next = format!(
        "/credentials?limit=200&cursor={}",
        text(&page, "next_cursor")
    );
    let rest = deployment.must(&admin, "GET", &next, None).await;
    assert_eq!((ids(&page).len(), ids(&rest).len()), (2, 3));
    deployment.stop().await;
}

#[tokio::test]
async fn a_use_is_shown_within_the_chores_and_changes_no_version() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let new = Some(json!({ "expires_at": in_days(3) }));
    let made = deployment.must(&admin, "POST", &path, new).await;
    let client = Client::from_json(&made);
    let shown = format!("{path}/{}", text(&made, "credential_id"));
    let before = deployment.must(&admin, "GET", &shown, None).await;
    assert!(before.get("last_used_at").is_none(), "{before}");

    let used = Now::read().s();
    deployment.token(&client).await;
    let begun = Instant::now();
    let after = loop {
        let after = deployment.must(&admin, "GET", &shown, None).await;
        if after.get("last_used_at").is_some() {
            break after;
        }
        // Fifteen seconds apart, and what the looks themselves take.
        assert!(begun.elapsed() < Duration::from_secs(25), "{after}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let at = OffsetDateTime::parse(&text(&after, "last_used_at"), &Rfc3339).unwrap();
    let at = at.unix_timestamp().unsigned_abs();
    assert!((used..=used + 2).contains(&at), "{at} is not {used}");
    let mut same = after.clone();
    same.as_object_mut().unwrap().remove("last_used_at");
    assert_eq!(same, before);
    // The same chores count what ends within seven days and has no successor.
    assert_eq!(expiring_soon(&deployment).await, 1);
    deployment.stop().await;
}

#[tokio::test]
async fn a_stop_loses_no_use_and_the_next_start_counts_what_ends_soon() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("pro").await;
    let admin = deployment.token(&tenant.administrator).await;
    let path = format!("/agents/{}/credentials", tenant.agent.id);
    let mut made = Vec::new();
    for days in [2, 6, 8] {
        let new = Some(json!({ "expires_at": in_days(days) }));
        let one = deployment.must(&admin, "POST", &path, new).await;
        made.push(text(&one, "credential_id"));
    }
    let rotate = format!("{path}/{}/rotate", made[0]);
    deployment.must(&admin, "POST", &rotate, None).await;
    deployment.token(&tenant.agent).await;
    deployment.stop_core().await;
    let used: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM credentials WHERE agent_id = $1::uuid AND last_used_at > now() - interval '2 minutes'",
    )
    .bind(&tenant.agent.id)
    .fetch_one(&deployment.pool)
    .await
    .unwrap();
    assert_eq!(used, 1);

    deployment.start_core().await;
    let begun = Instant::now();
    // One has a successor, one ends in eight days.
    while expiring_soon(&deployment).await != 1 {
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "it is not counted"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    deployment.stop().await;
}
