//! The SDK for policies: what is asked, what may be answered, and the macro that
//! makes a module of it.
//!
//! A policy is a function from a [`Request`] to a [`Decision`]. It has no clock, no
//! network, no files and no memory of earlier decisions: all that it may know is in
//! the request. It can only narrow; the host drops what goes beyond.
//!
//! ```
//! use agentidp_policy::{Decision, Policy, Request, allow_all, deny};
//!
//! /// No tokens at night, and short ones for agents that are being tried.
//! struct Careful;
//!
//! impl Policy for Careful {
//!     fn decide(request: &Request) -> Decision {
//!         if !(8..18).contains(&request.hour()) {
//!             return deny("Come back between 8 and 18 h UTC.");
//!         }
//!         let seconds = request.number("trial_seconds", 300)?;
//!         Ok(match request.has_capability("on-trial") {
//!             true => allow_all(request).without(["files:write"]).for_at_most(seconds),
//!             false => allow_all(request),
//!         })
//!     }
//! }
//!
//! agentidp_policy::export!(Careful);
//!
//! // A test needs neither a host nor WebAssembly.
//! # fn main() {
//! let asked = Request { capabilities: vec!["on-trial".into()], ..Request::example() };
//! let granted = Careful::decide(&asked).unwrap();
//! assert_eq!(granted.scopes, ["files:read"]);
//! assert_eq!(granted.lifetime_seconds, Some(300));
//! # }
//! ```

#[cfg(any(test, target_arch = "wasm32"))]
#[cfg_attr(not(feature = "arena"), allow(dead_code))]
mod arena;
mod calendar;
mod decision;
mod example;
mod request;
mod usage;

pub use bindings::agentidp::policy::types::{Ceiling, Grant, Request, Usage};
pub use calendar::Weekday;
pub use decision::{Decision, Denial, allow_all, deny};

/// A policy.
pub trait Policy {
    /// Says what the token may be, or why there is none. The same request must have
    /// the same answer: it is what a replay goes by. One that panics denies.
    fn decide(request: &Request) -> Decision;
}

/// Makes the crate's module of a [`Policy`]. Once in a crate of the type `cdylib`.
///
/// ```
/// # use agentidp_policy::{Decision, Policy, Request, allow_all};
/// struct Everything;
///
/// impl Policy for Everything {
///     fn decide(request: &Request) -> Decision {
///         Ok(allow_all(request))
///     }
/// }
///
/// agentidp_policy::export!(Everything);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        const _: () = {
            struct Exported;

            impl $crate::bindings::Guest for Exported {
                fn decide(request: $crate::Request) -> $crate::bindings::Said {
                    $crate::bindings::said(<$policy as $crate::Policy>::decide(&request))
                }
            }

    $crate::bindings::export_world!(Exported with_types_in $crate::bindings);
        };
    };
}

/// What is generated of `wit/policy.wit`: for [`export!`] alone.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit/policy.wit",
        world: "policy",
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        export_macro_name: "export_world",
    });

    pub use agentidp::policy::types::Decision as Said;

    pub fn said(decision: crate::Decision) -> Said {
        match decision {
            Ok(grant) => Said::Allow(grant),
            Err(denial) => Said::Deny(denial.into_reason()),
        }
    }
}
