//! What survives the hot store: before a use is admitted, its counter's mark is
//! on disk, a block of uses ahead of the count. A store that began in the middle
//! of a period (Redis lost everything, or `agentidp dev` was started anew) has
//! each of that period's counters raised to its mark before anybody is admitted
//! by it. So a loss rounds up, and gives nobody a second quota.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use sqlx::PgConnection;

use super::LimitError;
use crate::app::App;
use crate::clock::{Now, from_ms};
use crate::hot::{self, HotError, Leased, Tick};

/// How many counters' marks are remembered, about 150 bytes each. One that was
/// forgotten is read or written once more.
const MOST_KEPT: usize = 150_000;
/// How often a count is made anew in a store that was lost meanwhile.
const ATTEMPTS: u32 = 3;

/// A counter's mark: no more than `mark` uses were admitted in its period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The counter, without its period.
    pub name: String,
    /// When its period began, Unix milliseconds.
    pub starts_ms: u64,
    /// When it ends, Unix milliseconds.
    pub ends_ms: u64,
    /// Uses.
    pub mark: u64,
}

/// What this process knows of the marks.
#[derive(Debug)]
pub struct Ledger {
    /// The store's beginning that this process goes by; 0 for none yet.
    epoch: AtomicU64,
    /// By the counter's key: its mark on disk.
    marks: Cache<String, Known>,
    /// By the counter's key: the epoch in which it was raised to its mark.
    raised: Cache<String, u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            marks: Cache::new(MOST_KEPT),
            raised: Cache::new(MOST_KEPT),
        }
    }
}

/// A mark that was on disk while the store of `epoch` was still there: whoever
/// restores a later one reads this mark or a higher one.
#[derive(Debug, Clone, Copy)]
struct Known {
    epoch: u64,
    mark: u64,
}

/// What counters have come to, in the store that began at `epoch`.
pub(super) struct Counts {
    pub(super) values: Vec<u64>,
    pub(super) epoch: u64,
}

/// A counter as the ledger sees it.
pub(super) struct Counter {
    pub(super) tick: Tick,
    /// The key without the period: what the mark goes by.
    pub(super) name: String,
    pub(super) limit: Option<u64>,
    /// Marks are multiples of this; nothing is marked where there is none.
    pub(super) block: Option<u64>,
}

/// What the store is asked for.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Count(&'a [Tick]),
    Read(&'a [String]),
}

