//! Rego by regorus: one question for all scopes. The policy is compiled once.

use std::collections::BTreeMap;
use std::sync::Arc;

use regorus::{CompiledPolicy, Engine, Value};

use crate::timing::Case;
use crate::{Outcome, Policy};

pub(crate) struct Rego(CompiledPolicy);

impl Rego {
    pub(crate) fn new(policy: Policy) -> Outcome<Self> {
        let text = match policy {
            Policy::AllowAll => include_str!("allow_all.rego"),
            Policy::ScopesByLabel => include_str!("scopes_by_label.rego"),
        };
        let mut engine = Engine::new();
        engine.add_policy("policy.rego".to_owned(), text.to_owned())?;
        let rule: Arc<str> = "data.agentidp.granted".into();
        Ok(Self(engine.compile_with_entrypoint(&rule)?))
    }

    /// Which of the scopes are granted: a set, put into the order of the question.
    pub(crate) fn decide(&mut self, case: &Case) -> Outcome<Vec<String>> {
        let words = |words: &[String]| -> Value {
            let words: Vec<Value> = words.iter().map(|word| word.as_str().into()).collect();
            words.into()
        };
        let input = BTreeMap::from([
            ("labels".into(), words(&case.labels)),
            ("scopes".into(), words(&case.scopes)),
        ]);
        let granted = self.0.eval_with_input(input.into())?;
        let granted = granted.as_set()?;
        let scopes = case.scopes.iter().cloned();
        Ok(scopes
            .filter(|scope| granted.contains(&Value::from(scope.as_str())))
            .collect())
    }
}
