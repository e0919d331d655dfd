//! The revocations, as far as the core has told. A view is asked for again when
//! it is half a second old, and no request is admitted on one that is older than
//! [`OLDEST_VIEW_MS`], unless its route says so for when the core is away. Its age
//! runs from the moment the core was *asked*; a clock that went backwards makes it
//! stale, for every route.

use std::cell::RefCell;
use std::rc::Rc;

use agentidp_gateway::Away;
use agentidp_verify::feed::Page;
use agentidp_verify::gate;
use agentidp_verify::revocations::{ASK_EVERY_MS, OLDEST_VIEW_MS, Revocations};
use agentidp_verify::{Rejected, Verified};
use worker::Context;

use crate::clock::{self, local_ms};
use crate::core_api::{self, CoreError};
use crate::settings::Settings;

/// How long a question keeps others from asking too.
const ASKING_MS: u64 = 600;
/// How long a core that did not answer counts as away: who may go on without it
/// does not wait for it.
const AWAY_MS: u64 = 5_000;
/// How often the log says that requests are admitted on an old view, at most.
const SAY_EVERY_MS: u64 = 1_000;

const UNKNOWN: Rejected = Rejected::Unavailable {
    reason: "What has been revoked is not known at the moment.",
};

#[derive(Default)]
struct Feed {
    view: Revocations,
    /// When the core was asked for what the view holds.
    asked_ms: Option<u64>,
    /// When a question that is under way in the background began.
    asking_ms: Option<u64>,
    /// The same of one that a request waits for which is to be refused.
    asking_to_refuse_ms: Option<u64>,
    /// When the core did not answer last; nothing once it does.
    missed_ms: Option<u64>,
    /// When the log said last that the view is old, and how many requests were
    /// admitted on it since.
    said_ms: Option<u64>,
    unsaid: u64,
    window_ms: u64,
}

thread_local! {
    static FEED: RefCell<Feed> = RefCell::default();
}

/// Milliseconds from `then` to now; `None` where the clock went backwards.
fn age_ms(then: Option<u64>) -> Option<u64> {
    local_ms().checked_sub(then?)
}

/// Sees to it that the view is young enough to admit a request on.
///
/// # Errors
/// The core cannot be reached: nobody knows what has been revoked.
pub(crate) async fn freshen(
    settings: &Rc<Settings>,
    context: &Context,
    away: Away,
) -> Result<(), Rejected> {
    match view_age_ms() {
        Some(age) if age < ASK_EVERY_MS => Ok(()),
        // Good for this request; the next one finds a younger one.
        Some(age) if age < OLDEST_VIEW_MS || (is_within(age, away) && is_away()) => {
            ask_beside(settings, context);
            Ok(())
        }
        _ => match ask(settings).await {
            Ok(()) => Ok(()),
            Err(error) => {
                worker::console_error!("feed: {error}");
                still_fresh(away).map(|_| ())
            }
        },
    }
}

/// Asks for a younger view, unless somebody does; nobody waits for it.
fn ask_beside(settings: &Rc<Settings>, context: &Context) {
    if begin(|feed| &mut feed.asking_ms) {
        let settings = Rc::clone(settings);
        context.wait_until(async move {
            if let Err(error) = ask(&settings).await {
                worker::console_error!("feed: {error}");
            }
            FEED.with_borrow_mut(|feed| feed.asking_ms = None);
        });
    }
}

/// Asks anew before somebody is refused on a view that is not quite young: what it
/// refuses may have been lifted since.
///
/// # Errors
/// The core cannot be reached.
pub(crate) async fn freshen_to_refuse(settings: &Settings, away: Away) -> Result<(), Rejected> {
    if view_age_ms().is_none_or(|age| age >= ASK_EVERY_MS)
        && begin(|feed| &mut feed.asking_to_refuse_ms)
    {
        if let Err(error) = ask(settings).await {
            worker::console_error!("feed: {error}");
        }
        FEED.with_borrow_mut(|feed| feed.asking_to_refuse_ms = None);
    }
    still_fresh(away).map(|_| ())
}

/// Refuses where the view has become too old meanwhile. The view's age in
/// milliseconds where only the route's setting lets it be so old.
///
/// # Errors
/// [`Rejected::Unavailable`].
pub(crate) fn still_fresh(away: Away) -> Result<Option<u64>, Rejected> {
    match view_age_ms() {
        Some(age) if age < OLDEST_VIEW_MS => Ok(None),
        Some(age) if is_within(age, away) => Ok(Some(age)),
        _ => Err(UNKNOWN),
    }
}

