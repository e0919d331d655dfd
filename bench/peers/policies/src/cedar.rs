//! Cedar: an agent is the principal, its labels are an attribute, each scope is an
//! action that is asked for by itself. The policies are parsed once.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression,
};

use crate::timing::Case;
use crate::{Outcome, Policy};

pub(crate) struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    agent: EntityUid,
    resource: EntityUid,
    action: EntityTypeName,
}

impl Cedar {
    pub(crate) fn new(policy: Policy) -> Outcome<Self> {
        let text = match policy {
            Policy::AllowAll => "permit (principal, action, resource);",
            Policy::ScopesByLabel => include_str!("scopes_by_label.cedar"),
        };
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: text.parse()?,
            agent: r#"Agent::"01900000-0000-7000-8000-000000000001""#.parse()?,
            resource: r#"Resource::"https://api.bench.example""#.parse()?,
            action: "Action".parse()?,
        })
    }

    /// Which of the scopes are granted.
    pub(crate) fn decide(&self, case: &Case) -> Outcome<Vec<String>> {
        let labels = case.labels.iter().cloned();
        let labels = RestrictedExpression::new_set(labels.map(RestrictedExpression::new_string));
        let attributes = HashMap::from([("labels".to_owned(), labels)]);
        let agent = Entity::new(self.agent.clone(), attributes, HashSet::new())?;
        let entities = Entities::from_entities([agent], None)?;
        let mut granted = Vec::new();
        for scope in &case.scopes {
            let action =
                EntityUid::from_type_name_and_id(self.action.clone(), EntityId::new(scope));
            let request = Request::new(
                self.agent.clone(),
                action,
                self.resource.clone(),
                Context::empty(),
                None,
            )?;
            let response = self
                .authorizer
                .is_authorized(&request, &self.policies, &entities);
            if let Some(error) = response.diagnostics().errors().next() {
                return Err(error.to_string().into());
            }
            if response.decision() == Decision::Allow {
                granted.push(scope.clone());
            }
        }
        Ok(granted)
    }
}
