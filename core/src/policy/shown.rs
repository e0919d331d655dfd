//! Verdicts, as the record keeps them and the API shows them.

use serde_json::{Value, json};

use super::answer::{Decision, Denial};
use super::decide::Verdict;

/// `allow` or `deny`.
pub(crate) const fn word(verdict: &Verdict) -> &'static str {
    match &verdict.decision {
        Decision::Allow(_) => "allow",
        Decision::Deny(_) => "deny",
    }
}

/// What a module made of what came before it.
pub(crate) fn verdict(verdict: &Verdict) -> Value {
    let mut shown = match &verdict.decision {
        Decision::Allow(allowed) => json!({
            "scope": allowed.scopes.join(" "),
            "lifetime_s": allowed.lifetime_s,
            "requests_per_minute": allowed.requests_per_minute,
            "claims": allowed.claims,
        }),
        Decision::Deny(denial) => json!({
            "reason": denial.for_the_record(),
            "failed": denial.is_failure(),
        }),
    };
    shown["decision"] = word(verdict).into();
    shown["policy"] = verdict.digest.as_str().into();
    shown["fuel"] = verdict.fuel.into();
    if !verdict.notes.is_empty() {
        shown["notes"] = verdict.notes.as_slice().into();
    }
    shown
}

/// What the metrics call a verdict.
pub(crate) const fn outcome(verdict: &Verdict) -> &'static str {
    match &verdict.decision {
        Decision::Allow(_) => "allowed",
        Decision::Deny(Denial::Said(_) | Denial::NothingLeft) => "denied",
        Decision::Deny(Denial::Failed(_) | Denial::NoModule(_)) => "failed",
    }
}
