//! Pages of the feed on the wire, and how they are followed.

use agentidp_verify::feed::{Entry, Page};
use agentidp_verify::following::{Following, Then};
use agentidp_verify::revocations::Revocations;
use agentidp_verify::strict_json;
use proptest::prelude::*;

use super::revocations::{claims, entry};

fn page() -> impl Strategy<Value = Page> {
    let entries = prop::collection::vec(entry(), 0..6);
    (any::<[u64; 4]>(), any::<[bool; 2]>(), entries).prop_map(
        |([as_of, after, cursor, window_ms], [snapshot, more], entries)| Page {
            as_of,
            after,
            snapshot,
            cursor,
            more,
            window_ms,
            entries,
        },
    )
}

/// What befalls an edge that follows the feed.
#[derive(Debug, Clone)]
enum Step {
    /// Something is revoked or lifted.
    Entry(Entry),
    /// The database is restored as it was after so many numbers.
    Restored(usize),
    /// The edge reads the feed in pages of so many; the core takes so many answers
    /// and is away then.
    Read { page: usize, answers: usize },
    /// The same, where somebody on the way answers with every page ever signed.
    Replayed,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => entry().prop_map(Step::Entry),
        1 => (0..8usize).prop_map(Step::Restored),
        4 => (1..4usize, 0..6usize).prop_map(|(page, answers)| Step::Read { page, answers }),
        1 => Just(Step::Replayed),
    ];
    prop::collection::vec(step, 0..24)
}

/// The core's answer: the numbers after `after`, as the statement is made there.
fn answer(log: &[Entry], after: u64, most: usize, as_of: u64) -> Page {
    let head = log.len() as u64;
    let snapshot = after == 0 || after > head;
    let from = if snapshot { 0 } else { after as usize };
    let entries: Vec<Entry> = log[from..].iter().take(most).cloned().collect();
    let cursor = (from + entries.len()) as u64;
    Page {
        as_of,
        after,
        snapshot,
        cursor,
        more: cursor < head,
        window_ms: 60_000,
        entries,
    }
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_page_is_read_as_it_was_written_cursor_and_order_included(page in page()) {
        let bytes = serde_json::to_vec(&page).unwrap();
        prop_assert_eq!(strict_json::from_slice::<Page>(&bytes).unwrap(), page);
    }

    #[test]
    fn a_page_that_was_cut_short_is_no_page(page in page(), at in any::<prop::sample::Index>()) {
        let bytes = serde_json::to_vec(&page).unwrap();
        prop_assert!(strict_json::from_slice::<Page>(&bytes[..at.index(bytes.len())]).is_err());
    }

    /// Whatever is lost, cut short or said again: a view that calls itself younger
    /// than what was revoked knows of it, and never less.
    #[test]
    fn a_view_that_is_young_knows_all_that_was_revoked_before(
        steps in steps(),
        claims in prop::collection::vec(claims(), 4),
    ) {
        let mut following = Following::default();
        let (mut log, mut signed) = (Vec::new(), Vec::new());
        // By the core's clock, which the edge's own is 70 s behind.
        let mut changed = 200_000;
        let mut now = 200_000;
        for step in steps {
            now += 100;
            match step {
                Step::Entry(entry) => {
                    // Numbers that an edge knows from before a restoration are not
                    // given again before it has noticed: operators restart edges.
                    if following.view().cursor() <= log.len() as u64 {
                        let expires_at = u64::MAX;
                        log.push(Entry { expires_at, ..entry });
                        changed = now;
                    }
                }
                Step::Restored(to) => {
                    if to < log.len() {
                        log.truncate(to);
                        changed = now;
                    }
                }
                Step::Read { page, answers } => {
                    let mut reading = following.read();
                    for _ in 0..answers {
                        let own = now - 70_000;
                        let after = reading.ask(own);
                        let page = answer(&log, after, page, now);
                        signed.push(page.clone());
                        now += 1;
                        match following.take_up(&mut reading, page, 0, own + 1) {
                            Ok(Then::Ask) => {}
                            Ok(Then::Done) => break,
                            Err(why) => return Err(TestCaseError::fail(why.to_string())),
                        }
                    }
                }
                // Nobody tells an edge that knows nothing yet from when a page is.
                Step::Replayed if following.age_ms(now - 70_000).is_none() => {}
                Step::Replayed => {
                    for page in signed.clone() {
                        let mut reading = following.read();
                        reading.ask(now - 70_000);
                        let _ = following.take_up(&mut reading, page, 0, now - 70_000);
                    }
                }
            }
            let age = following.age_ms(now - 70_000);
            if age.is_some_and(|age| now - age > changed + 1) {
                let mut whole = Revocations::default();
                whole.take_up(log.clone(), log.len() as u64);
                prop_assert_eq!(following.view().cursor(), whole.cursor());
                for claims in &claims {
                    prop_assert_eq!(following.view().kill(claims), whole.kill(claims));
                    let rpm = whole.requests_per_minute(claims);
                    prop_assert_eq!(following.view().requests_per_minute(claims), rpm);
                }
            }
        }
    }
}
