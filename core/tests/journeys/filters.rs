//! Lists of what meets a filter, and never anybody else's.

use serde_json::{Value, json};

use super::lists::follow;
use crate::support::{Client, Deployment, text};

fn names(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| text(item, "name")).collect()
}

async fn make_agents(deployment: &Deployment, token: &str, described: &[Value]) -> Vec<String> {
    let mut ids = Vec::new();
    for agent in described {
        let made = deployment
            .must(token, "POST", "/agents", Some(agent.clone()))
            .await;
        ids.push(text(&made, "agent_id"));
    }
    ids
}

#[tokio::test]
async fn agents_are_found_by_status_environment_owner_type_and_text() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let admin = deployment.token(&tenant.administrator).await;
    let ids = make_agents(
        &deployment,
        &admin,
        &[
            json!({ "name": "Mail 100%", "agent_type": "mailer", "owner": "team-a", "deployment_env": "production" }),
            json!({ "name": "mail_log", "agent_type": "mailer", "owner": "team-b", "deployment_env": "production" }),
            json!({ "name": "mailXlog", "agent_type": "mailer", "owner": "team-b", "deployment_env": "staging" }),
            json!({ "name": r"back\slash", "agent_type": "crawler", "owner": "team-a", "deployment_env": "staging" }),
            json!({ "name": "crawl", "agent_type": "crawler", "owner": "Team-A" }),
        ],
    )
    .await;
    // Another tenant's, alike in everything.
    let other = deployment.tenant("pro").await;
    let stranger = deployment.token(&other.administrator).await;
    make_agents(
        &deployment,
        &stranger,
        &[json!({ "name": "mail_log", "agent_type": "mailer", "owner": "team-b", "deployment_env": "production" })],
    )
    .await;
    let suspend = Some(json!({ "status": "suspended" }));
    deployment
        .must(&admin, "PATCH", &format!("/agents/{}", ids[1]), suspend)
        .await;
    deployment
        .must(&admin, "DELETE", &format!("/agents/{}", ids[4]), None)
        .await;

    for (query, found) in [
        ("status=suspended", vec!["mail_log"]),
        ("status=decommissioned", vec!["crawl"]),
        ("deployment_env=production", vec!["Mail 100%", "mail_log"]),
        ("owner=team-a", vec!["Mail 100%", r"back\slash"]),
        ("owner=Team-A", vec!["crawl"]),
        (
            "agent_type=mailer&owner=team-b",
            vec!["mail_log", "mailXlog"],
        ),
        (
            "agent_type=mailer&owner=team-b&status=active",
            vec!["mailXlog"],
        ),
        // The text is a text, whatever the case, and no pattern.
        ("q=MAIL", vec!["Mail 100%", "mail_log", "mailXlog"]),
        ("q=%25", vec!["Mail 100%"]),
        ("q=_", vec!["mail_log"]),
        ("q=mail_", vec!["mail_log"]),
        ("q=%5C", vec![r"back\slash"]),
        ("q=l_log%25", vec![]),
        ("q=100%25&deployment_env=staging", vec![]),
        ("owner=nobody", vec![]),
        ("owner='%20OR%20true--", vec![]),
    ] {
        let all = follow(
            &deployment,
            &admin,
            &format!("/agents?limit=2&{query}"),
            async |_| {},
        )
        .await;
        assert_eq!(names(&all), found, "{query}");
        assert!(
            all.iter()
                .all(|agent| agent["org_id"] == json!(tenant.org_id))
        );
    }
    deployment.stop().await;
}

#[tokio::test]
async fn an_operator_finds_tenants_and_an_administrator_its_own_alone() {
    let deployment = Deployment::start().await;
    let operator = deployment.token(&deployment.operator).await;
    let mut made = Vec::new();
    for (name, tier) in [
        ("Beta_1", "pro"),
        ("beta 2", "enterprise"),
        ("Gamma", "pro"),
    ] {
        let new = json!({ "name": name, "tier": tier });
        made.push(
            deployment
                .must(&operator, "POST", "/tenants", Some(new))
                .await,
        );
    }
    let path = format!("/tenants/{}", text(&made[2], "org_id"));
    let suspend = Some(json!({ "status": "suspended" }));
    deployment.must(&operator, "PATCH", &path, suspend).await;
    let administrator = Client::from_json(&made[0]["administrator"]);
    let admin = deployment.token(&administrator).await;
    for (query, to_operator, to_administrator) in [
        ("tier=pro", vec!["Beta_1", "Gamma"], vec!["Beta_1"]),
        ("tier=pro&status=active", vec!["Beta_1"], vec!["Beta_1"]),
        ("status=suspended", vec!["Gamma"], vec![]),
        ("q=BETA", vec!["Beta_1", "beta 2"], vec!["Beta_1"]),
        ("q=_", vec!["Beta_1"], vec!["Beta_1"]),
        ("q=%25", vec![], vec![]),
        ("tier=free", vec![], vec![]),
    ] {
        for (token, found) in [(&operator, to_operator), (&admin, to_administrator)] {
            let all = follow(
                &deployment,
                token,
                &format!("/tenants?limit=1&{query}"),
                async |_| {},
            )
            .await;
            assert_eq!(names(&all), found, "{query}");
        }
    }
    deployment.stop().await;
}
