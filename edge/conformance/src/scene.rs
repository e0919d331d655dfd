//! What the checks share: the edge, a good token, and how it is asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bend::Bent;
use crate::target::{Core, Target};
use crate::wire::{Answer, Server};
use crate::{Stop, core_api};

/// What a gateway asks.
pub(crate) const VERIFY: &str = "/verify";
/// How long one waits for a limit's next window, at most.
const LONGEST_WINDOW: Duration = Duration::from_secs(61);

pub(crate) struct Scene<'a> {
    pub(crate) target: &'a Target,
    edge: Server,
    good: Option<String>,
}

impl<'a> Scene<'a> {
    pub(crate) async fn set(target: &'a Target) -> Result<Self, String> {
        let good = match (&target.core, &target.token) {
            (Some(core), _) => Some(core_api::token(core, &core.client, None).await?),
            (None, token) => token.clone(),
        };
        let scene = Self {
            target,
            edge: Server::at(&target.edge)?,
            good,
        };
        scene.ask("GET", VERIFY, &[]).await?;
        Ok(scene)
    }

    pub(crate) fn core(&self) -> Result<&'a Core, Stop> {
        let why = "it needs CORE_URL, CLIENT_ID and CLIENT_SECRET";
        self.target.core.as_ref().ok_or_else(|| skip(why))
    }

    /// A token that the edge must take.
    pub(crate) fn good(&self) -> Result<&str, Stop> {
        let why = "it needs CORE_URL, CLIENT_ID and CLIENT_SECRET, or TOKEN";
        self.good.as_deref().ok_or_else(|| skip(why))
    }

    pub(crate) fn bent(&self) -> Result<Bent, Stop> {
        Ok(Bent::of(self.good()?)?)
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        self.edge.ask(method, path, headers, b"").await
    }

    /// With bytes after the head.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        rest: &[u8],
    ) -> Result<Answer, String> {
        self.edge.ask(method, path, headers, rest).await
    }

    /// `GET /verify` with that `Authorization`.
    pub(crate) async fn authorized_by(&self, text: &str) -> Result<Answer, String> {
        let headers = [("Authorization", text)];
        self.ask("GET", VERIFY, &headers).await
    }

    /// `GET path` with a bearer token.
    pub(crate) async fn with(&self, path: &str, token: &str) -> Result<Answer, String> {
        let bearer = format!("Bearer {token}");
        self.ask("GET", path, &[("Authorization", &bearer)]).await
    }

    /// The same where a spent minute is waited for.
    pub(crate) async fn patiently(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        token: &str,
    ) -> Result<Answer, String> {
        let bearer = format!("Bearer {token}");
        let headers = [&[("Authorization", &*bearer)], headers].concat();
        for _ in 0..2 {
            let answer = self.ask(method, path, &headers).await?;
            let wait = answer.header("retry-after").and_then(|s| s.parse().ok());
            match (answer.status, wait) {
                (429 | 503, Some(s)) => {
                    tokio::time::sleep(Duration::from_secs(s).min(LONGEST_WINDOW)).await;
                }
                _ => return Ok(answer),
            }
        }
        self.ask(method, path, &headers).await
    }

    /// An admitted answer of `/verify`.
    pub(crate) async fn admitted(&self) -> Result<Answer, Stop> {
        let answer = self.patiently("GET", VERIFY, &[], self.good()?).await?;
        match answer.status {
            200 => Ok(answer),
            status => Err(failed(format!("a good token was answered with {status}"))),
        }
    }

    /// Where the echo origin is.
    pub(crate) fn echo(&self) -> Result<&str, Stop> {
        let path = self.target.echo_path.as_deref();
        path.ok_or_else(|| skip("it needs ECHO_PATH, before an origin that echoes"))
    }
}

/// The time: the suite is a program of its own, whose target has another clock.
#[expect(clippy::disallowed_methods, reason = "nobody hands it a time")]
pub(crate) fn since_1970() -> Result<Duration, Stop> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_err(|_| failed("the clock is before 1970"))
}

pub(crate) fn skip(why: impl Into<String>) -> Stop {
    Stop::Skipped(why.into())
}

pub(crate) fn failed(why: impl Into<String>) -> Stop {
    Stop::Failed(why.into())
}

/// Fails with `why` unless it is so.
pub(crate) fn must(is_so: bool, why: impl FnOnce() -> String) -> Result<(), Stop> {
    match is_so {
        true => Ok(()),
        false => Err(Stop::Failed(why())),
    }
}
