//! What an address may do before anybody has authenticated, and which address
//! that is.

use std::time::Instant;

use agentidp_core::clock::Now;
use agentidp_verify::Algorithm;
use futures_util::future::join_all;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::support::Deployment;

/// An open endpoint that is limited by address.
const OPEN: &str = "/.well-known/jwks.json";

async fn deployment(settings: &[(&str, &str)]) -> Deployment {
    Deployment::start_with(Algorithm::EdDSA, settings).await
}

/// A client that calls from `address`.
fn calling_from(address: &str) -> reqwest::Client {
    reqwest::Client::builder()
        .local_address(Some(address.parse().unwrap()))
        .build()
        .unwrap()
}

async fn ask(http: &reqwest::Client, url: &str, forwarded: &str) -> Response {
    http.get(url)
        .header("x-forwarded-for", forwarded)
        .send()
        .await
        .unwrap()
}

/// Asks until it is refused; how often it was not, and the refusal.
async fn until_refused(
    http: &reqwest::Client,
    url: &str,
    forwarded: impl Fn(usize) -> String,
) -> (usize, Response) {
    for admitted in 0..1_000 {
        let answer = ask(http, url, &forwarded(admitted)).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return (admitted, answer);
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    panic!("never refused");
}

fn number(answer: &Response, name: &str) -> u64 {
    answer.headers()[name].to_str().unwrap().parse().unwrap()
}

/// A token request of somebody who knows no secret, or of `client`.
async fn ask_token(
    deployment: &Deployment,
    forwarded: &str,
    client: (&str, &str),
) -> (StatusCode, Option<u64>, Value) {
    let answer = deployment
        .http
        .post(format!("{}/api/v1/token", deployment.url))
        .header("x-forwarded-for", forwarded)
        .basic_auth(client.0, Some(client.1))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    let wait = answer.headers().contains_key("retry-after");
    let wait = wait.then(|| number(&answer, "retry-after"));
    (answer.status(), wait, answer.json().await.unwrap())
}

#[tokio::test]
async fn an_address_has_so_many_requests_at_once_and_the_probes_and_others_go_on() {
    const BURST: usize = 20;
    let deployment = deployment(&[
        ("ADDRESS_REQUESTS_PER_SECOND", "1"),
        ("ADDRESS_BURST", "20"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let url = format!("{}{OPEN}", deployment.url);
    let flooder = |_| "203.0.113.1".to_owned();
    let begun = Instant::now();
    let (admitted, refused) = until_refused(&deployment.http, &url, flooder).await;
    let most = BURST + begun.elapsed().as_secs() as usize + 1;
    assert!((BURST..=most).contains(&admitted), "{admitted}");
    assert_eq!(number(&refused, "x-ratelimit-limit"), BURST as u64);
    assert_eq!(number(&refused, "x-ratelimit-remaining"), 0);
    let wait = number(&refused, "retry-after");
    assert!((1..=2).contains(&wait), "{wait}");
    let reset = number(&refused, "x-ratelimit-reset");
    assert!((Now::read().s()..=Now::read().s() + 3).contains(&reset));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["code"], "RATE_LIMIT_EXCEEDED");

    // The same address at the token endpoint, in OAuth's words.
    let mut refused = Value::Null;
    for _ in 0..4 {
        let (status, _, body) = ask_token(&deployment, "203.0.113.1", ("a", "b")).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused = body;
        }
    }
    assert_eq!(refused["error"], "temporarily_unavailable");
    assert_eq!(refused["code"], "RATE_LIMIT_EXCEEDED");

    for probe in ["/health", "/ready"] {
        for _ in 0..2 * BURST {
            let url = format!("{}{probe}", deployment.url);
            let answer = ask(&deployment.http, &url, "203.0.113.1").await;
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }
    let other = ask(&deployment.http, &url, "203.0.113.2").await;
    assert_eq!(other.status(), StatusCode::OK);
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    let later = ask(&deployment.http, &url, "203.0.113.1").await;
    assert_eq!(later.status(), StatusCode::OK);
    deployment.stop().await;
}

#[tokio::test]
async fn trusted_proxies_decide_which_address_a_request_counts_for() {
    let deployment = deployment(&[
        ("ADDRESS_REQUESTS_PER_SECOND", "1"),
        ("ADDRESS_BURST", "10"),
        ("TRUSTED_PROXIES", "127.0.0.2, 10.0.0.0/8"),
    ])
    .await;
    let url = format!("{}{OPEN}", deployment.url);
    let proxy = calling_from("127.0.0.2");
    // Ten, and those that a slow machine earns meanwhile.
    let few = 10..15;

    // A stranger says who he is, every time somebody else.
    let stranger = calling_from("127.0.0.3");
    let (admitted, _) = until_refused(&stranger, &url, |n| format!("203.0.113.{n}")).await;
    assert!(few.contains(&admitted), "{admitted}");
    // What a client says of itself to a proxy is nothing; what proxies add is.
    let (admitted, _) = until_refused(&proxy, &url, |n| {
        format!("6.6.6.{n}, 198.51.100.7:4{n:03}, 10.1.1.{n}")
    })
    .await;
    assert!(few.contains(&admitted), "{admitted}");
    // One network of IPv6 is one customer.
    let (admitted, _) = until_refused(&proxy, &url, |n| format!("2001:db8:1:2:{n:x}::1")).await;
    assert!(few.contains(&admitted), "{admitted}");
    // And an address of IPv4 is one however it is written.
    let (admitted, _) = until_refused(&proxy, &url, |n| {
        let prefix = if n % 2 == 0 { "" } else { "::ffff:" };
        format!("{prefix}192.0.2.77")
    })
    .await;
    assert!(few.contains(&admitted), "{admitted}");

    for untouched in ["203.0.113.1", "6.6.6.1", "2001:db8:1:3::1", "192.0.2.78"] {
        let answer = ask(&proxy, &url, untouched).await;
        assert_eq!(answer.status(), StatusCode::OK, "{untouched}");
    }
    // A thread of its own writes the log.
    let begun = std::time::Instant::now();
    let log = loop {
        let log = std::fs::read_to_string(deployment.log()).unwrap();
        if log.contains("127.0.0.3 - - [") && log.contains("198.51.100.7 - - [") {
            break log;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(
        !log.contains("6.6.6.0 - - ["),
        "an address that was made up"
    );
    deployment.stop().await;
}

#[tokio::test]
async fn an_address_has_so_many_failures_a_minute_side_by_side_or_not() {
    const A_MINUTE: u64 = 30;
    let deployment = deployment(&[
        ("ADDRESS_FAILURES_PER_MINUTE", "30"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let operator = (
        deployment.operator.id.as_str(),
        deployment.operator.secret.as_str(),
    );
    let guess = (operator.0, "not the secret");
    // Twice as many as may fail, all at once.
    let begun = Instant::now();
    let guesses = (0..2 * A_MINUTE).map(|_| ask_token(&deployment, "203.0.113.1", guess));
    let failed = join_all(guesses).await;
    let failed = failed
        .iter()
        .filter(|(status, ..)| *status == StatusCode::UNAUTHORIZED)
        .count() as u64;
    assert!(failed >= A_MINUTE, "{failed}");
    // Not even the right secret is looked at now, until what failed is paid for.
    let (status, wait, body) = ask_token(&deployment, "203.0.113.1", operator).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(body["error"], "temporarily_unavailable");
    let owed = (failed - A_MINUTE + 1) * 60 / A_MINUTE;
    let paid = begun.elapsed().as_secs();
    let wait = wait.unwrap();
    assert!(
        (owed.saturating_sub(paid)..=owed + 1).contains(&wait),
        "{wait} of {owed}"
    );
    let agents = format!("{}/api/v1/agents", deployment.url);
    let refused = ask(&deployment.http, &agents, "203.0.113.1").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(number(&refused, "x-ratelimit-limit"), A_MINUTE);

    // A good client behind another address is not hurt.
    let (status, ..) = ask_token(&deployment, "203.0.113.2", operator).await;
    assert_eq!(status, StatusCode::OK);
    // One after the other it is the same: so many fail, and the next one waits.
    let begun = Instant::now();
    let mut failed = 0;
    while ask_token(&deployment, "203.0.113.3", guess).await.0 == StatusCode::UNAUTHORIZED {
        failed += 1;
    }
    let most = A_MINUTE + begun.elapsed().as_secs() / 2 + 1;
    assert!((A_MINUTE..=most).contains(&failed), "{failed}");
    deployment.stop().await;
}
