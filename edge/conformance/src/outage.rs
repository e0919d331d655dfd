//! What must hold of an edge's answers while its core is away: nothing revoked is
//! taken, no limit is exceeded, everybody is answered in time, and who knows
//! nothing admits nobody.

use std::time::{Duration, Instant};

use crate::pace::{Seen, most_in_a_window};

/// From a revocation's answer to the last request admitted.
pub const BOUND: Duration = Duration::from_secs(2);
/// What an answer may take, and what a busy machine adds.
pub const LONGEST: Duration = Duration::from_millis(2_000 + 400);

/// What callers were answered, and when what happened.
#[derive(Debug, Clone)]
pub struct Story {
    /// A client's calls where the edge refuses without its core.
    pub live: Vec<Seen>,
    /// Another client's where it admits on an old view.
    pub stale: Vec<Seen>,
    /// The second client's with a token that was revoked before: at the first path
    /// and at the second.
    pub revoked: [Vec<Seen>; 2],
    /// When the revocation was answered.
    pub answered: Instant,
    /// From when to when the core was away.
    pub away: (Instant, Instant),
    /// From when to when the edge was not there, and began anew.
    pub restart: (Instant, Instant),
    /// Calls of one client in a window.
    pub limit: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Answers in all.
    pub answers: usize,
    /// The most that one client was admitted in a window.
    pub most_in_a_window: usize,
    /// The longest that somebody waited.
    pub longest: Duration,
    /// How long after the revocation's answer the token was admitted last.
    pub last_admitted: Duration,
    /// Admitted on a view older than it may be by default.
    pub on_an_old_view: usize,
}

impl Story {
    /// Looks at all of it.
    ///
    /// # Errors
    /// What should not have been, with an answer that shows it.
    pub fn check(&self) -> Result<Summary, String> {
        let all = self.all();
        self.in_time(&all)?;
        let mut seconds_tokens = self.stale.clone();
        seconds_tokens.extend(self.revoked.iter().flatten());
        let most = [&self.live, &seconds_tokens].map(|seen| most_in_a_window(seen).0);
        let most = most.into_iter().max().unwrap_or(0);
        if most > self.limit {
            let limit = self.limit;
            return Err(format!(
                "{most} were admitted in a window, and the limit is {limit}"
            ));
        }
        let last_admitted = self.nothing_revoked()?;
        self.nobody_blind()?;
        let old = all
            .iter()
            .filter(|seen| seen.admitted() && seen.revocation_age_s.is_some());
        Ok(Summary {
            answers: all.len(),
            most_in_a_window: most,
            longest: all.iter().map(|seen| seen.took()).max().unwrap_or_default(),
            last_admitted,
            on_an_old_view: old.count(),
        })
    }

    fn all(&self) -> Vec<Seen> {
        let [one, other] = &self.revoked;
        [&self.live[..], &self.stale, one, other].concat()
    }

    /// Every answer came in time, and was one; but for the edge's own restart.
    fn in_time(&self, all: &[Seen]) -> Result<(), String> {
        let (gone, back) = self.restart;
        let of_the_restart =
            |seen: &Seen| seen.answered >= gone && seen.sent <= back + Duration::from_millis(100);
        let wrong = all.iter().find(|seen| {
            let known = matches!(seen.status, Some(200 | 401 | 429 | 503));
            seen.took() > LONGEST || !(known || of_the_restart(seen))
        });
        wrong.map_or(Ok(()), |seen| {
            Err(format!("an answer that should not be: {seen:?}"))
        })
    }

    fn nothing_revoked(&self) -> Result<Duration, String> {
        let mut last = Duration::ZERO;
        for seen in &self.revoked {
            let admitted = || seen.iter().filter(|seen| seen.admitted());
            if admitted().next().is_none() {
                return Err("the token that was revoked was never admitted before".to_owned());
            }
            let late = admitted().find(|seen| seen.answered > self.answered + BOUND);
            if let Some(late) = late {
                return Err(format!("a revoked token was admitted: {late:?}"));
            }
            let latest = admitted().map(|seen| seen.answered).max();
            let after = latest.map(|latest| latest.saturating_duration_since(self.answered));
            last = last.max(after.unwrap_or_default());
        }
        Ok(last)
    }

    /// By default nobody is admitted once the view is too old; and whatever the
    /// setting, nobody by an isolate that has begun anew without its core.
    fn nobody_blind(&self) -> Result<(), String> {
        let (begun, over) = self.away;
        let admitted = |seen: &[Seen], from: Instant| {
            let between = |seen: &&Seen| seen.sent > from && seen.answered < over;
            seen.iter()
                .filter(|seen| seen.admitted())
                .find(between)
                .copied()
        };
        for (what, found) in [
            ("by default", admitted(&self.live, begun + BOUND)),
            ("after a restart", admitted(&self.stale, self.restart.1)),
        ] {
            if let Some(seen) = found {
                return Err(format!("{what}, without the core, admitted: {seen:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A story of one answer each second, in which the core is away from 10 to 30.
    fn story() -> Story {
        let zero = Instant::now();
        let at = |second: u64| zero + Duration::from_secs(second);
        let answer = |second: u64, status| Seen {
            edge: 0,
            sent: at(second),
            answered: at(second) + Duration::from_millis(5),
            status: Some(status),
            window_ends_s: Some(second / 5 * 5 + 5),
            revocation_age_s: (status == 200 && second > 11 && second < 20).then(|| second - 10),
        };
        let until = |last: u64| {
            (0..40).map(move |second| {
                let admitted = second < last || second > 31;
                answer(second, if admitted { 200 } else { 503 })
            })
        };
        let revoked = || (0..40).map(|second| answer(second, if second < 8 { 200 } else { 401 }));
        Story {
            live: until(11).collect(),
            stale: until(20).collect(),
            revoked: [revoked().collect(), revoked().collect()],
            answered: at(7),
            away: (at(10), at(30)),
            restart: (at(20), at(21)),
            limit: 15,
        }
    }

    #[test]
    fn a_story_as_it_should_be_is_summed_up() {
        let summary = story().check().unwrap();
        assert_eq!(summary.answers, 160);
        assert_eq!(summary.on_an_old_view, 8);
        assert_eq!(summary.most_in_a_window, 15);
        assert_eq!(summary.last_admitted, Duration::from_millis(5));
    }

    #[test]
    fn whatever_should_not_be_is_found() {
        let wrong = |change: fn(&mut Story)| {
            let mut story = story();
            change(&mut story);
            story.check().unwrap_err()
        };
        assert!(wrong(|story| story.limit = 14).contains("the limit is 14"));
        assert!(wrong(|story| story.revoked[1][15].status = Some(200)).contains("revoked"));
        assert!(wrong(|story| story.live[15].status = Some(200)).contains("by default"));
        assert!(wrong(|story| story.stale[25].status = Some(200)).contains("after a restart"));
        assert!(wrong(|story| story.live[5].status = Some(500)).contains("should not be"));
        assert!(wrong(|story| story.live[5].status = None).contains("should not be"));
        let late = wrong(|story| story.live[5].answered += Duration::from_secs(3));
        assert!(late.contains("should not be"));
        assert!(wrong(|story| story.revoked[0].clear()).contains("never admitted"));
    }
}
