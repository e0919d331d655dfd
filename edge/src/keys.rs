//! The core's key set, and signatures by `WebCrypto`. The set is kept and asked
//! for again when it is old, or when a token names a key that is not in it; a
//! `kid` that was not there is remembered, so that made-up ones cost nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use agentidp_verify::statement::Statement;
use agentidp_verify::{Algorithm, CheckSignature, Jwk, Jwks, Presented, Rejected};
use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Crypto, CryptoKey, SubtleCrypto};

use crate::clock::local_ms;
use crate::core_api::{self, CoreError, PATIENCE_MS, Question};
use crate::settings::Settings;

/// How old the set may become, in milliseconds: what the core allows.
const OLDEST_MS: u64 = 300_000;
/// How long a `kid` that was not in the set is not asked for again.
const MISS_MS: u64 = 10_000;
/// How long after one question another unknown `kid` may cause the next.
const ASK_EVERY_MS: u64 = 1_000;
/// How long a core that did not answer is not asked again where an old set is there.
const AWAY_MS: u64 = 5_000;
/// How many missing ids are remembered.
const MOST_MISSES: usize = 1_024;
/// The longest key set that is read, in bytes.
const LONGEST_SET: usize = 256 * 1024;
/// RFC 7517 §8.5; most servers say the first.
const TYPES: &[&str] = &["application/json", "application/jwk-set+json"];

const UNREACHED: Rejected = Rejected::Unavailable {
    reason: "The issuer's keys cannot be reached at the moment.",
};

#[derive(Default)]
struct Keys {
    set: Option<Rc<Jwks>>,
    fetched_ms: u64,
    /// When the core was last asked, whatever it answered.
    asked_ms: u64,
    misses: HashMap<String, u64>,
    /// Imported once: an import costs more than a signature check.
    imported: HashMap<String, Imported>,
}

/// A key as `WebCrypto` wants it.
#[derive(Clone)]
struct Imported {
    key: CryptoKey,
    algorithm: Object,
}

thread_local! {
    static KEYS: RefCell<Keys> = RefCell::default();
    /// `crypto.subtle`, asked for once.
    static SUBTLE: Option<SubtleCrypto> = subtle().ok();
}

/// The key that must have signed `presented`.
///
/// # Errors
/// The set does not have it, or has never been reached.
pub(crate) async fn find(settings: &Settings, presented: &Presented<'_>) -> Result<Jwk, Rejected> {
    let kid = presented.unverified_kid();
    choose(settings, kid, |set| presented.choose(set)).await
}

/// The same of what the core says to its edges.
///
/// # Errors
/// The same.
pub(crate) async fn find_of(
    settings: &Settings,
    statement: &Statement<'_>,
) -> Result<Jwk, Rejected> {
    let kid = statement.unverified_kid();
    choose(settings, kid, |set| statement.choose(set)).await
}

async fn choose(
    settings: &Settings,
    kid: &str,
    choose: impl Fn(&Jwks) -> Result<&Jwk, Rejected>,
) -> Result<Jwk, Rejected> {
    let set = get(settings).await?;
    match choose(&set) {
        Err(Rejected::UnknownKey) if may_ask(kid) => {
            // Where it fails, nobody knows whether there is such a key by now.
            let set = fetch(settings).await.map_err(|error| {
                worker::console_error!("key set: {error}");
                UNREACHED
            })?;
            let key = choose(&set).cloned();
            if key == Err(Rejected::UnknownKey) {
                remember_miss(kid);
            }
            key
        }
        chosen => chosen.cloned(),
    }
}

/// The set, unless it is old or was never fetched.
fn current() -> Option<Rc<Jwks>> {
    KEYS.with_borrow(|keys| {
        let age = local_ms().checked_sub(keys.fetched_ms)?;
        keys.set.clone().filter(|_| age < OLDEST_MS)
    })
}

/// The old set, while it is being asked for or the core did not answer just now.
fn meanwhile() -> Option<Rc<Jwks>> {
    KEYS.with_borrow(|keys| {
        let since = local_ms().checked_sub(keys.asked_ms)?;
        keys.set.clone().filter(|_| since < AWAY_MS)
    })
}

/// The set, however old.
pub(crate) fn known() -> Option<Rc<Jwks>> {
    KEYS.with_borrow(|keys| keys.set.clone())
}

/// Whether the set should be asked for again.
pub(crate) fn are_old() -> bool {
    current().is_none()
}

/// The set, asked for where it is old. One that cannot be renewed is still the
/// core's: what it signed can be checked.
///
/// # Errors
/// It has never been reached.
pub(crate) async fn get(settings: &Settings) -> Result<Rc<Jwks>, Rejected> {
    if let Some(set) = current().or_else(meanwhile) {
        return Ok(set);
    }
    match fetch(settings).await {
        Ok(set) => Ok(set),
        Err(error) => {
            worker::console_error!("key set: {error}");
            known().ok_or(UNREACHED)
        }
    }
}

