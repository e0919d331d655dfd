//! Calls that places of the edge lease from the core: counted once, given back once,
//! shared by all places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentidp_core::clock::Now;
use agentidp_verify::Algorithm;
use agentidp_verify::lease::Lease;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Deployment, Tenant, text};

/// Waits for the first moments of a window, so that a count fits into one.
async fn start_of_a_window(window_ms: u64) {
    let into = Now::read().ms() % window_ms;
    if into > window_ms / 4 {
        tokio::time::sleep(Duration::from_millis(window_ms - into + 20)).await;
    }
}

/// An edge that talks to the core by hand.
struct Place {
    edge_id: String,
    secret: String,
    http: reqwest::Client,
    url: String,
}

impl Place {
    async fn register(deployment: &Deployment) -> Self {
        let settings = deployment.edge_settings(&[], "").await;
        Self {
            edge_id: settings.edge_id,
            secret: settings.edge_secret,
            http: deployment.http.clone(),
            url: format!("{}/api/v1/edge/leases", deployment.url),
        }
    }

    async fn ask(&self, body: &Value) -> Response {
        self.http
            .post(&self.url)
            .basic_auth(&self.edge_id, Some(&self.secret))
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// The lease for a question, with its signature left alone.
    async fn lease(&self, question: &Value) -> Lease {
        let answer = self.ask(&json!({ "question": question })).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.unwrap();
        let lease = text(&answer, "lease");
        let payload = lease.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    async fn settle(&self, lease_id: &str, used: u64) {
        let settle = json!({ "settle": [{ "lease_id": lease_id, "used": used }] });
        let answer = self.ask(&settle).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({}));
    }
}

/// A question of the tenant's agent, for the window of a minute that it is.
fn question(tenant: &Tenant, wanted: u64) -> Value {
    json!({
        "lease_id": Uuid::from_u128(rand::random()).to_string(),
        "client_id": tenant.agent.id,
        "org_id": tenant.org_id,
        "window": Now::read().ms() / 60_000,
        "limit": 100,
        "wanted": wanted,
    })
}

/// `rate:tier:calls:<org_id>`, and what the usage says is used and leased.
async fn day(deployment: &Deployment, tenant: &Tenant, admin: &str) -> (u64, u64, u64) {
    let path = format!("/tenants/{}/usage", tenant.org_id);
    let usage = deployment.must(admin, "GET", &path, None).await;
    let debited = deployment
        .counter(&format!("rate:tier:calls:{}", tenant.org_id))
        .await;
    let number = |name: &str| usage["calls_today"][name].as_u64().unwrap();
    assert_eq!(number("used") + number("leased") + number("left"), 1_000);
    (debited, number("used"), number("leased"))
}

#[tokio::test]
async fn a_lease_is_debited_once_and_what_was_not_used_comes_back_once() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let place = Place::register(&deployment).await;
    start_of_a_window(60_000).await;
    let (before, used, _) = day(&deployment, &tenant, &admin).await;

    let asked = question(&tenant, 10);
    let lease = place.lease(&asked).await;
    assert_eq!((lease.granted, lease.refused), (10, None));
    assert_eq!(lease.aud, place.edge_id);
    assert_eq!(lease.question.lease_id, text(&asked, "lease_id"));
    let minute = lease.minute.unwrap();
    assert_eq!((minute.limit, minute.debited), (100, 10));
    let now = day(&deployment, &tenant, &admin).await;
    assert_eq!(now, (before + 11, used + 1, 10), "the asking is a call too");

    // Asked again it is another's, or lost: never counted a second time.
    let again = place.ask(&json!({ "question": asked })).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert_eq!(day(&deployment, &tenant, &admin).await.0, before + 12);

    for _ in 0..3 {
        place.settle(&lease.question.lease_id, 4).await;
    }
    let now = day(&deployment, &tenant, &admin).await;
    assert_eq!(now, (before + 7, used + 7, 0));
    // What came back can be leased again: 100 of this minute, and no more.
    let mut granted = 4;
    loop {
        let lease = place.lease(&question(&tenant, 64)).await;
        if lease.granted == 0 {
            break;
        }
        granted += lease.granted;
    }
    assert_eq!(granted, 100);
    deployment.stop().await;
}

