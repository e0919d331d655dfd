//! What a tier is.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Failure;
use crate::limits::Ceiling;

/// The operator's own tier, without limits, which nobody else is put on.
pub(super) const PLATFORM: &str = "platform";
/// Tiers that stay, whoever is on them.
const LASTING: [&str; 4] = ["free", "pro", "enterprise", PLATFORM];

/// A tier, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// Its name, which tokens carry as `tier`.
    pub tier: String,
    /// What holds for each tenant on it.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// The policy module that decides first, by the SHA-256 of its component, in hex.
    pub module_digest: Option<String>,
}

/// A tier's numbers; null is no limit. The limits have to be there, so that none
/// is lifted because somebody forgot it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// API calls a day (UTC), for the tenant.
    #[serde(deserialize_with = "given")]
    pub calls_per_day: Option<i64>,
    /// Tokens a day (UTC), for the tenant.
    #[serde(deserialize_with = "given")]
    pub tokens_per_day: Option<i64>,
    /// Tokens a month (UTC), for each client.
    #[serde(deserialize_with = "given")]
    pub tokens_per_month: Option<i64>,
    /// Requests in a window, for each client.
    #[serde(deserialize_with = "given")]
    pub requests_per_minute: Option<i32>,
    /// The longest life of a token, in seconds, 1 to 86,400.
    #[serde(default = "an_hour")]
    pub token_lifetime_s: i32,
    /// The largest policy module that a tenant may upload, in bytes, to 1 MiB.
    #[serde(default = "a_mebibyte")]
    pub policy_bytes: i32,
    /// How many of a tenant's decisions a day are kept for replays, to 100,000.
    #[serde(default = "ten_thousand")]
    pub samples_per_day: i32,
}

/// A member that may be null and may not be absent.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

const fn an_hour() -> i32 {
    3_600
}

const fn a_mebibyte() -> i32 {
    1_048_576
}

const fn ten_thousand() -> i32 {
    10_000
}

impl Numbers {
    /// Checks what nobody may exceed, whatever an operator wants.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let limits = [
            ("calls_per_day", self.calls_per_day),
            ("tokens_per_day", self.tokens_per_day),
            ("tokens_per_month", self.tokens_per_month),
            (
                "requests_per_minute",
                self.requests_per_minute.map(i64::from),
            ),
        ];
        for (field, limit) in limits {
            if limit.is_some_and(|limit| limit < 0) {
                return Err(Failure::invalid(field, "must be 0 or more, or null"));
            }
        }
        for (field, number, range) in [
            ("token_lifetime_s", self.token_lifetime_s, 1..=86_400),
            ("policy_bytes", self.policy_bytes, 0..=1_048_576),
            ("samples_per_day", self.samples_per_day, 0..=100_000),
        ] {
            if !range.contains(&number) {
                let why = format!("must be from {} to {}", range.start(), range.end());
                return Err(Failure::invalid(field, why));
            }
        }
        Ok(())
    }

    /// What edges are told of where it falls.
    pub(super) fn ceiling(&self) -> Ceiling {
        (
            self.calls_per_day.map(i64::unsigned_abs),
            self.requests_per_minute.map(i32::unsigned_abs),
        )
    }
}

/// Checks the name of a tier that is to be made: it stands in tokens and in paths.
pub(super) fn check_name(tier: &str) -> Result<(), Failure> {
    let letters = tier
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    let starts = tier.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if letters && starts && tier.len() <= 32 {
        return Ok(());
    }
    let why = "must have 1 to 32 characters of a-z, 0-9, - and _, the first a letter";
    Err(Failure::invalid("tier", why))
}

/// Refuses to change what holds the operator up.
pub(super) fn check_changeable(tier: &str) -> Result<(), Failure> {
    if tier == PLATFORM {
        let why = "The operator's own tier has no limits and keeps none.";
        return Err(Failure::Conflict(why.into()));
    }
    Ok(())
}

/// Refuses to delete what is always there.
pub(super) fn check_removable(tier: &str) -> Result<(), Failure> {
    if LASTING.contains(&tier) {
        let why = format!("{tier} is one of the tiers that stay.");
        return Err(Failure::Conflict(why.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(requests_per_minute: Option<i32>) -> Numbers {
        Numbers {
            calls_per_day: None,
            tokens_per_day: Some(0),
            tokens_per_month: None,
            requests_per_minute,
            token_lifetime_s: 86_400,
            policy_bytes: 0,
            samples_per_day: 100_000,
        }
    }

    #[test]
    fn numbers_are_in_their_ranges() {
        assert!(numbers(None).check().is_ok());
        for bad in [
            numbers(Some(-1)),
            Numbers {
                tokens_per_day: Some(-1),
                ..numbers(None)
            },
            Numbers {
                token_lifetime_s: 0,
                ..numbers(None)
            },
            Numbers {
                token_lifetime_s: 86_401,
                ..numbers(None)
            },
            Numbers {
                policy_bytes: 1_048_577,
                ..numbers(None)
            },
            Numbers {
                samples_per_day: 100_001,
                ..numbers(None)
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_limit_is_said_or_said_to_be_none() {
        let whole = serde_json::to_value(numbers(None)).unwrap();
        for limit in [
            "calls_per_day",
            "tokens_per_day",
            "tokens_per_month",
            "requests_per_minute",
        ] {
            let mut short = whole.clone();
            short.as_object_mut().unwrap().remove(limit);
            let error = serde_json::from_value::<Numbers>(short).unwrap_err();
            assert!(error.to_string().contains(limit), "{error}");
        }
        assert_eq!(
            serde_json::from_value::<Numbers>(whole).unwrap(),
            numbers(None)
        );
    }

    #[test]
    fn a_name_can_stand_in_a_path() {
        for good in ["gold", "a", "team-2_eu"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Gold", "2", "-a", "a b", "a/b", "é", &"a".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
