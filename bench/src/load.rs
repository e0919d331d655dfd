//! The load generator: kept-alive connections on this thread alone, each with one
//! request in flight. Every answer is handed to a check while the load runs; the
//! first one that fails stops it. CPU is read at both ends of the measured part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::Outcome;
use crate::cpu::Meter;
use crate::http::{Answer, read_answer};

/// A measured part that nobody looks at.
pub(crate) const SHORTEST: Duration = Duration::from_millis(300);
/// How much longer than planned a load may take.
const PATIENCE: Duration = Duration::from_secs(20);
const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// Looks at an answer to the request of that number; what it returns is kept.
pub(crate) type Check = dyn Fn(usize, &Answer<'_>) -> Outcome<Option<String>> + Send + Sync;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) enum Requests {
    /// Each connection repeats its own.
    Repeated(Arc<Vec<Vec<u8>>>),
    /// Each is sent once, by whoever is free; the load ends with the last.
    Once(Arc<Vec<Vec<u8>>>),
}

/// One load.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) requests: Requests,
    pub(crate) warm_up: Duration,
    /// At most, where each request is sent once.
    pub(crate) measured: Duration,
    pub(crate) check: Arc<Check>,
    pub(crate) meters: Vec<Meter>,
}

/// What an answer gave to keep, with the number of its request.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) request: usize,
    pub(crate) text: String,
}

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Answers in the measured part.
    pub(crate) answers: usize,
    pub(crate) a_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU-µs an answer, in the order of the meters.
    pub(crate) cpu_us: Vec<f64>,
}

/// What the connections share.
struct Shared {
    phase: AtomicU8,
    next: AtomicUsize,
    over: Notify,
}

/// What a connection saw.
#[derive(Default)]
struct Seen {
    latencies_us: Vec<u32>,
    kept: Vec<Kept>,
}

impl Load {
    /// Runs it; answers with everything that was kept, warm-up included.
    pub(crate) async fn run(&self) -> Outcome<(Measured, Vec<Kept>)> {
        let most = self.warm_up + self.measured + PATIENCE;
        tokio::time::timeout(most, self.run_unbounded())
            .await
            .map_err(|_| "a load took longer than it may: an answer never came")?
    }

    async fn run_unbounded(&self) -> Outcome<(Measured, Vec<Kept>)> {
        let shared = Arc::new(Shared {
            // Without a warm-up the first answer counts, however soon it comes.
            phase: AtomicU8::new(if self.warm_up.is_zero() {
                MEASURED
            } else {
                WARM_UP
            }),
            next: AtomicUsize::new(0),
            over: Notify::new(),
        });
        let mut connections = tokio::task::JoinSet::new();
        for number in 0..self.connections {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let (requests, check) = (self.requests.clone(), Arc::clone(&self.check));
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                let mut seen = Seen::default();
                let outcome =
                    converse(stream, number, &requests, &*check, &shared, &mut seen).await;
                if outcome.is_err() {
                    shared.phase.store(OVER, Ordering::Relaxed);
                    shared.over.notify_one();
                }
                outcome.map(|()| seen)
            });
        }
        let over = &shared.over;
        let until = |part| async move {
            tokio::select! {
                () = tokio::time::sleep(part) => {}
                () = over.notified() => over.notify_one(),
            }
        };
        until(self.warm_up).await;
        let before = self.read_meters()?;
        let begun = Instant::now();
        let _ =
            shared
                .phase
                .compare_exchange(WARM_UP, MEASURED, Ordering::Relaxed, Ordering::Relaxed);
        until(self.measured).await;
        shared.phase.store(OVER, Ordering::Relaxed);
        let seconds = begun.elapsed().as_secs_f64();
        let after = self.read_meters();

        let mut latencies = Vec::new();
        let mut kept = Vec::new();
        while let Some(seen) = connections.join_next().await {
            let seen = seen??;
            latencies.extend(seen.latencies_us);
            kept.extend(seen.kept);
        }
        let cpu: Vec<Duration> = after?.iter().zip(before).map(|(a, b)| *a - b).collect();
        Ok((summary(latencies, seconds, &cpu)?, kept))
    }

    fn read_meters(&self) -> Outcome<Vec<Duration>> {
        self.meters.iter().map(Meter::read).collect()
    }
}

