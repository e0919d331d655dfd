//! The isolate's cache of verified tokens, by the SHA-256 of the whole token. A
//! hit saves the signature check and nothing else: key, times, audience, scope
//! and revocation are asked anew on every use.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use agentidp_verify::{Presented, Rejected, Verified};
use quick_cache::unsync::Cache;
use sha2::{Digest, Sha256};

use crate::clock::core_ms;
use crate::glue::Shown;
use crate::keys::{self, WebCrypto};
use crate::report;
use crate::settings::Settings;

/// How many tokens are kept, about 3 KB each.
const MOST_KEPT: usize = 4_096;

thread_local! {
    static VERIFIED: RefCell<Cache<[u8; 32], Rc<Kept>>> = RefCell::new(Cache::new(MOST_KEPT));
}

/// A token that was verified, and how it is shown.
pub(crate) struct Kept {
    verified: Verified,
    shown: OnceCell<Shown>,
    used: Cell<bool>,
}

impl Kept {
    pub(crate) const fn verified(&self) -> &Verified {
        &self.verified
    }

    /// Its claims as JavaScript's texts. They are kept from the second use on, so
    /// that tokens which come once take no memory for them.
    pub(crate) fn show<T>(&self, to: impl FnOnce(&Shown) -> T) -> T {
        match self.shown.get() {
            None if !self.used.replace(true) => to(&Shown::of(&self.verified)),
            None => to(self.shown.get_or_init(|| Shown::of(&self.verified))),
            Some(shown) => to(shown),
        }
    }
}

/// Verifies `token`, or finds that it was.
///
/// # Errors
/// The reason for which it is refused.
pub(crate) async fn verify(settings: &Settings, token: &str) -> Result<Rc<Kept>, Rejected> {
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let kept = VERIFIED.with_borrow(|kept| kept.get(&digest).cloned());
    report::known(kept.is_some());
    if let Some(kept) = kept {
        kept.verified
            .still_signed_by(&*keys::get(settings).await?)?;
        let holds = kept
            .verified
            .still_holds(&settings.expected, core_ms() / 1000);
        if let Err(rejected) = &holds {
            report::refused(kept.verified.claims(), rejected);
        }
        return holds.map(|()| kept);
    }
    let presented = Presented::parse(token)?;
    let key = keys::find(settings, &presented).await?;
    let now_s = core_ms() / 1000;
    let examined = presented
        .examine(&key, &settings.expected, now_s, &WebCrypto)
        .await;
    let verified = examined.map_err(|refused| {
        if let Some(claims) = &refused.signed {
            report::refused(claims, &refused.rejected);
        }
        refused.rejected
    })?;
    let verified = Rc::new(Kept {
        verified,
        shown: OnceCell::new(),
        used: Cell::new(false),
    });
    VERIFIED.with_borrow_mut(|kept| kept.insert(digest, Rc::clone(&verified)));
    Ok(verified)
}
