//! Rules of this crate that hold for whatever comes in, tried with 256 inputs
//! each, new ones on every run. A case that fails is printed in its smallest form
//! and becomes a test of its own beside the rule.

mod feed;
mod jwks;
mod lease;
mod limit;
mod revocations;
mod strict_json;
mod token;

use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        // Nothing is written into the tree by a test.
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    }
}

/// Ids so few that they meet again.
fn id() -> impl Strategy<Value = String> {
    "[a-d]"
}