/// One connection: request after request until the load is over.
async fn converse(
    mut stream: TcpStream,
    number: usize,
    requests: &Requests,
    check: &Check,
    shared: &Shared,
    seen: &mut Seen,
) -> Outcome<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(16 << 10);
    while shared.phase.load(Ordering::Relaxed) != OVER {
        let (all, index) = match requests {
            Requests::Repeated(all) => (all, number % all.len()),
            Requests::Once(all) => (all, shared.next.fetch_add(1, Ordering::Relaxed)),
        };
        let Some(request) = all.get(index) else {
            shared.over.notify_one();
            return Ok(());
        };
        let begun = Instant::now();
        stream.write_all(request).await?;
        let (keep, used) = loop {
            if let Some((answer, used)) = read_answer(&buffer)? {
                break (check(index, &answer)?, used);
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("a connection was closed in the middle of an answer".into());
            }
        };
        if shared.phase.load(Ordering::Relaxed) == MEASURED {
            let us = begun.elapsed().as_micros();
            seen.latencies_us
                .push(u32::try_from(us).unwrap_or(u32::MAX));
        }
        if let Some(text) = keep {
            seen.kept.push(Kept {
                request: index,
                text,
            });
        }
        if used != buffer.len() {
            return Err("more bytes came than the answer has".into());
        }
        buffer.clear();
    }
    Ok(())
}

fn summary(mut latencies_us: Vec<u32>, seconds: f64, cpu: &[Duration]) -> Outcome<Measured> {
    let answers = latencies_us.len();
    if answers == 0 {
        return Err("nothing was answered in the measured part".into());
    }
    latencies_us.sort_unstable();
    let quantile = |of_1000: usize| f64::from(latencies_us[(answers - 1) * of_1000 / 1000]) / 1e3;
    Ok(Measured {
        answers,
        a_second: answers as f64 / seconds,
        p50_ms: quantile(500),
        p99_ms: quantile(990),
        cpu_us: cpu
            .iter()
            .map(|cpu| cpu.as_secs_f64() * 1e6 / answers as f64)
            .collect(),
    })
}

/// The middle of several; of an even number the lower one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The one that `of_1000` thousandths are at most.
pub(crate) fn quantile_of(sorted: &[f64], of_1000: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last * of_1000).div_ceil(1000);
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Each figure's own median over the rounds.
pub(crate) fn median_of(rounds: &[Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| median(rounds.iter().map(figure));
    let meters = rounds.first().map_or(0, |round| round.cpu_us.len());
    Measured {
        answers: rounds.iter().map(|round| round.answers).sum(),
        a_second: of(|round| round.a_second),
        p50_ms: of(|round| round.p50_ms),
        p99_ms: of(|round| round.p99_ms),
        cpu_us: (0..meters)
            .map(|meter| median(rounds.iter().map(|round| round.cpu_us[meter])))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_costs_are_of_the_measured_answers() {
        let cpu = [Duration::from_millis(5)];
        let measured = summary((1..=1000).rev().collect(), 2.0, &cpu).unwrap();
        assert_eq!(measured.answers, 1000);
        assert!((measured.a_second - 500.0).abs() < 1e-9);
        assert!((measured.p50_ms - 0.5).abs() < 1e-9);
        assert!((measured.p99_ms - 0.99).abs() < 1e-2);
        assert!((measured.cpu_us[0] - 5.0).abs() < 1e-9);
        assert!(summary(Vec::new(), 1.0, &[]).is_err());
    }

    #[test]
    fn the_median_is_one_of_them() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0]) - 1.0).abs() < 1e-9);
        let sorted = [1.0, 2.0, 3.0, 4.0];
        let [p50, p99, largest] = [500, 990, 1000].map(|of| quantile_of(&sorted, of));
        assert!((p50 - 3.0).abs() < 1e-9);
        assert!((p99 - 4.0).abs() < 1e-9 && (largest - 4.0).abs() < 1e-9);
        assert!(quantile_of(&[], 500).is_nan());
    }

    /// Asks a server that says `answers`, one after another.
    async fn load_on(answers: &'static [&'static str]) -> Outcome<(Measured, Vec<Kept>)> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 64];
            for body in answers {
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(body.as_bytes()).await;
            }
            let _ = stream.read(&mut request).await;
        });
        let load = Load {
            address,
            connections: 1,
            requests: Requests::Once(Arc::new(vec![b"?".to_vec(); answers.len()])),
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(5),
            check: crate::check::nothing(),
            meters: vec![Meter::of(std::process::id())],
        };
        load.run().await
    }

    const RIGHT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nnothing";

    #[tokio::test]
    async fn a_load_of_right_answers_is_measured() {
        let (measured, kept) = load_on(&[RIGHT, RIGHT, RIGHT]).await.unwrap();
        assert_eq!((measured.answers, kept.len()), (3, 0));
        assert_eq!(measured.cpu_us.len(), 1);
    }

    #[tokio::test]
    async fn one_429_among_right_answers_refuses_the_load() {
        const REFUSED: &str = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 7\r\n\r\nnothing";
        let why = load_on(&[RIGHT, REFUSED, RIGHT]).await.unwrap_err();
        assert!(why.to_string().contains("429"), "{why}");
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_refuses_the_load() {
        assert!(
            load_on(&[RIGHT, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot"])
                .await
                .is_err()
        );
    }
}
