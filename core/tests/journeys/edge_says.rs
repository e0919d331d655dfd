//! What the edge tells of itself: whether it lives and is ready, what is left of a
//! limit, what took how long, and what its log says of a request.

use agentidp_core::dev::EdgeSettings;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Deployment;

#[tokio::test]
async fn an_edge_lives_with_its_settings_and_is_ready_with_its_core() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let settings = deployment.edge_settings(&[&tenant], "").await;
    deployment.stop_core().await;
    let edge = deployment.start_edge_with(&settings).await;
    let get = async |path: &str| {
        let answer = deployment
            .http
            .get(format!("{edge}{path}"))
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(
        get("/health").await,
        (StatusCode::OK, json!({ "status": "ok" }))
    );
    let (status, body) = get("/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["status"], "unavailable");
    assert!(
        body["reason"]
            .as_str()
            .unwrap()
            .contains("not known at the moment"),
        "{body}"
    );
    deployment.start_core().await;
    let ready = deployment.http.get(format!("{edge}/ready"));
    let ready = ready.send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(
        ready.json::<Value>().await.unwrap(),
        json!({ "status": "ok" })
    );
    deployment.stop().await;
}

#[tokio::test]
async fn an_answer_says_what_is_left_of_the_limit_and_what_took_how_long() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let token = deployment.token(&tenant.agent).await;
    for (path, parts) in [("/verify", 2), ("/forwarded", 3)] {
        let request = deployment
            .http
            .get(format!("{edge}{path}"))
            .bearer_auth(&token);
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header("x-ratelimit-limit"), "10000");
        let policy = header("ratelimit-policy");
        assert!(policy.starts_with(r#""minute";q=10000;w=60"#), "{policy}");
        let rest = header("ratelimit");
        let (remaining, seconds) = rest
            .strip_prefix(r#""minute";r="#)
            .and_then(|rest| rest.split(',').next()?.split_once(";t="))
            .unwrap();
        assert_eq!(remaining, header("x-ratelimit-remaining"));
        assert!(
            (1..=60).contains(&seconds.parse::<u32>().unwrap()),
            "{rest}"
        );
        let timing = header("server-timing");
        let parts_of: Vec<&str> = timing.split(", ").collect();
        assert_eq!(parts_of.len(), parts, "{timing}");
        for (part, name) in parts_of.iter().zip(["verify", "limit", "origin"]) {
            let ms = part.strip_prefix(&format!("{name};dur=")).unwrap();
            assert!(ms.parse::<u32>().unwrap() < 10_000, "{timing}");
        }
    }
    deployment.stop().await;
}

#[tokio::test]
async fn the_log_has_a_line_of_json_for_the_requests_that_it_is_to_have_one_for() {
    let mut deployment = Deployment::start().await;
    let tenant = deployment.tenant("enterprise").await;
    let token = deployment.token(&tenant.agent).await;
    let log = deployment.folder.join("edge.log");
    for (setting, refused, served) in [
        ("", 3, 0),
        ("refusals", 3, 0),
        ("requests", 3, 1),
        ("off", 0, 0),
    ] {
        let settings = EdgeSettings {
            more: vec![("EDGE_LOG", setting.to_owned())],
            ..deployment.edge_settings(&[&tenant], "files:read").await
        };
        let edge = deployment.start_edge_with(&settings).await;
        let before = std::fs::read_to_string(&log).unwrap().len();
        let narrow = deployment
            .ask_token(&tenant.agent, &[("scope", "files:write")])
            .await;
        let narrow = narrow.json::<Value>().await.unwrap()["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        for token in ["x.y.z", &narrow, &token] {
            let request = deployment
                .http
                .get(format!("{edge}/secret-path?secret-query"));
            request.bearer_auth(token).send().await.unwrap();
        }
        let request = deployment
            .http
            .get(format!("{edge}/a%2f../b"))
            .bearer_auth(&token);
        request.send().await.unwrap();
        let said = std::fs::read_to_string(&log).unwrap().split_off(before);
        let lines: Vec<Value> = said
            .lines()
            .filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok())
            .collect();
        let of = |status: u64| lines.iter().filter(|line| line["status"] == status).count();
        assert_eq!(lines.len(), refused + served, "{setting}: {said}");
        assert_eq!(of(200), served, "{said}");
        for line in &lines {
            assert!(line["ms"].is_u64() && line["at_ms"].is_u64(), "{line}");
        }
        if refused > 0 {
            let line = lines.iter().find(|line| line["status"] == 403).unwrap();
            assert_eq!(line["route"], "/");
            assert_eq!(line["org_id"], tenant.org_id.as_str());
            assert_eq!(line["client_id"], tenant.agent.id.as_str());
            assert_eq!(line["reason"], "Token lacks a scope that this call needs.");
            let line = lines.iter().find(|line| line["status"] == 401).unwrap();
            assert!(line.get("org_id").is_none(), "{line}");
        }
        assert!(!said.contains("secret-"), "{said}");
    }
    deployment.stop().await;
}
