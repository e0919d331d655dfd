//! An edge that follows the feed: which pages it takes up, how old its view is, and
//! what the core's clock says. A page that was signed is not good for that reason:
//! it may have been kept by somebody on the way.
//!
//! What a page says is as old as its `as_of`. The core's clock is known by the
//! earliest arrival of an `as_of`: each page shows that it is at least that late
//! there, and one that was kept shows less than one that came at once.

use std::fmt;

use crate::feed::Page;
use crate::revocations::Revocations;

/// How far the core's clock and the edge's own may be apart, in milliseconds. A page
/// from another time is refused, which is all that an edge can hold against one that
/// has kept the feed since before it began.
pub const MOST_APART_MS: u64 = 300_000;
/// How long an arrival tells the core's clock: clocks drift, and are set.
const TELLS_MS: u64 = 30_000;
/// Pages overtake one another, and replicas' clocks differ a little. One that is
/// older than the view by no more than this is passed over without a word.
const OVERTAKEN_MS: u64 = 1_000;
/// How often what has expired is forgotten, in milliseconds.
const FORGET_EVERY_MS: u64 = 10_000;

/// Why a page was not taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untaken {
    /// It answers another question.
    AnotherQuestion,
    /// Its cursor lies before what was asked for, or where it was with more to come.
    Backwards,
    /// It is older than what is known.
    Replayed,
    /// Its time and the edge's own are more than [`MOST_APART_MS`] apart.
    AnotherTime,
}

impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnotherQuestion => "the page answers another question",
            Self::Backwards => "the page's cursor goes back",
            Self::Replayed => "the page is older than what is known",
            Self::AnotherTime => "the page's time and this machine's are far apart",
        })
    }
}

/// What to do after a page was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Ask for [`Reading::after`].
    Ask,
    /// The view is what the core knows, or was before this page.
    Done,
}

/// The feed, as far as it was taken up.
#[derive(Debug, Clone, Default)]
pub struct Following {
    view: Revocations,
    /// The core's time of which the view is whole.
    as_of_ms: u64,
    /// When the question was asked that made it so, by the edge's own clock.
    asked_ms: Option<u64>,
    window_ms: u64,
    ahead: Ahead,
    forgot_ms: u64,
}

/// One reading of the feed, from where the view stands to its end.
#[derive(Debug)]
pub struct Reading {
    after: u64,
    asked_ms: u64,
    /// A snapshot that is not whole yet. The view stays in force meanwhile: half of
    /// a snapshot would forget the other half.
    gathered: Option<Revocations>,
}

impl Reading {
    /// The cursor to ask for, at `now_ms` by the edge's own clock.
    pub const fn ask(&mut self, now_ms: u64) -> u64 {
        self.asked_ms = now_ms;
        self.after
    }
}

impl Following {
    /// What is in force.
    pub const fn view(&self) -> &Revocations {
        &self.view
    }

    /// The length of a window as the core counts them, milliseconds; 0 before the
    /// first page.
    pub const fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// How old the view is at `now_ms` by the edge's own clock, in milliseconds;
    /// `None` where there is none, or that clock went backwards.
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        let since_asked = now_ms.checked_sub(self.asked_ms?)?;
        let since_as_of = self.core_ms(now_ms).saturating_sub(self.as_of_ms);
        Some(since_asked.max(since_as_of))
    }

    /// The core's clock when the edge's own says `now_ms`, as far as it is known;
    /// the edge's own before the first page.
    pub fn core_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.ahead.ms())
    }

    /// Begins to read on.
    pub const fn read(&self) -> Reading {
        Reading {
            after: self.view.cursor(),
            asked_ms: 0,
            gathered: None,
        }
    }

    /// Takes up a page that was signed by the core, and came at `now_ms` by the
    /// edge's own clock, after a cache had held it for `held_ms`.
    ///
    /// # Errors
    /// The page is not taken up; the view is as it was.
    pub fn take_up(
        &mut self,
        reading: &mut Reading,
        page: Page,
        held_ms: u64,
        now_ms: u64,
    ) -> Result<Then, Untaken> {
        if page.after != reading.after {
            return Err(Untaken::AnotherQuestion);
        }
        if page.as_of.abs_diff(now_ms) > MOST_APART_MS {
            return Err(Untaken::AnotherTime);
        }
        let least = page.after.saturating_add(page.more.into());
        if !page.snapshot && page.cursor < least {
            return Err(Untaken::Backwards);
        }
        if page.as_of <= self.as_of_ms && self.asked_ms.is_some() {
            let overtaken = self.as_of_ms - page.as_of <= OVERTAKEN_MS;
            return overtaken.then_some(Then::Done).ok_or(Untaken::Replayed);
        }
        self.ahead.heard(page.as_of, now_ms);
        if page.snapshot {
            reading.gathered = Some(Revocations::default());
        }
        if let Some(gathered) = &mut reading.gathered {
            gathered.take_up(page.entries, page.cursor);
            reading.after = page.cursor;
            if page.more {
                return Ok(Then::Ask);
            }
            self.view = reading.gathered.take().unwrap_or_default();
        } else if self.view.cursor() != reading.after {
            // Another reading has moved the view on: an older page must not be laid
            // over a newer one.
            reading.after = self.view.cursor();
            return Ok(Then::Ask);
        } else {
            self.view.take_up(page.entries, page.cursor);
            reading.after = page.cursor;
            if page.more {
                return Ok(Then::Ask);
            }
        }
        self.window_ms = page.window_ms;
        self.as_of_ms = page.as_of;
        let asked_ms = reading.asked_ms.saturating_sub(held_ms);
        // A later question's answer may be there already. One from ahead was asked
        // before the clock went backwards.
        let later = self.asked_ms.filter(|then| *then <= now_ms);
        self.asked_ms = later.max(Some(asked_ms));
        if now_ms.abs_diff(self.forgot_ms) >= FORGET_EVERY_MS {
            self.forgot_ms = now_ms;
            self.view.forget_expired(page.as_of / 1_000);
        }
        Ok(Then::Done)
    }
}