#[tokio::test]
async fn a_settlement_before_its_question_refuses_it_and_nobody_settles_anothers() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let (place, other) = (
        Place::register(&deployment).await,
        Place::register(&deployment).await,
    );
    start_of_a_window(60_000).await;
    let asked = question(&tenant, 10);
    place.settle(&text(&asked, "lease_id"), 0).await;
    let late = place.ask(&json!({ "question": asked })).await;
    assert_eq!(late.status(), StatusCode::CONFLICT);
    assert_eq!(day(&deployment, &tenant, &admin).await.2, 0);

    let lease = place.lease(&question(&tenant, 10)).await;
    other.settle(&lease.question.lease_id, 0).await;
    assert_eq!(day(&deployment, &tenant, &admin).await.2, 10);
    // Who says that it used more than it had used all.
    place.settle(&lease.question.lease_id, 1_000_000).await;
    assert_eq!(day(&deployment, &tenant, &admin).await.2, 0);

    let refused = [
        (json!({ "question": { "lease_id": "x" } }), 422),
        (json!({ "settle": [{ "lease_id": "x", "used": 1 }] }), 422),
        (json!({ "unknown": 1 }), 422),
        (json!({ "question": { "wanted": 0 } }), 422),
        (json!({ "question": { "wanted": 4_097 } }), 422),
        (json!({ "question": { "client_id": "x" } }), 422),
        (json!({ "question": { "window": 7 } }), 409),
    ];
    for (mut body, status) in refused {
        if let Some(wrong) = body["question"].as_object().cloned() {
            let mut whole = question(&tenant, 1);
            whole.as_object_mut().unwrap().extend(wrong);
            body["question"] = whole;
        }
        assert_eq!(place.ask(&body).await.status(), status, "{body}");
    }
    let stranger = Place {
        secret: other.secret.clone(),
        ..place
    };
    let asked = json!({ "question": question(&tenant, 1) });
    assert_eq!(
        stranger.ask(&asked).await.status(),
        StatusCode::UNAUTHORIZED
    );
    deployment.stop().await;
}