/// The same for what goes on for another `ms` milliseconds before it is looked at
/// again.
///
/// # Errors
/// [`Rejected::Unavailable`].
pub(crate) fn still_fresh_for(ms: u64, away: Away) -> Result<(), Rejected> {
    match view_age_ms() {
        Some(age) if age + ms < OLDEST_VIEW_MS || is_within(age + ms, away) => Ok(()),
        _ => Err(UNKNOWN),
    }
}

/// Asks for a younger view where this one is not quite young; nobody waits for it.
pub(crate) fn renew_beside(settings: &Rc<Settings>, context: &Context) {
    if view_age_ms().is_none_or(|age| age >= ASK_EVERY_MS) {
        ask_beside(settings, context);
    }
}

/// Says in the log that a request was admitted on a view of `age` milliseconds: one
/// line for all of a second.
pub(crate) fn admitted_on_an_old_view(age: u64) {
    FEED.with_borrow_mut(|feed| {
        feed.unsaid += 1;
        if age_ms(feed.said_ms).is_none_or(|age| age >= SAY_EVERY_MS) {
            worker::console_warn!(
                "feed: the core is away: {} admitted on revocations of {age} ms ago",
                feed.unsaid
            );
            feed.said_ms = Some(local_ms());
            feed.unsaid = 0;
        }
    });
}

fn is_within(age: u64, away: Away) -> bool {
    match away {
        Away::Refuse => false,
        Away::AdmitUpTo(oldest) => age < oldest,
    }
}

fn is_away() -> bool {
    FEED.with_borrow(|feed| age_ms(feed.missed_ms))
        .is_some_and(|age| age < AWAY_MS)
}

/// Refuses a token that was revoked or lacks a scope.
///
/// # Errors
/// See [`gate::admit`].
pub(crate) fn gate(token: &Verified, needed: &[String]) -> Result<(), Rejected> {
    FEED.with_borrow(|feed| gate::admit(token, &feed.view, needed))
}

/// The requests a minute that the token may make; none where there is no limit.
pub(crate) fn requests_per_minute(token: &Verified) -> Option<u64> {
    FEED.with_borrow(|feed| feed.view.requests_per_minute(token.claims()))
}

/// Leases that were granted to the token's client up to then are dead, Unix seconds.
pub(crate) fn leases_dead_until(token: &Verified) -> Option<u64> {
    FEED.with_borrow(|feed| feed.view.leases_dead_until(token.claims()))
}

/// The length of a window, as the core counts them.
pub(crate) fn window_ms() -> u64 {
    FEED.with_borrow(|feed| feed.window_ms)
}

fn view_age_ms() -> Option<u64> {
    FEED.with_borrow(|feed| age_ms(feed.asked_ms))
}

/// Whether nobody else asks at the moment.
fn begin(asking_ms: impl Fn(&mut Feed) -> &mut Option<u64>) -> bool {
    FEED.with_borrow_mut(|feed| {
        let asking_ms = asking_ms(feed);
        let asking = age_ms(*asking_ms).is_some_and(|age| age < ASKING_MS);
        if !asking {
            *asking_ms = Some(local_ms());
        }
        !asking
    })
}

async fn ask(settings: &Settings) -> Result<(), CoreError> {
    let asked = read_on(settings).await;
    let missed_ms = asked.is_err().then(local_ms);
    FEED.with_borrow_mut(|feed| feed.missed_ms = missed_ms);
    asked
}

/// Reads the feed from where the view stands to its end.
async fn read_on(settings: &Settings) -> Result<(), CoreError> {
    let asked_ms = local_ms();
    loop {
        let after = FEED.with_borrow(|feed| feed.view.cursor());
        let url = format!("{}/api/v1/edge/feed?after={after}", settings.core_url);
        let bytes = core_api::get(&url, Some(&settings.feed_authorization)).await?;
        let page = Page::read(&bytes)?;
        clock::heard(page.now_ms);
        let done = FEED.with_borrow_mut(|feed| {
            // Another request has moved the view on: an older page must not be
            // laid over a newer one.
            if feed.view.cursor() != after {
                return false;
            }
            feed.window_ms = page.window_ms;
            feed.view.take_up(page.entries, page.cursor);
            feed.view.forget_expired(page.now_ms / 1000);
            if page.more {
                return false;
            }
            feed.asked_ms = feed
                .asked_ms
                .max(Some(asked_ms))
                .filter(|then| *then <= local_ms())
                .or(Some(asked_ms));
            true
        });
        if done {
            return Ok(());
        }
    }
}
