//! What the record says of a decision: enough to explain it later, and no more
//! than that where nothing was taken away.

use serde_json::{Map, Value, json};

use crate::policy::shown::verdict;
use crate::policy::{Decided, Question};

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