#[tokio::test]
async fn nobody_out_of_service_gets_a_lease_and_a_later_one_knows_the_entry() {
    let deployment = Deployment::start().await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let place = Place::register(&deployment).await;
    let before = place.lease(&question(&tenant, 5)).await;
    let agent = format!("/agents/{}", tenant.agent.id);
    let patch = |status: &str| Some(json!({ "status": status }));
    deployment
        .must(&admin, "PATCH", &agent, patch("suspended"))
        .await;
    let none = place.lease(&question(&tenant, 5)).await;
    assert_eq!(none.granted, 0);
    assert_eq!(
        none.refused,
        Some(agentidp_verify::lease::Refusal::OutOfService)
    );
    let lifted = deployment
        .must(&admin, "PATCH", &agent, patch("active"))
        .await;
    assert_eq!(lifted["status"], "active");
    let after = place.lease(&question(&tenant, 5)).await;
    assert_eq!(after.granted, 5);
    assert!(
        after.iat > before.iat,
        "an entry in between ends the first alone"
    );
    let mut unknown = question(&tenant, 5);
    unknown["client_id"] = tenant.administrator.id.clone().into();
    assert_eq!(place.lease(&unknown).await.granted, 5, "any of its agents");
    unknown["org_id"] = Uuid::from_u128(rand::random()).to_string().into();
    assert_eq!(place.lease(&unknown).await.granted, 0);
    deployment.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_places_share_one_limit_of_a_hundred() {
    const WINDOW_MS: u64 = 30_000;
    let mut deployment =
        Deployment::start_with(Algorithm::EdDSA, &[("RATE_LIMIT_WINDOW_MS", "30000")]).await;
    let tenant = deployment.tenant("free").await;
    let one = deployment.start_edge(&[&tenant], "").await;
    let settings = deployment.edge_settings(&[&tenant], "").await;
    let (other, other_url) = deployment.another_place(&settings).await;
    let token = deployment.token(&tenant.agent).await;
    start_of_a_window(WINDOW_MS).await;
    let window = Now::read().ms() / WINDOW_MS;

    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let callers = (0..48).map(|n| {
        let url = format!("{}/verify", if n % 2 == 0 { &one } else { &other_url });
        let (http, token, counts) = (deployment.http.clone(), token.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            // Until it has been refused for as long as a place believes a refusal.
            let mut refused = None::<std::time::Instant>;
            while refused.is_none_or(|since| since.elapsed() < Duration::from_millis(2_500)) {
                let answer = http.get(&url).bearer_auth(&token).send().await.unwrap();
                match answer.status() {
                    StatusCode::OK => {
                        refused = None;
                        counts[n % 2].fetch_add(1, Ordering::SeqCst);
                    }
                    StatusCode::TOO_MANY_REQUESTS => {
                        refused.get_or_insert_with(std::time::Instant::now);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    // A busy machine: nobody knows, so nobody is admitted.
                    StatusCode::SERVICE_UNAVAILABLE => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    status => panic!("{status}"),
                }
            }
        })
    });
    for caller in futures_util::future::join_all(callers).await {
        caller.unwrap();
    }
    let ended = Now::read().ms() / WINDOW_MS;
    assert_eq!(ended, window, "the count took longer than a window");
    let [one, two] = [0, 1].map(|n| counts[n].load(Ordering::SeqCst));
    println!("{one} at one place, {two} at the other");
    assert_eq!(one + two, 100);
    assert!(one > 0 && two > 0);
    other.stop().await;
    deployment.stop().await;
}

#[tokio::test]
async fn the_day_of_a_tenant_is_shared_with_the_core_and_what_an_edge_leaves_comes_back() {
    let mut deployment =
        Deployment::start_with(Algorithm::EdDSA, &[("RATE_LIMIT_WINDOW_MS", "3000")]).await;
    let tenant = deployment.tenant("free").await;
    let admin = deployment.token(&tenant.administrator).await;
    let edge = deployment.start_edge(&[&tenant], "").await;
    let token = deployment.token(&tenant.agent).await;
    let verify = async || {
        let url = format!("{edge}/verify");
        let answer = deployment.http.get(url).bearer_auth(&token).send().await;
        answer.unwrap()
    };
    for _ in 0..5 {
        assert_eq!(verify().await.status(), StatusCode::OK);
    }
    // The window ends, and what was leased and not used comes back by itself.
    let begun = std::time::Instant::now();
    let used = loop {
        let (debited, used, leased) = day(&deployment, &tenant, &admin).await;
        if leased == 0 {
            assert_eq!(debited, used);
            break used;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{leased} leased");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(used >= 5);

    // All but three calls of the day are gone.
    let calls = i32::try_from(used).unwrap() + 3;
    deployment
        .set_tier("free", "calls_per_day", Some(calls))
        .await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let mut admitted = 0;
    let refused = loop {
        let answer = verify().await;
        match answer.status() {
            StatusCode::OK => admitted += 1,
            StatusCode::SERVICE_UNAVAILABLE => {}
            _ => break answer,
        }
        assert!(admitted <= 3);
    };
    assert_eq!(admitted, 3);
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    let policy = format!("\"day\";q={calls};w=86400");
    assert_eq!(refused.headers()["ratelimit-policy"], policy);
    let rest = refused.headers()["ratelimit"].to_str().unwrap();
    assert!(rest.starts_with("\"day\";r=0;t="), "{rest}");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["code"], "tier_limit_exceeded");
    // The core's own API counts the same calls.
    let answer = deployment.call(&admin, "GET", "/agents", None).await;
    assert_eq!(answer.0, StatusCode::TOO_MANY_REQUESTS);
    deployment.stop().await;
}