async fn fetch(settings: &Settings) -> Result<Rc<Jwks>, CoreError> {
    KEYS.with_borrow_mut(|keys| keys.asked_ms = local_ms());
    let url = format!("{}/.well-known/jwks.json", settings.core_url);
    let question = Question {
        url: &url,
        authorization: None,
        body: None,
        types: TYPES,
        longest: LONGEST_SET,
        patience_ms: PATIENCE_MS,
    };
    let set = Rc::new(Jwks::read(&core_api::ask(&question).await?.body)?);
    if set.keys.is_empty() {
        return Err(CoreError::new(format!("{url} has no key that is one")));
    }
    KEYS.with_borrow_mut(|keys| {
        let old = keys.set.as_deref();
        let stays = |kid: &str| {
            let named = |set: &Jwks| set.keys.iter().find(|key| key.kid == kid).cloned();
            named(&set).is_some_and(|key| old.and_then(named) == Some(key))
        };
        keys.imported.retain(|kid, _| stays(kid));
        keys.misses
            .retain(|kid, _| set.keys.iter().all(|key| key.kid != *kid));
        keys.set = Some(Rc::clone(&set));
        keys.fetched_ms = local_ms();
    });
    Ok(set)
}

fn may_ask(kid: &str) -> bool {
    let now = local_ms();
    let since = |then: u64| now.checked_sub(then).unwrap_or(u64::MAX);
    KEYS.with_borrow(|keys| {
        let missed = keys
            .misses
            .get(kid)
            .is_some_and(|then| since(*then) < MISS_MS);
        !missed && since(keys.asked_ms) >= ASK_EVERY_MS
    })
}

fn remember_miss(kid: &str) {
    KEYS.with_borrow_mut(|keys| {
        if keys.misses.len() >= MOST_MISSES {
            keys.misses.clear();
        }
        keys.misses.insert(kid.to_owned(), local_ms());
    });
}

/// The Worker's [`CheckSignature`].
pub(crate) struct WebCrypto;

impl CheckSignature for WebCrypto {
    async fn check(&self, key: &Jwk, message: &[u8], signature: &[u8]) -> bool {
        check(key, message, signature).await.unwrap_or(false)
    }
}

async fn check(key: &Jwk, message: &[u8], signature: &[u8]) -> Result<bool, JsValue> {
    let subtle = SUBTLE.with(Clone::clone).ok_or("there is no WebCrypto")?;
    let known = KEYS.with_borrow(|keys| keys.imported.get(&key.kid).cloned());
    let Imported { key, algorithm } = match known {
        Some(imported) => imported,
        None => import(&subtle, key).await?,
    };
    let valid = subtle
        .verify_with_object_and_u8_array_and_u8_array(&algorithm, &key, signature, message)?;
    Ok(JsFuture::from(valid).await?.is_truthy())
}

async fn import(subtle: &SubtleCrypto, key: &Jwk) -> Result<Imported, JsValue> {
    let algorithm = algorithm(key.alg)?;
    let jwk = Object::new();
    let set = |name: &str, value: &str| Reflect::set(&jwk, &name.into(), &value.into());
    set("kty", &key.kty)?;
    for (name, value) in [
        ("crv", &key.crv),
        ("x", &key.x),
        ("y", &key.y),
        ("n", &key.n),
        ("e", &key.e),
    ] {
        if let Some(value) = value {
            set(name, value)?;
        }
    }
    let usages = js_sys::Array::of1(&"verify".into());
    let imported = subtle.import_key_with_object("jwk", &jwk, &algorithm, false, &usages)?;
    let imported = Imported {
        key: JsFuture::from(imported).await?.unchecked_into(),
        algorithm,
    };
    KEYS.with_borrow_mut(|keys| keys.imported.insert(key.kid.clone(), imported.clone()));
    Ok(imported)
}

/// The parameters by which `WebCrypto` knows the algorithm.
fn algorithm(algorithm: Algorithm) -> Result<Object, JsValue> {
    let parameters = Object::new();
    let set = |name: &str, value: &str| Reflect::set(&parameters, &name.into(), &value.into());
    match algorithm {
        Algorithm::EdDSA => {
            set("name", "Ed25519")?;
        }
        Algorithm::ES256 => {
            set("name", "ECDSA")?;
            set("namedCurve", "P-256")?;
            set("hash", "SHA-256")?;
        }
        Algorithm::RS256 => {
            set("name", "RSASSA-PKCS1-v1_5")?;
            set("hash", "SHA-256")?;
        }
    }
    Ok(parameters)
}

fn subtle() -> Result<SubtleCrypto, JsValue> {
    let crypto = Reflect::get(&js_sys::global(), &"crypto".into())?;
    Ok(crypto.unchecked_into::<Crypto>().subtle())
}
