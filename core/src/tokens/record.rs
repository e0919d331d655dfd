//! What the record says of a decision: enough to explain it later, and no more
//! than that where nothing was taken away.

use serde_json::{Map, Value, json};

use crate::policy::{Decided, Decision, Denial, Question, Verdict};

/// What the event of a decision says of how it came about.
pub(super) fn decision(
    decided: &Decided,
    question: &Question,
    sampled: bool,
) -> Map<String, Value> {
    let mut details = Map::new();
    let counts = decided.verdict();
    details.insert("policy".into(), counts.digest.clone().into());
    let narrowed = counts
        .allowed()
        .is_none_or(|allowed| allowed.scopes != question.scopes);
    if narrowed {
        details.insert("asked".into(), question.scopes.join(" ").into());
    }
    if let Some(tenant) = &decided.tenant {
        details.insert("tier".into(), verdict(&decided.tier));
        details.insert("tenant".into(), verdict(tenant));
    }
    if let Some(shadow) = decided.differs() {
        details.insert("shadow".into(), verdict(shadow));
    }
    if sampled && let Some(left) = decided.tier.allowed() {
        let input = json!({ "question": question, "left": left });
        details.insert("input".into(), input);
    }
    details
}

/// A verdict, as the record keeps it.
fn verdict(verdict: &Verdict) -> Value {
    match &verdict.decision {
        Decision::Allow(allowed) => json!({
            "policy": verdict.digest,
            "scope": allowed.scopes.join(" "),
            "lifetime_s": allowed.lifetime_s,
            "requests_per_minute": allowed.requests_per_minute,
            "claims": allowed.claims,
        }),
        Decision::Deny(denial) => json!({
            "policy": verdict.digest,
            "denied": denial.for_the_record(),
            "failed": denial.is_failure(),
        }),
    }
}

/// What the metrics call a verdict.
pub(super) const fn outcome(verdict: &Verdict) -> &'static str {
    match &verdict.decision {
        Decision::Allow(_) => "allowed",
        Decision::Deny(Denial::Said(_) | Denial::NothingLeft) => "denied",
        Decision::Deny(Denial::Failed(_) | Denial::NoModule(_)) => "failed",
    }
}
