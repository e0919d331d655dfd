//! A deployment with stores of its own under load, and what must hold of every
//! answer while one of them is away.

use std::time::{Duration, Instant};

use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::load::{Load, Outcome};
use crate::support::stores::{Store, Stores};
use crate::support::{Deployment, Tenant};

const CALLERS: usize = 16;
/// How long an outage lasts.
const LASTS: Duration = Duration::from_secs(4);
/// What the contract lets an answer take, and what a busy machine adds.
const LONGEST: Duration = Duration::from_millis(2_000 + 400);
/// How long the service may take to notice that a store is back.
const RECOVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Stopped,
    Frozen,
    Silent,
}

impl Fault {
    pub const ALL: [Self; 3] = [Self::Stopped, Self::Frozen, Self::Silent];

    async fn begin(self, store: &mut Store) {
        match self {
            Self::Stopped => store.stop().await,
            Self::Frozen => store.freeze(),
            Self::Silent => store.fall_silent().await,
        }
    }

    async fn end(self, store: &mut Store) {
        match self {
            Self::Stopped | Self::Silent => store.start().await,
            Self::Frozen => store.go_on(),
        }
    }
}

/// A deployment with stores of its own, and who calls it.
pub struct Scene {
    pub deployment: Deployment,
    pub tenant: Tenant,
    pub admin: String,
}

impl Scene {
    pub async fn set(stores: &Stores) -> Self {
        let deployment = Deployment::start_with(Algorithm::EdDSA, &stores.settings()).await;
        let minute = "requests_per_minute";
        deployment.set_tier("enterprise", minute, None).await;
        let tenant = deployment.tenant("enterprise").await;
        let admin = deployment.token(&tenant.administrator).await;
        Self {
            deployment,
            tenant,
            admin,
        }
    }

    /// A call of the administrator's, which may not take long.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Option<String>, Value) {
        let url = format!("{}/api/v1{path}", self.deployment.url);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.deployment.http.request(method, url);
        let request = request.bearer_auth(&self.admin);
        answered(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub async fn is_unavailable(&self, method: &str, path: &str, body: Option<Value>) {
        let (status, retry_after, body) = self.call(method, path, body).await;
        check_unavailable(status, retry_after.as_deref(), &body);
    }

    /// A request of the agent's to an OAuth endpoint about `token`.
    pub async fn oauth(&self, endpoint: &str, token: &str) -> (StatusCode, Value) {
        let url = format!("{}/api/v1/token/{endpoint}", self.deployment.url);
        let agent = &self.tenant.agent;
        let request = self.deployment.http.post(url);
        let request = request.basic_auth(&agent.id, Some(&agent.secret));
        let (status, retry_after, body) = answered(request.form(&[("token", token)])).await;
        if status != StatusCode::OK {
            check_unavailable(status, retry_after.as_deref(), &body);
        }
        (status, body)
    }

    pub async fn is_not_ready(&self, reason: &str) {
        let at = |path: &str| self.deployment.http.get(self.deployment.url.clone() + path);
        let (health, _, _) = answered(at("/health")).await;
        assert_eq!(health, StatusCode::OK);
        let (ready, _, body) = answered(at("/ready")).await;
        assert_eq!(ready, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["message"], reason);
    }
}

/// What a request was answered with, in time.
async fn answered(request: reqwest::RequestBuilder) -> (StatusCode, Option<String>, Value) {
    let begun = Instant::now();
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let retry_after = answer.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    let body = answer.text().await.unwrap();
    assert!(
        begun.elapsed() < LONGEST,
        "{status} {body}: {:?}",
        begun.elapsed()
    );
    let body = serde_json::from_str(&body).unwrap_or_default();
    (status, retry_after, body)
}

fn check_unavailable(status: StatusCode, retry_after: Option<&str>, body: &Value) {
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(body["code"], "SERVICE_UNAVAILABLE");
    assert!(retry_after.unwrap().parse::<u64>().unwrap() >= 1);
}

/// An outage under load.
pub struct Outage<'a> {
    scene: &'a Scene,
    fault: Fault,
    load: Load,
    /// The log before it.
    logged: usize,
    /// The stores were away from then on.
    down: Instant,
}

impl<'a> Outage<'a> {
    pub async fn begin(scene: &'a Scene, stores: &mut [&mut Store], fault: Fault) -> Self {
        let load = Load::start(&scene.deployment, &scene.tenant.agent, CALLERS);
        load.more(200).await;
        let logged = std::fs::read(scene.deployment.log()).unwrap().len();
        for store in stores {
            fault.begin(store).await;
        }
        Self {
            scene,
            fault,
            load,
            logged,
            down: Instant::now(),
        }
    }

    /// Has the stores come back once it has lasted, and the service with them;
    /// answers with what was logged.
    pub async fn end(self, stores: &mut [&mut Store]) -> String {
        let deployment = &self.scene.deployment;
        tokio::time::sleep_until((self.down + LASTS).into()).await;
        let up = Instant::now();
        for store in stores {
            self.fault.end(store).await;
        }
        let back = Instant::now();
        eventually(async || {
            let ready = deployment.http.get(format!("{}/ready", deployment.url));
            ready.send().await.unwrap().status() == StatusCode::OK
        })
        .await;
        self.load.more(200).await;
        let recovered = Instant::now();
        assert!(recovered - back < RECOVERY, "{:?}", recovered - back);
        // Connections that died unnoticed have all been noticed after that.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let settled = Instant::now();
        self.load.more(200).await;

        let answers = self.load.stop().await;
        let longest = answers.iter().map(|answer| answer.took).max().unwrap();
        assert!(longest < LONGEST, "an answer took {longest:?}");
        let mut refused = 0;
        for answer in &answers {
            let away = answer.sent >= self.down && answer.came() <= up;
            match &answer.outcome {
                Outcome::Token(_) => assert!(!away, "a token was issued meanwhile"),
                Outcome::Refused {
                    status,
                    retry_after,
                    body,
                } => {
                    check_unavailable(*status, retry_after.as_deref(), body);
                    assert_eq!(body["error"], "temporarily_unavailable");
                    assert!(answer.sent < settled, "{body} after it was over");
                    refused += usize::from(away);
                }
                Outcome::Nothing => panic!("a connection broke off"),
            }
        }
        assert!(refused >= CALLERS, "{refused} were refused");
        let seen = deployment.accounts(&self.scene.tenant, &answers).await;
        println!(
            "{:?}: {refused} refused meanwhile, the longest after {longest:?}; served again \
             {:?} after; {seen:?}",
            self.fault,
            recovered - back
        );
        let log = std::fs::read(deployment.log()).unwrap();
        String::from_utf8(log[self.logged..].to_vec()).unwrap()
    }
}

/// Waits for what must come to be within a recovery's time.
pub async fn eventually(is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < RECOVERY, "it does not come to be");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
