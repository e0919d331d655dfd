//! What a version is.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::error::Failure;
use crate::ids::AgentId;
use crate::policy::Version;

/// The most settings of a version, and the longest key and value, in bytes.
const MOST_SETTINGS: usize = 64;
const LONGEST_KEY: usize = 64;
const LONGEST_VALUE: usize = 1_024;
/// The most claims that a version may name, and the longest name, in bytes.
const MOST_CLAIMS: usize = 16;
const LONGEST_CLAIM: usize = 32;

/// Where a version is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(super) enum State {
    /// It is there, and nobody has looked at it yet.
    Uploaded,
    /// It can be asked.
    Checked,
    /// It cannot: `reason` says why.
    Refused,
    /// It decides beside the active one, and what it decides does not count.
    Shadow,
    /// It counts.
    Active,
    /// It counted, or watched, once.
    Retired,
}

/// A version, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    /// SHA-256 (hex) of module, settings and claims: its name, in tokens and events.
    pub(super) digest: String,
    /// SHA-256 (hex) of the module as it was uploaded.
    pub(super) module_digest: String,
    pub(super) settings: BTreeMap<String, String>,
    /// Which claims it may put under `ext`.
    pub(super) claims: Vec<String>,
    pub(super) state: State,
    /// Why it was refused.
    pub(super) reason: Option<String>,
    pub(super) uploaded_by: Option<AgentId>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) uploaded_at: OffsetDateTime,
    /// When its state was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) changed_at: OffsetDateTime,
    /// When it last began to count.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) activated_at: Option<OffsetDateTime>,
}

/// What is uploaded.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    pub(super) module: Vec<u8>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) claims: Vec<String>,
}

/// A version's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct VersionDigest(pub(super) String);

/// What a name is not.
#[derive(Debug, thiserror::Error)]
#[error("a version's digest has 64 digits of 0-9 and a-f")]
pub(super) struct NoDigest;

impl FromStr for VersionDigest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for VersionDigest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Self, NoDigest> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text))
        } else {
            Err(NoDigest)
        }
    }
}

impl Shown {
    /// Lets it be asked, once it has been found to be a policy.
    ///
    /// # Errors
    /// 409.
    pub(super) fn can_be_asked(&self) -> Result<(), Failure> {
        if matches!(self.state, State::Uploaded | State::Refused) {
            let why = "This version has not been checked, or was refused: upload it again.";
            return Err(Failure::Conflict(why.into()));
        }
        Ok(())
    }
}

impl From<Shown> for Version {
    fn from(shown: Shown) -> Self {
        Self {
            digest: shown.digest,
            module_digest: shown.module_digest,
            settings: shown.settings.into_iter().collect(),
            claims: shown.claims,
        }
    }
}

impl Upload {
    /// Checks what stands beside the module.
    ///
    /// # Errors
    /// 422, naming the part.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        if self.settings.len() > MOST_SETTINGS {
            let why = format!("must have at most {MOST_SETTINGS} members");
            return Err(Failure::invalid("settings", why));
        }
        for (key, value) in &self.settings {
            let printable = key.bytes().all(|b| b.is_ascii_graphic());
            if key.is_empty() || key.len() > LONGEST_KEY || !printable {
                let why = format!("must have keys of 1 to {LONGEST_KEY} printable characters");
                return Err(Failure::invalid("settings", why));
            }
            if value.len() > LONGEST_VALUE || value.contains('\0') {
                let why = format!("must have values of at most {LONGEST_VALUE} bytes, without NUL");
                return Err(Failure::invalid("settings", why));
            }
        }
        self.claims.sort_unstable();
        self.claims.dedup();
        if self.claims.len() > MOST_CLAIMS {
            let why = format!("must name at most {MOST_CLAIMS}");
            return Err(Failure::invalid("claims", why));
        }
        for claim in &self.claims {
            check_claim(claim)?;
        }
        Ok(())
    }

    /// The digest of the module alone.
    pub(super) fn module_digest(&self) -> String {
        hex(Sha256::digest(&self.module))
    }

    /// The version's name: of all that can change what it says.
    pub(super) fn digest(&self) -> String {
        let beside = serde_json::json!({
            "module": self.module_digest(),
            "settings": self.settings,
            "claims": self.claims,
        });
        hex(Sha256::digest(beside.to_string()))
    }
}

/// A claim that a policy may give: not one that has a meaning already.
fn check_claim(claim: &str) -> Result<(), Failure> {
    // RFC 7519 §4.1, RFC 8693 §4, RFC 9068 §2.2, OpenID Connect Core §5.1, and ours.
    const TAKEN: [&str; 30] = [
        "acr",
        "act",
        "agentidp",
        "amr",
        "aud",
        "auth_time",
        "authorization_details",
        "azp",
        "client_id",
        "cnf",
        "email",
        "entitlements",
        "events",
        "exp",
        "ext",
        "groups",
        "iat",
        "iss",
        "jti",
        "may_act",
        "nbf",
        "nonce",
        "org_id",
        "roles",
        "scope",
        "sid",
        "status",
        "sub",
        "tier",
        "txn",
    ];
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let starts = claim.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !starts || claim.len() > LONGEST_CLAIM || !claim.bytes().all(letters) {
        let why = format!(
            "{claim:?} must be of a-z, 0-9 and _, begin with a letter, and have at most {LONGEST_CLAIM} characters"
        );
        return Err(Failure::invalid("claims", why));
    }
    if TAKEN.contains(&claim) {
        let why = format!("{claim:?} has a meaning of its own, which no policy may give it");
        return Err(Failure::invalid("claims", why));
    }
    Ok(())
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(claims: &[&str]) -> Upload {
        Upload {
            module: b"module".to_vec(),
            settings: BTreeMap::from([("open".to_owned(), "8".to_owned())]),
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        }
    }

    #[test]
    fn a_version_is_named_by_all_that_can_change_what_it_says() {
        let named = |change: fn(&mut Upload)| {
            let mut upload = upload(&["team"]);
            change(&mut upload);
            upload.digest()
        };
        let digest = named(|_| {});
        assert_eq!(digest, named(|_| {}));
        assert_ne!(digest, named(|upload| upload.module.push(0)));
        assert_ne!(digest, named(|upload| upload.claims.clear()));
        assert_ne!(digest, named(|upload| upload.settings.clear()));
        assert!(digest.parse::<VersionDigest>().is_ok());
        assert!(digest.to_uppercase().parse::<VersionDigest>().is_err());
    }

    #[test]
    fn claims_that_mean_something_already_are_nobodys_to_give() {
        assert!(upload(&["team", "cost_center", "team"]).check().is_ok());
        for bad in [
            "sub", "iss", "act", "scope", "org_id", "cnf", "Team", "a-b", "", "1a",
        ] {
            assert!(upload(&[bad]).check().is_err(), "{bad}");
        }
    }
}
