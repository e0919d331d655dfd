//! The SDK for policies: the types of `policy.wit`, a trait to implement and
//! the macro that makes a module of it.
//!
//! ```ignore
//! struct OfficeHours;
//!
//! impl Policy for OfficeHours {
//!     fn decide(request: Request) -> Decision {
//!         match request.now / 3600 % 24 {
//!             8..18 => allow_all(request),
//!             _ => Decision::Deny("Come back in office hours.".into()),
//!         }
//!     }
//! }
//!
//! agentidp_policy::export!(OfficeHours with_types_in agentidp_policy::bindings);
//! ```

#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../policy.wit",
        world: "policy",
        pub_export_macro: true,
        export_macro_name: "export",
    });
}

pub use bindings::Guest as Policy;
pub use bindings::agentidp::policy::types::{Ceiling, Decision, Grant, Request};
pub use bindings::export;

/// Everything that was asked for, at the tier's ceiling.
pub fn allow_all(request: Request) -> Decision {
    Decision::Allow(Grant {
        scopes: request.scopes,
        lifetime_seconds: None,
        requests_per_minute: None,
        claims: Vec::new(),
    })
}