/// What the core's clock is ahead of the edge's own: the most that an arrival has
/// shown of late.
#[derive(Debug, Clone, Copy, Default)]
struct Ahead {
    /// The most since `began_ms`, and in the time before; milliseconds.
    most: Option<i64>,
    before: Option<i64>,
    began_ms: u64,
}

impl Ahead {
    fn ms(&self) -> i64 {
        self.most.max(self.before).unwrap_or(0)
    }

    /// A page of the time `as_of` came at `now_ms`.
    fn heard(&mut self, as_of: u64, now_ms: u64) {
        let shown = as_of.cast_signed().wrapping_sub(now_ms.cast_signed());
        match now_ms.checked_sub(self.began_ms) {
            Some(age) if age < TELLS_MS => self.most = self.most.max(Some(shown)),
            age => {
                self.before = self
                    .most
                    .filter(|_| age.is_some_and(|age| age < 2 * TELLS_MS));
                self.most = Some(shown);
                self.began_ms = now_ms;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{Claims, Enforced};
    use crate::feed::{Entry, Kind};

    /// The core's clock when the edge's own says 0.
    const CORE: u64 = 100_000;

    fn page(after: u64, cursor: u64, as_of: u64) -> Page {
        Page {
            as_of,
            after,
            snapshot: after == 0,
            cursor,
            more: false,
            window_ms: 60_000,
            entries: Vec::new(),
        }
    }

    fn of(id: &str) -> Entry {
        Entry {
            kind: Kind::Token,
            id: id.into(),
            lifted_at: None,
            rpm: None,
            expires_at: u64::MAX,
        }
    }

    fn token(jti: &str) -> Claims {
        Claims {
            iss: "i".into(),
            sub: "a".into(),
            client_id: "a".into(),
            aud: "a".into(),
            exp: 1,
            nbf: None,
            iat: 0,
            jti: jti.into(),
            scope: String::new(),
            org_id: "o".into(),
            tier: "free".into(),
            agentidp: Enforced {
                rpm: None,
                policy: String::new(),
                grants: Vec::new(),
            },
            ext: Default::default(),
            cnf: None,
        }
    }

    /// Asks at `asked` and takes `page` up at `came`.
    fn take(following: &mut Following, page: Page, asked: u64, came: u64) -> Result<Then, Untaken> {
        let mut reading = following.read();
        reading.ask(asked);
        following.take_up(&mut reading, page, 0, came)
    }

    /// One that has taken up a page at 1,000 by its own clock.
    fn following() -> Following {
        let mut following = Following::default();
        assert_eq!(following.age_ms(0), None);
        let first = page(0, 5, CORE + 990);
        assert_eq!(take(&mut following, first, 980, 1_000), Ok(Then::Done));
        following
    }

    #[test]
    fn the_age_runs_from_the_question_and_from_the_time_of_the_page() {
        let mut following = following();
        assert_eq!(following.core_ms(1_000), CORE + 990);
        assert_eq!(following.age_ms(1_000), Some(20));
        assert_eq!(following.age_ms(1_500), Some(520));
        assert_eq!(following.age_ms(979), None);
        // Kept for a second on the way: as old as it is, though it was asked for now.
        let kept = page(5, 5, CORE + 1_000);
        assert_eq!(take(&mut following, kept, 2_000, 2_005), Ok(Then::Done));
        assert_eq!(following.age_ms(2_005), Some(995));
        // A cache that says so.
        let mut reading = following.read();
        reading.ask(3_000);
        let held = page(5, 5, CORE + 3_000);
        let taken = following.take_up(&mut reading, held, 1_000, 3_010);
        assert_eq!(taken, Ok(Then::Done));
        assert_eq!(following.age_ms(3_010), Some(1_010));
    }

    #[test]
    fn the_same_page_again_makes_nothing_younger_however_long_it_goes_on() {
        let mut following = following();
        for at in (1..400).map(|n| 1_000 + n * 500) {
            let again = page(5, 5, CORE + 990);
            assert_eq!(take(&mut following, again, at - 10, at), Ok(Then::Done));
            assert!(following.age_ms(at) >= Some(at - 1_000));
        }
        let older = page(5, 5, CORE - 20);
        let taken = take(&mut following, older, 300_000, 300_001);
        assert_eq!(taken, Err(Untaken::Replayed));
    }

    #[test]
    fn a_feed_that_is_held_back_makes_a_view_that_is_too_old() {
        let mut following = following();
        for n in 1..40 {
            let at = 3_000 + n * 500;
            // Each page comes two seconds late, of a time after what is known already.
            let late = page(5, 5, CORE + at - 2_000);
            assert_eq!(take(&mut following, late, at - 10, at), Ok(Then::Done));
            assert!(following.age_ms(at) >= Some(1_990), "{n}");
        }
    }

    #[test]
    fn what_answers_another_question_goes_back_or_is_of_another_time_is_not_taken_up() {
        let mut following = following();
        let more = Page {
            more: true,
            ..page(5, 5, CORE + 2_000)
        };
        for (page, came, why) in [
            (page(4, 6, CORE + 2_000), 2_000, Untaken::AnotherQuestion),
            (page(0, 6, CORE + 2_000), 2_000, Untaken::AnotherQuestion),
            (page(5, 4, CORE + 2_000), 2_000, Untaken::Backwards),
            (more, 2_000, Untaken::Backwards),
            (page(5, 6, CORE + 2_000), 500_000, Untaken::AnotherTime),
            (page(5, 6, CORE + 300_000), 2_000, Untaken::AnotherTime),
        ] {
            let taken = take(&mut following, page.clone(), came - 10, came);
            assert_eq!(taken.unwrap_err(), why, "{page:?}");
        }
        assert_eq!(following.age_ms(2_000), Some(1_020));
        assert_eq!(following.view().cursor(), 5);
    }

    #[test]
    fn a_snapshot_replaces_the_view_when_it_is_whole_and_not_before() {
        let mut following = following();
        let known = Page {
            entries: vec![of("old"), of("both")],
            ..page(5, 9, CORE + 1_500)
        };
        assert_eq!(take(&mut following, known, 1_490, 1_500), Ok(Then::Done));
        let dead = |following: &Following| {
            ["old", "both", "new"].map(|jti| following.view().kill(&token(jti)))
        };
        // The database was restored: the feed ends before 9.
        let half = Page {
            snapshot: true,
            more: true,
            entries: vec![of("both")],
            ..page(9, 3, CORE + 2_000)
        };
        let mut reading = following.read();
        assert_eq!(reading.ask(1_990), 9);
        let taken = following.take_up(&mut reading, half.clone(), 0, 2_000);
        assert_eq!(taken, Ok(Then::Ask));
        assert_eq!(dead(&following), [true, true, false]);
        assert_eq!(following.age_ms(2_000), Some(510), "not younger for a half");
        assert_eq!(
            following.read().ask(2_001),
            9,
            "whoever reads now reads anew"
        );
        // The reading that was broken off has done nothing. One that goes on:
        assert_eq!(reading.ask(2_005), 3);
        let rest = Page {
            snapshot: false,
            entries: vec![of("new")],
            ..page(3, 4, CORE + 2_015)
        };
        assert_eq!(
            following.take_up(&mut reading, rest, 0, 2_015),
            Ok(Then::Done)
        );
        assert_eq!(dead(&following), [false, true, true]);
        assert_eq!(following.view().cursor(), 4);
        assert_eq!(following.age_ms(2_015), Some(10));
        // What another reading was told before is of no use to it.
        let mut late = Following::default().read();
        late.ask(1_400);
        let stale = page(0, 5, CORE + 1_400);
        let taken = following.take_up(&mut late, stale, 0, 2_020);
        assert_eq!(taken, Ok(Then::Done));
        assert_eq!(dead(&following), [false, true, true]);
    }

    #[test]
    fn clocks_that_are_set_are_followed() {
        let mut following = following();
        // The edge's clock goes back an hour: nothing is known until a page comes.
        let long_ago = 0;
        assert_eq!(following.age_ms(long_ago), None);
        let now = page(5, 5, CORE + 1_400);
        assert_eq!(take(&mut following, now, long_ago, 10), Ok(Then::Done));
        assert_eq!(following.age_ms(10), Some(10));
        assert_eq!(following.core_ms(10), CORE + 1_400);
        // It goes forward by five seconds: pages look old until it has been learnt.
        let mut young = None;
        for n in 1..200 {
            let at = 10 + n * 500;
            let fresh = page(5, 5, CORE + 1_390 + n * 500);
            let came = at + 5_000;
            assert_eq!(take(&mut following, fresh, came - 5, came), Ok(Then::Done));
            if following.age_ms(came).is_some_and(|age| age < 500) {
                young.get_or_insert(came);
            }
        }
        let learnt = young.unwrap();
        assert!((30_000..=65_000).contains(&learnt), "{learnt}");
    }
}
