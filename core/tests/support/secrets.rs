//! Every secret that a journey was handed or made, and the proof that none of them
//! is in a log.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// In bytes: what is shorter would be found by chance.
const SHORTEST: usize = 16;

static KEPT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Remembers a secret.
pub fn keep(secret: &str) {
    assert!(secret.len() >= SHORTEST, "{secret} is no secret");
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.insert(secret.to_owned());
}

/// A client's, in the form of HTTP Basic too.
pub fn keep_credential(id: &str, secret: &str) {
    keep(secret);
    keep(&STANDARD.encode(format!("{id}:{secret}")));
}

/// A token's signature: without it the rest is nobody's key.
pub fn keep_token(token: &str) {
    keep(token.rsplit('.').next().unwrap());
}

/// The lines of a private key.
pub fn keep_pem(pem: &str) {
    let pem = pem.replace("\\n", "\n");
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    lines.filter(|line| line.len() >= SHORTEST).for_each(keep);
}

/// The logs in `folder` and in whatever is in it.
fn logs_in(folder: &Path) -> Vec<PathBuf> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            logs.extend(logs_in(&path));
        } else if path.extension().is_some_and(|ending| ending == "log") {
            logs.push(path);
        }
    }
    logs
}

/// The kept secrets that stand in a log of `folder`.
pub fn found_in(folder: &Path) -> Vec<String> {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    // By how they end: there may be many thousands, and as many lines.
    let mut by_end: HashMap<&[u8], Vec<&str>> = HashMap::new();
    for secret in kept.iter() {
        let end = &secret.as_bytes()[secret.len() - SHORTEST..];
        by_end.entry(end).or_default().push(secret);
    }
    let mut found = Vec::new();
    for log in logs_in(folder) {
        let bytes = std::fs::read(&log).unwrap();
        for (at, window) in bytes.windows(SHORTEST).enumerate() {
            let here = by_end.get(window).into_iter().flatten();
            let before = &bytes[..at + SHORTEST];
            let whole = here.filter(|secret| before.ends_with(secret.as_bytes()));
            found.extend(whole.map(|secret| format!("{secret} in {}", log.display())));
        }
    }
    found
}
