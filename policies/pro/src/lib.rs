//! The tier `pro`: what was asked for, at the tier's numbers. An operator who
//! wants more of this tier than its numbers say writes it here.

use agentidp_policy::{Decision, Policy, Request, allow_all};

struct Pro;

impl Policy for Pro {
    fn decide(request: &Request) -> Decision {
        Ok(allow_all(request))
    }
}

agentidp_policy::export!(Pro);
