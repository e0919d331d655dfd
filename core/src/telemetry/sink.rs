//! The way of the log's lines to standard output: a thread of its own writes
//! whatever has gathered with one system call. No request waits for whoever reads
//! the log; where that is nobody for long, lines are lost, and counted.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather.
const GATHER: Duration = Duration::from_millis(2);
/// How many bytes may wait to be written.
const MOST_WAITING: usize = 4 << 20;
/// How long the end of the process waits for them.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where lines are given.
#[derive(Clone)]
pub(super) struct Sink(Arc<Shared>);

/// Sees to it, when it is dropped, that everything has been written.
#[must_use = "what is dropped at once writes nothing"]
pub struct Flush(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How many lines were lost since this was said last.
    lost: u64,
    closing: bool,
    written: bool,
}

impl Sink {
    /// Starts the thread; without one, lines go out as they come.
    pub(super) fn start() -> (Self, Flush) {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let started = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&of_thread, &mut io::stdout(), say_lost));
        if started.is_err() {
            shared.lock().written = true;
        }
        (Self(Arc::clone(&shared)), Flush(shared))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event's lines come by one call.
impl io::Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        if waiting.written {
            // After the end, and where there is no thread.
            return io::Write::write(&mut io::stdout(), line);
        }
        if waiting.bytes.len() + line.len() > MOST_WAITING {
            waiting.lost += 1;
            return Ok(line.len());
        }
        let wake = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if wake {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closing = true;
        self.0.changed.notify_all();
        let _ = self
            .0
            .changed
            .wait_timeout_while(waiting, PATIENCE, |waiting| !waiting.written);
    }
}

/// Says so as an event, which has the log's own form.
fn say_lost(lines: u64) {
    tracing::warn!(lines, "lines of the log were lost: nobody read it");
}

/// Writes to `out` until the end. Whoever read the log may have gone: that is no
/// failure of anything.
fn write_all(shared: &Shared, out: &mut impl io::Write, say_lost: impl Fn(u64)) {
    let mut bytes = Vec::new();
    loop {
        let waiting = shared.lock();
        let waiting = shared
            .changed
            .wait_while(waiting, |waiting| {
                waiting.bytes.is_empty() && !waiting.closing
            })
            .unwrap_or_else(PoisonError::into_inner);
        let closing = waiting.closing;
        drop(waiting);
        if !closing {
            std::thread::sleep(GATHER);
        }
        let mut waiting = shared.lock();
        std::mem::swap(&mut waiting.bytes, &mut bytes);
        let lost = std::mem::take(&mut waiting.lost);
        drop(waiting);
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
        bytes.clear();
        if lost > 0 {
            say_lost(lost);
        }
        let mut waiting = shared.lock();
        if closing && waiting.bytes.is_empty() {
            waiting.written = true;
            drop(waiting);
            shared.changed.notify_all();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Takes what is written, when it is let.
    #[derive(Clone, Default)]
    struct Reader {
        read: Arc<Mutex<Vec<u8>>>,
        hold: Arc<Mutex<()>>,
    }

    impl io::Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _held = self.hold.lock().unwrap();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start(reader: &Reader) -> (Sink, Flush) {
        let shared = Arc::new(Shared::default());
        let (of_thread, mut out) = (Arc::clone(&shared), reader.clone());
        let sink = Sink(Arc::clone(&shared));
        let say_lost = move |lines: u64| {
            let line = format!("{lines} lost\n");
            (&sink).write_all(line.as_bytes()).unwrap();
        };
        std::thread::spawn(move || write_all(&of_thread, &mut out, say_lost));
        (Sink(Arc::clone(&shared)), Flush(shared))
    }

    #[test]
    fn every_line_is_written_in_its_order_before_the_end() {
        let reader = Reader::default();
        let (sink, flush) = start(&reader);
        let lines: String = (0..1_000).map(|n| format!("line {n}\n")).collect();
        for line in lines.split_inclusive('\n') {
            (&sink).write_all(line.as_bytes()).unwrap();
        }
        drop(flush);
        assert_eq!(*reader.read.lock().unwrap(), lines.as_bytes());
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_what_is_lost_is_counted() {
        let reader = Reader::default();
        let (sink, flush) = start(&reader);
        let held = reader.hold.lock().unwrap();
        let line = vec![b'x'; MOST_WAITING / 4];
        for _ in 0..20 {
            (&sink).write_all(&line).unwrap();
        }
        drop(held);
        drop(flush);
        let read = reader.read.lock().unwrap();
        assert!(read.len() < 20 * line.len());
        let kept = read.iter().filter(|byte| **byte == b'x').count() / line.len();
        assert!(read.ends_with(format!("x{} lost\n", 20 - kept).as_bytes()));
    }
}
