//! Requests at a steady pace, whatever becomes of them: over kept connections to
//! one or several edges on this machine, each with when it was sent and answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::wire::{Answer, read_answer};

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Which of the edges.
    pub edge: usize,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer had come, or the connection had broken off.
    pub answered: Instant,
    /// Nothing where the connection was refused or broke off.
    pub status: Option<u16>,
    /// `X-RateLimit-Reset`, Unix seconds: the window that it was counted in.
    pub window_ends_s: Option<u64>,
    /// `X-Revocation-Age`, seconds.
    pub revocation_age_s: Option<u64>,
}

impl Seen {
    /// Whether it was admitted.
    pub fn admitted(&self) -> bool {
        self.status == Some(200)
    }

    /// How long its answer took.
    pub fn took(&self) -> Duration {
        self.answered.duration_since(self.sent)
    }
}

/// Requests that go on until they are stopped.
pub struct Pace {
    stop: Arc<AtomicBool>,
    connections: Vec<JoinHandle<Vec<Seen>>>,
}

impl Pace {
    /// `GET path` with a bearer token, `a_second` in all, in turn over
    /// `connections` to each edge. A connection has one request under way: one
    /// whose answer is late sends the next at its next turn.
    pub fn start(
        edges: &[SocketAddr],
        connections: usize,
        path: &str,
        token: &str,
        a_second: u32,
    ) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n\r\n");
        let request: Arc<[u8]> = request.into_bytes().into();
        let stop: Arc<AtomicBool> = Arc::default();
        let all = u32::try_from(edges.len() * connections).unwrap_or(u32::MAX);
        let turn = Duration::from_secs(1) / a_second.max(1);
        let begun = Instant::now();
        let connections = (0..all)
            .map(|number| {
                let edge = number as usize % edges.len();
                let caller = Caller {
                    edge,
                    address: edges[edge],
                    request: Arc::clone(&request),
                    first: begun + turn * number,
                    every: turn * all,
                    stop: Arc::clone(&stop),
                };
                tokio::spawn(caller.go_on())
            })
            .collect();
        Self { stop, connections }
    }

    /// Lets each connection have the answer that it waits for; answers with all
    /// requests, by when they were sent.
    ///
    /// # Errors
    /// A connection's task has failed.
    pub async fn stop(self) -> Result<Vec<Seen>, String> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        for connection in self.connections {
            all.extend(connection.await.map_err(|why| why.to_string())?);
        }
        all.sort_by_key(|seen| seen.sent);
        Ok(all)
    }
}

/// One connection's requests.
struct Caller {
    edge: usize,
    address: SocketAddr,
    request: Arc<[u8]>,
    first: Instant,
    every: Duration,
    stop: Arc<AtomicBool>,
}

impl Caller {
    async fn go_on(self) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut stream = None;
        let mut next = self.first;
        loop {
            tokio::time::sleep_until(next.into()).await;
            if self.stop.load(Ordering::SeqCst) {
                return seen;
            }
            let sent = Instant::now();
            let asked = tokio::time::timeout(PATIENCE, self.ask(&mut stream)).await;
            let answer = asked.ok().and_then(Result::ok);
            if answer.is_none() {
                stream = None;
            }
            let number = |name| {
                let value = answer.as_ref()?.header(name)?;
                value.parse().ok()
            };
            seen.push(Seen {
                edge: self.edge,
                sent,
                answered: Instant::now(),
                status: answer.as_ref().map(|answer| answer.status),
                window_ends_s: number("x-ratelimit-reset"),
                revocation_age_s: number("x-revocation-age"),
            });
            while next <= sent {
                next += self.every;
            }
        }
    }

    async fn ask(&self, kept: &mut Option<TcpStream>) -> std::io::Result<Answer> {
        let stream = match kept {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                kept.insert(stream)
            }
        };
        stream.write_all(&self.request).await?;
        let mut bytes = Vec::with_capacity(4 << 10);
        loop {
            let read = stream.read_buf(&mut bytes).await?;
            if let Some(answer) = read_answer(&bytes, read == 0, false) {
                return Ok(answer);
            }
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// When the last of `seen` at each edge that was admitted had been answered,
/// after `since`: nothing where none was.
pub fn last_admitted(seen: &[Seen], edges: usize, since: Instant) -> Vec<Duration> {
    (0..edges)
        .map(|edge| {
            let admitted = seen
                .iter()
                .filter(|seen| seen.edge == edge && seen.admitted());
            let last = admitted.map(|seen| seen.answered).max();
            last.map_or(Duration::ZERO, |last| last.saturating_duration_since(since))
        })
        .collect()
}

/// The most that were admitted in one window, and how many windows there were.
pub fn most_in_a_window(seen: &[Seen]) -> (usize, usize) {
    let mut windows: HashMap<u64, usize> = HashMap::new();
    for seen in seen.iter().filter(|seen| seen.admitted()) {
        // Those that say nothing of their window are counted together.
        *windows.entry(seen.window_ends_s.unwrap_or(0)).or_default() += 1;
    }
    (windows.values().copied().max().unwrap_or(0), windows.len())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers with what it counts.
    async fn server() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut bytes = [0; 1024];
                    while matches!(stream.read(&mut bytes).await, Ok(read) if read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\nX-RateLimit-Reset: 60\r\nContent-Length: 2\r\n\r\nok";
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn the_pace_is_kept_and_every_edge_is_asked() {
        let edges = [server().await, server().await];
        let since = Instant::now();
        let pace = Pace::start(&edges, 2, "/", "token", 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let seen = pace.stop().await.unwrap();
        assert!((60..=110).contains(&seen.len()), "{}", seen.len());
        assert!(
            seen.iter()
                .all(|seen| seen.admitted() && seen.window_ends_s == Some(60))
        );
        let last = last_admitted(&seen, 3, since);
        assert!(last[0] > Duration::from_millis(300) && last[1] > Duration::from_millis(300));
        assert_eq!(last[2], Duration::ZERO);
        assert_eq!(most_in_a_window(&seen), (seen.len(), 1));
    }

    #[tokio::test]
    async fn nobody_there_is_seen_too() {
        let nobody = TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let pace = Pace::start(&[nobody], 1, "/", "token", 100);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let seen = pace.stop().await.unwrap();
        assert!(!seen.is_empty() && seen.iter().all(|seen| seen.status.is_none()));
    }
}
