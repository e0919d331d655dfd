//! Callers that go on asking for tokens until they are told to stop, and what they
//! were answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Client, Deployment, claims, secrets, text};

/// How long whoever got no token waits before it asks again.
const PAUSE: Duration = Duration::from_millis(10);

pub struct Load {
    stop: Arc<AtomicBool>,
    tokens: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<Vec<Answer>>>,
}

/// What became of one request.
#[derive(Debug)]
pub struct Answer {
    pub sent: Instant,
    pub took: Duration,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub enum Outcome {
    Token(String),
    Refused {
        status: StatusCode,
        retry_after: Option<String>,
        body: Value,
    },
    /// The connection was refused, or broke off.
    Nothing,
}

impl Answer {
    pub fn token(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Token(token) => Some(token),
            _ => None,
        }
    }

    /// The token's id.
    pub fn jti(&self) -> Option<Uuid> {
        Some(text(&claims(self.token()?), "jti").parse().unwrap())
    }

    pub fn came(&self) -> Instant {
        self.sent + self.took
    }
}

impl Load {
    /// `callers` of one client, each asking again when it is answered.
    pub fn start(deployment: &Deployment, client: &Client, callers: usize) -> Self {
        let (stop, tokens) = (Arc::default(), Arc::default());
        let callers = (0..callers)
            .map(|_| {
                let (http, url) = (deployment.http.clone(), deployment.url.clone());
                let (client, stop, tokens) =
                    (client.clone(), Arc::clone(&stop), Arc::clone(&tokens));
                tokio::spawn(call(http, url, client, stop, tokens))
            })
            .collect();
        Self {
            stop,
            tokens,
            callers,
        }
    }

    /// How many tokens they have got.
    pub fn tokens(&self) -> usize {
        self.tokens.load(Ordering::SeqCst)
    }

    /// Done when they have got `tokens` more.
    pub async fn more(&self, tokens: usize) {
        let (begun, before) = (Instant::now(), self.tokens());
        while self.tokens() < before + tokens {
            assert!(
                begun.elapsed() < Duration::from_secs(15),
                "nobody is served"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets each caller have the answer that it waits for.
    pub async fn stop(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::SeqCst);
        let mut answers = Vec::new();
        for caller in self.callers {
            answers.extend(caller.await.unwrap());
        }
        answers
    }
}

async fn call(
    http: reqwest::Client,
    url: String,
    client: Client,
    stop: Arc<AtomicBool>,
    tokens: Arc<AtomicUsize>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let sent = Instant::now();
        let outcome = ask(&http, &url, &client).await;
        let took = sent.elapsed();
        if let Outcome::Token(_) = outcome {
            tokens.fetch_add(1, Ordering::SeqCst);
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        answers.push(Answer {
            sent,
            took,
            outcome,
        });
    }
    answers
}

async fn ask(http: &reqwest::Client, url: &str, client: &Client) -> Outcome {
    let request = http
        .post(format!("{url}/api/v1/token"))
        .basic_auth(&client.id, Some(&client.secret))
        .form(&[("grant_type", "client_credentials")]);
    let Ok(answer) = request.send().await else {
        return Outcome::Nothing;
    };
    let status = answer.status();
    let retry_after = answer.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    match answer.json::<Value>().await {
        Ok(body) if status == StatusCode::OK => {
            let token = text(&body, "access_token");
            secrets::keep_token(&token);
            Outcome::Token(token)
        }
        Ok(body) => Outcome::Refused {
            status,
            retry_after,
            body,
        },
        Err(_) => Outcome::Nothing,
    }
}