impl Ledger {
    /// The store's beginning that this process goes by, Unix milliseconds.
    pub fn epoch(&self) -> Option<u64> {
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    /// Counts a use on each counter of a store that has what it should have.
    pub(super) async fn count(
        &self,
        app: &App,
        counters: &[Counter],
        now: Now,
    ) -> Result<Counts, LimitError> {
        let ticks: Vec<Tick> = counters
            .iter()
            .map(|counter| counter.tick.clone())
            .collect();
        self.ask(app, counters, Asked::Count(&ticks), now).await
    }

    /// What each counter has come to, and counts nothing.
    pub(super) async fn read(
        &self,
        app: &App,
        counters: &[Counter],
        now: Now,
    ) -> Result<Counts, LimitError> {
        let keys: Vec<String> = counters
            .iter()
            .map(|counter| counter.tick.key.clone())
            .collect();
        self.ask(app, counters, Asked::Read(&keys), now).await
    }

    /// Counts a share of `wanted` uses on a counter, within its limit, and has its
    /// mark on disk.
    pub(super) async fn lease(
        &self,
        app: &App,
        counter: &Counter,
        wanted: u64,
        now: Now,
    ) -> Result<Leased, LimitError> {
        let counters = std::slice::from_ref(counter);
        let mut epoch = self.current(app).await?;
        for _ in 0..ATTEMPTS {
            self.raise(app, counters, epoch, now).await?;
            let leased = app
                .hot
                .lease(&counter.tick, wanted, counter.limit, now)
                .await?;
            if leased.epoch == Some(epoch) {
                let values = vec![leased.value];
                let counts = Counts { values, epoch };
                self.settle(app, counters, &counts, now).await?;
                return Ok(leased);
            }
            epoch = self.adopt(app).await?;
        }
        Err(LimitError::Unsettled)
    }

    /// Asks a store that has what it should have of `counters`.
    async fn ask(
        &self,
        app: &App,
        counters: &[Counter],
        asked: Asked<'_>,
        now: Now,
    ) -> Result<Counts, LimitError> {
        let mut epoch = self.current(app).await?;
        for _ in 0..ATTEMPTS {
            self.raise(app, counters, epoch, now).await?;
            let counted = match asked {
                Asked::Count(ticks) => app.hot.count(ticks, now).await?,
                Asked::Read(keys) => app.hot.read(keys, now).await?,
            };
            if counted.epoch == Some(epoch) {
                let values = counted.values;
                return Ok(Counts { values, epoch });
            }
            epoch = self.adopt(app).await?;
        }
        Err(LimitError::Unsettled)
    }

    /// The store's beginning that this process goes by, once it knows one.
    async fn current(&self, app: &App) -> Result<u64, HotError> {
        match self.epoch() {
            Some(epoch) => Ok(epoch),
            None => self.adopt(app).await,
        }
    }

    /// Goes by the store's beginning, which is now where it has lost everything.
    pub(crate) async fn adopt(&self, app: &App) -> Result<u64, HotError> {
        // Read anew: others may have been counted in the old store since this
        // request began, in a period that began since.
        let epoch = app.hot.begin_epoch(Now::read()).await?;
        self.epoch.store(epoch, Ordering::Release);
        Ok(epoch)
    }

    /// Raises what was counted before the store began.
    async fn raise(
        &self,
        app: &App,
        counters: &[Counter],
        epoch: u64,
        now: Now,
    ) -> Result<(), LimitError> {
        let lost: Vec<&Counter> = counters
            .iter()
            .filter(|counter| counter.tick.starts_ms <= epoch)
            .filter(|counter| self.raised.get(&counter.tick.key) != Some(epoch))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let marks = read(&mut *app.database.connection().await?, &lost).await?;
        for counter in lost {
            let raised = was_raised(counter, epoch);
            // Asked after the marks were read: whoever raises a counter says so before
            // it counts on, so one that was not raised had no mark of this store yet.
            if !app.hot.exists(&raised, now).await? {
                let mark = marks.iter().find(|mark| {
                    mark.name == counter.name && mark.starts_ms == counter.tick.starts_ms
                });
                if let Some(mark) = mark {
                    app.hot.raise(&counter.tick, mark.mark, now).await?;
                    let mark = mark.mark;
                    self.marks
                        .insert(counter.tick.key.clone(), Known { epoch, mark });
                }
                let raised = hot::Mark {
                    key: raised,
                    expires_ms: counter.tick.expires_ms,
                };
                app.hot.mark(&[raised], now).await?;
            }
            self.raised.insert(counter.tick.key.clone(), epoch);
        }
        Ok(())
    }

    /// Has the marks of what was counted on disk, before the store could be lost.
    pub(super) async fn settle(
        &self,
        app: &App,
        counters: &[Counter],
        counts: &Counts,
        now: Now,
    ) -> Result<(), LimitError> {
        let epoch = counts.epoch;
        let short: Vec<(&str, Mark)> = counters
            .iter()
            .zip(&counts.values)
            .filter_map(|(counter, used)| {
                let block = counter.block?;
                let used = counter.limit.map_or(*used, |limit| limit.min(*used));
                let key = counter.tick.key.as_str();
                let covers = |known: Known| known.epoch == epoch && known.mark >= used;
                if self.marks.get(key).is_some_and(covers) {
                    return None;
                }
                let ahead = used.div_ceil(block).saturating_mul(block);
                let mark = Mark {
                    name: counter.name.clone(),
                    starts_ms: counter.tick.starts_ms,
                    ends_ms: counter.tick.expires_ms,
                    mark: counter.limit.map_or(ahead, |limit| limit.min(ahead)),
                };
                Some((key, mark))
            })
            .collect();
        if short.is_empty() {
            return Ok(());
        }
        let marks = short.iter().map(|(_, mark)| mark.clone()).collect();
        app.audit.mark(marks).await?;
        // Who restored the store meanwhile may have read the marks before these.
        if app.hot.count(&[], now).await?.epoch != Some(epoch) {
            return Err(LimitError::Unsettled);
        }
        for (key, mark) in short {
            let mark = mark.mark;
            self.marks.insert(key.to_owned(), Known { epoch, mark });
        }
        Ok(())
    }
}

/// The store's mark of a counter that was raised in it. It names the store: set
/// late, in the next one, it says nothing there. A replica that begins finds it,
/// and rounds nothing up.
fn was_raised(counter: &Counter, epoch: u64) -> String {
    format!("agentidp:raised:{epoch}:{}", counter.tick.key)
}

async fn read(
    connection: &mut PgConnection,
    counters: &[&Counter],
) -> Result<Vec<Mark>, sqlx::Error> {
    let names: Vec<_> = counters
        .iter()
        .map(|counter| counter.name.clone())
        .collect();
    let rows = sqlx::query!(
        "SELECT name, starts_ms, mark FROM counter_marks WHERE name = ANY ($1)",
        &names
    )
    .fetch_all(connection)
    .await?;
    let marks = rows.into_iter().map(|row| Mark {
        name: row.name,
        starts_ms: row.starts_ms.unsigned_abs(),
        ends_ms: 0,
        mark: row.mark.unsigned_abs(),
    });
    Ok(marks.collect())
}

/// Writes marks with one statement. A mark never falls within its period, and a
/// period that is over never takes the place of a later one.
pub(crate) async fn write(
    connection: &mut PgConnection,
    marks: &[Mark],
) -> Result<(), sqlx::Error> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let names: Vec<_> = marks.iter().map(|mark| mark.name.clone()).collect();
    let starts: Vec<_> = marks.iter().map(|mark| signed(mark.starts_ms)).collect();
    let values: Vec<_> = marks.iter().map(|mark| signed(mark.mark)).collect();
    let ends: Vec<_> = marks.iter().map(|mark| from_ms(mark.ends_ms)).collect();
    sqlx::query!(
        "INSERT INTO counter_marks (name, starts_ms, mark, ends_at)
         SELECT name, starts_ms, max(mark), max(ends_at)
           FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[])
                AS given (name, starts_ms, mark, ends_at)
          WHERE (name, starts_ms) IN (SELECT n, max(s) FROM unnest($1, $2) AS latest (n, s) GROUP BY n)
          GROUP BY name, starts_ms
          ORDER BY name
         ON CONFLICT (name) DO UPDATE
            SET starts_ms = excluded.starts_ms,
                ends_at = excluded.ends_at,
                mark = CASE WHEN counter_marks.starts_ms = excluded.starts_ms
                            THEN greatest(counter_marks.mark, excluded.mark)
                            ELSE excluded.mark END
          WHERE counter_marks.starts_ms <= excluded.starts_ms",
        &names,
        &starts,
        &values,
        &ends,
    )
    .execute(connection)
    .await
    .map(|_| ())
}
