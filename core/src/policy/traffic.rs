//! What takes a processor for long gives way while tokens are issued: it runs for a
//! moment and stands still for a few. A processor that is never idle takes no work
//! from another one that has too much, and that work would wait for milliseconds,
//! however low the priority of what it waits for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long it runs, and how long it then stands still.
const RUNS: Duration = Duration::from_millis(1);
const STANDS: Duration = Duration::from_millis(4);

/// The decisions.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// How many were asked for.
    decisions: AtomicU64,
    /// How many of them wait for the compiler.
    waiting: AtomicUsize,
}

/// A decision that waits for the compiler, which hurries until this is dropped.
pub(super) struct Hurry<'a>(&'a Traffic);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Traffic {
    /// One more decision.
    pub(super) fn passes(&self) {
        self.decisions.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.decisions.load(Ordering::Relaxed)
    }

    /// A decision waits for the compiler.
    pub(super) fn hurry(&self) -> Hurry<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Hurry(self)
    }

    /// Has a child process, which the caller has not waited for, give way. Never ends.
    pub(super) async fn stops(&self, child: Pid) {
        loop {
            let before = self.count();
            tokio::time::sleep(RUNS).await;
            if self.count() != before && self.waiting.load(Ordering::Relaxed) == 0 {
                let _ = kill_process(child, Signal::STOP);
                tokio::time::sleep(STANDS).await;
                let _ = kill_process(child, Signal::CONT);
            }
        }
    }

    /// `items`, between which this thread gives way.
    pub(super) fn between<T>(&self, items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        let mut since = (Instant::now(), self.count());
        items.inspect(move |_| {
            if since.0.elapsed() >= RUNS {
                if self.count() != since.1 {
                    std::thread::sleep(STANDS);
                }
                since = (Instant::now(), self.count());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_way_to_decisions_and_to_nothing_else() {
        let traffic = Traffic::default();
        let mut stood = 0;
        for decisions in [0, 1] {
            let mut last = Instant::now();
            for _ in traffic.between(0..5) {
                stood += usize::from(last.elapsed() >= STANDS) * decisions;
                std::thread::sleep(RUNS);
                for _ in 0..decisions {
                    traffic.passes();
                }
                last = Instant::now();
            }
        }
        // Before the second to the last of those that had decisions beside them.
        assert_eq!(stood, 4);
    }

    #[tokio::test]
    async fn a_process_stands_still_while_there_are_decisions() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let (traffic, stat) = (Traffic::default(), format!("/proc/{}/stat", child.id()));
        let pid = Pid::from_child(&child);
        let seen = async {
            let (mut stood, mut ran) = (0, 0);
            for turn in 0..400 {
                if turn < 200 {
                    traffic.passes();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                let stands = std::fs::read_to_string(&stat).unwrap().contains(") T ");
                // The first of those without decisions may find it still standing.
                match turn {
                    0..200 => stood += usize::from(stands),
                    210.. => ran += usize::from(!stands),
                    _ => {}
                }
            }
            (stood, ran)
        };
        let (stood, ran) = tokio::select! {
            seen = seen => seen,
            () = traffic.stops(pid) => unreachable!("it never ends"),
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(stood > 0, "it never stood still");
        assert_eq!(ran, 190, "it stood still for nobody");
    }
}
