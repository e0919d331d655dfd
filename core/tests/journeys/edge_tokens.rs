//! The token endpoint through the edge: what the core gets, what it answers, and how
//! often an address may ask.

use agentidp_core::dev::EdgeSettings;
use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Client, Deployment, status_at, text};

async fn ask(
    deployment: &Deployment,
    edge: &str,
    client: &Client,
    from: &str,
) -> reqwest::Response {
    let request = deployment.http.post(format!("{edge}/api/v1/token"));
    request
        .basic_auth(&client.id, Some(&client.secret))
        .header("X-Real-Ip", from)
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_that_was_asked_for_through_the_edge_is_the_cores() {
    let mut deployment =
        Deployment::start_with(Algorithm::EdDSA, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let tenant = deployment.tenant("enterprise").await;
    let settings = EdgeSettings {
        more: vec![
            ("TOKEN_PASS_THROUGH", "on".to_owned()),
            ("CLIENT_ADDRESS_HEADER", "X-Real-IP".to_owned()),
        ],
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let edge = deployment.start_edge_with(&settings).await;
    let answer = ask(&deployment, &edge, &tenant.agent, "198.51.100.7").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let token = text(&answer.json::<Value>().await.unwrap(), "access_token");
    assert_eq!(
        status_at(&deployment, &format!("{edge}/verify"), &token).await,
        StatusCode::OK
    );

    let wrong = Client {
        secret: "wrong".into(),
        ..tenant.agent.clone()
    };
    let answer = ask(&deployment, &edge, &wrong, "198.51.100.7").await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key("www-authenticate"));
    assert_eq!(
        answer.json::<Value>().await.unwrap()["error"],
        "invalid_client"
    );

    let url = format!("{edge}/api/v1/token");
    let get = deployment.http.get(&url).send().await.unwrap();
    assert_eq!(
        (get.status().as_u16(), get.headers()["allow"].as_bytes()),
        (405, &b"POST"[..])
    );
    let long = deployment
        .http
        .post(&url)
        .body("x".repeat(70_000))
        .send()
        .await
        .unwrap();
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    deployment.stop_core().await;
    let away = ask(&deployment, &edge, &tenant.agent, "198.51.100.7").await;
    assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
    deployment.start_core().await;
    // Without the setting it is a path like any other.
    let settings = deployment.edge_settings(&[&tenant], "").await;
    let edge = deployment.start_edge_with(&settings).await;
    let answer = ask(&deployment, &edge, &tenant.agent, "198.51.100.7").await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.json::<Value>().await.unwrap().get("error").is_none());
    deployment.stop().await;
}

#[tokio::test]
async fn an_address_asks_for_so_many_tokens_a_minute_and_no_header_of_its_own_gives_it_more() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let more = vec![
        ("TOKEN_PASS_THROUGH", "on".to_owned()),
        ("TOKEN_REQUESTS_PER_MINUTE", "3".to_owned()),
        ("CLIENT_ADDRESS_HEADER", "X-Real-IP".to_owned()),
    ];
    let settings = EdgeSettings {
        more: more.clone(),
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let edge = deployment.start_edge_with(&settings).await;
    // All of one minute: the first refusal may fall into the next.
    let mut statuses = Vec::new();
    for n in 0..8 {
        let from = if n % 2 == 0 {
            "2001:db8:1:2::1"
        } else {
            "2001:db8:1:2:ffff::9"
        };
        let answer = ask(&deployment, &edge, &tenant.agent, from).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            let seconds: u32 = answer.headers()["retry-after"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!((1..=60).contains(&seconds));
            statuses.push(429);
        } else {
            statuses.push(answer.status().as_u16());
        }
    }
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    assert!(admitted == 3 || admitted == 6, "{statuses:?}");
    let other = ask(&deployment, &edge, &tenant.agent, "2001:db8:1:3::1").await;
    assert_eq!(other.status(), StatusCode::OK);

    // Whose address nobody tells share one minute, whatever they say themselves.
    let settings = EdgeSettings {
        more: more[..2].to_vec(),
        ..deployment.edge_settings(&[&tenant], "").await
    };
    let edge = deployment.start_edge_with(&settings).await;
    let mut admitted = 0;
    for n in 0..8 {
        let request = deployment.http.post(format!("{edge}/api/v1/token"));
        let from = format!("192.0.2.{n}");
        let request = request
            .basic_auth(&tenant.agent.id, Some(&tenant.agent.secret))
            .header("CF-Connecting-IP", &from)
            .header("X-Forwarded-For", &from)
            .form(&[("grant_type", "client_credentials")]);
        admitted += usize::from(request.send().await.unwrap().status() == StatusCode::OK);
    }
    assert!(admitted == 3 || admitted == 6, "{admitted}");
    deployment.stop().await;
}
