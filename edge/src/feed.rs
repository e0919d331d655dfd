//! The revocations, as far as the core has told and signed. A view is asked for
//! again when it is half a second old, and no request is admitted on one that is
//! older than [`OLDEST_VIEW_MS`], unless its route says so for when the core is away.
//! Its age is [`Following::age_ms`]: from the moment the core was *asked*, and from
//! what the page says. A clock that went backwards makes it stale, for every route.

use std::cell::RefCell;
use std::rc::Rc;

use agentidp_gateway::Away;
use agentidp_verify::feed::{Page, audience};
use agentidp_verify::following::{Following, Then};
use agentidp_verify::revocations::{ASK_EVERY_MS, OLDEST_VIEW_MS};
use agentidp_verify::statement::{FEED as PAGE, Statement};
use agentidp_verify::{Rejected, Verified, gate};
use worker::Context;

use crate::clock::local_ms;
use crate::core_api::{self, CoreError, PATIENCE_MS, Question};
use crate::keys::{self, WebCrypto};
use crate::report;
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
    following: Following,
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
        _ => {
            if let Err(error) = ask(settings).await {
                worker::console_error!("feed: {error}");
            }
            let own = Rc::clone(settings);
            context.wait_until(async move { report::send(&own).await });
            still_fresh(away).map(|_| ())
        }
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
            report::send(&settings).await;
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
        Some(age) if age < OLDEST_VIEW_MS => {
            report::view_was(age);
            Ok(None)
        }
        Some(age) if is_within(age, away) => {
            report::view_was(age);
            Ok(Some(age))
        }
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
    report::stale();
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
    FEED.with_borrow(|feed| gate::admit(token, feed.following.view(), needed))
}

/// The requests a minute that the token may make; none where there is no limit.
pub(crate) fn requests_per_minute(token: &Verified) -> Option<u64> {
    FEED.with_borrow(|feed| feed.following.view().requests_per_minute(token.claims()))
}

/// Leases that were granted to the token's client up to then are dead, Unix seconds.
pub(crate) fn leases_dead_until(token: &Verified) -> Option<u64> {
    FEED.with_borrow(|feed| feed.following.view().leases_dead_until(token.claims()))
}

/// The length of a window, as the core counts them.
pub(crate) fn window_ms() -> u64 {
    FEED.with_borrow(|feed| feed.following.window_ms())
}

/// The core's clock, Unix milliseconds, as far as it is known here.
pub(crate) fn core_ms() -> u64 {
    let now_ms = local_ms();
    FEED.with_borrow(|feed| feed.following.core_ms(now_ms))
}

/// How old the view is; `None` where there is none.
pub(crate) fn view_age_ms() -> Option<u64> {
    let now_ms = local_ms();
    FEED.with_borrow(|feed| feed.following.age_ms(now_ms))
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
    let mut reading = FEED.with_borrow(|feed| feed.following.read());
    loop {
        let after = reading.ask(local_ms());
        let url = format!("{}/api/v1/edge/feed?after={after}", settings.core_url);
        let answer = core_api::ask(&Question {
            url: &url,
            authorization: Some(&settings.feed_authorization),
            body: None,
            types: &["application/agentidp-feed+jwt"],
            longest: PAGE.longest,
            patience_ms: PATIENCE_MS,
        })
        .await?;
        let came_ms = local_ms();
        let page = verify(settings, &answer.body)
            .await
            .map_err(|why| CoreError::new(format!("the page is not the core's: {why}")))?;
        let taken = FEED.with_borrow_mut(|feed| {
            let following = &mut feed.following;
            following.take_up(&mut reading, page, answer.held_ms, came_ms)
        });
        match taken.map_err(CoreError::new)? {
            Then::Ask => {}
            Then::Done => return Ok(()),
        }
    }
}

/// The page, if the core signed it for its edges.
async fn verify(settings: &Settings, body: &[u8]) -> Result<Page, Rejected> {
    let text = str::from_utf8(body).map_err(|_| Rejected::Malformed)?;
    let statement = Statement::parse(text, PAGE)?;
    let key = keys::find_of(settings, &statement).await?;
    if FEED.with_borrow(|feed| feed.following.view().kill_key(&key.kid)) {
        return Err(Rejected::Revoked);
    }
    let issuer = &settings.expected.issuer;
    let parties = (issuer.as_str(), &*audience(issuer));
    statement.verify(&key, parties, &WebCrypto).await
}
