//! Group commit: whatever waits is written with one statement and one fsync,
//! while the next group gathers. Whoever gave an event is answered when it is on
//! disk, or when it is not known to be.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Event, insert};
use crate::database::Database;
use crate::limits::ledger::{self, Mark};

/// How many events one statement writes at most.
const LARGEST_GROUP: usize = 256;
/// How many events may wait; one more is refused at once.
const LONGEST_QUEUE: usize = 4_096;
/// How long one group may take before its callers are told that it failed.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The event is not known to be on disk: its caller must not act on it.
#[derive(Debug, thiserror::Error)]
#[error("the audit event could not be made durable")]
pub struct NotRecorded;

/// What is to be written.
enum Entry {
    Event(Event),
    /// How far counters may count (see [`ledger`]).
    Marks(Vec<Mark>),
}

type Waiting = (Entry, oneshot::Sender<Result<(), NotRecorded>>);

/// The way into the group.
#[derive(Debug)]
pub struct Writer {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the one task that writes.
    pub fn start(database: Database) -> Self {
        let (queue, waiting) = mpsc::channel(LONGEST_QUEUE);
        Self {
            queue: Mutex::new(Some(queue)),
            task: Mutex::new(Some(tokio::spawn(write_groups(database, waiting)))),
        }
    }

    /// Waits until `event` is on disk.
    ///
    /// # Errors
    /// It may or may not get there: the queue is full, the database did not
    /// answer in time, or the service is stopping.
    pub async fn record(&self, event: Event) -> Result<(), NotRecorded> {
        self.write(Entry::Event(event)).await
    }

    /// Waits until `marks` are on disk.
    ///
    /// # Errors
    /// The same.
    pub async fn mark(&self, marks: Vec<Mark>) -> Result<(), NotRecorded> {
        self.write(Entry::Marks(marks)).await
    }

    async fn write(&self, entry: Entry) -> Result<(), NotRecorded> {
        let queue = lock(&self.queue).clone().ok_or(NotRecorded)?;
        let (done, outcome) = oneshot::channel();
        queue.try_send((entry, done)).map_err(|_| NotRecorded)?;
        drop(queue);
        outcome.await.unwrap_or(Err(NotRecorded))
    }

    /// Writes what still waits, then ends.
    pub async fn close(&self) {
        drop(lock(&self.queue).take());
        let task = lock(&self.task).take();
        if let Some(task) = task {
            // It ends by itself when the queue is empty; a panic was logged.
            let _ = task.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn write_groups(database: Database, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    while waiting.recv_many(&mut group, LARGEST_GROUP).await > 0 {
        let (entries, callers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        let recorded = match tokio::time::timeout(PATIENCE, write(&database, entries)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!("Unexpected pg pool error {error}");
                false
            }
            Err(_) => {
                tracing::error!("Unexpected pg pool error the record did not answer in time");
                false
            }
        };
        for caller in callers {
            // A caller that went away needs no answer.
            let _ = caller.send(if recorded { Ok(()) } else { Err(NotRecorded) });
        }
    }
}

async fn write(database: &Database, entries: Vec<Entry>) -> Result<(), sqlx::Error> {
    let (mut events, mut marks) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        match entry {
            Entry::Event(event) => events.push(event),
            Entry::Marks(some) => marks.extend(some),
        }
    }
    let mut connection = database.connection().await?;
    if !marks.is_empty() {
        ledger::write(&mut connection, &marks).await?;
    }
    if !events.is_empty() {
        insert(&mut connection, events).await?;
    }
    Ok(())
}
