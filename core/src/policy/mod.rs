//! Policies: sandboxed modules that decide at every issuance. A module imports
//! nothing, runs out of fuel, memory, stack and time, and can only narrow: the
//! host clamps whatever it says, a tier's module to the tier's numbers, a tenant's
//! to what the tier's left. One that fails denies.

mod answer;
mod builtin;
mod decide;
mod engine;
mod modules;
mod question;
mod sample;
pub(crate) mod shown;
mod versions;

pub use answer::{Allowed, Ceiling, Decision, Denial};
pub use builtin::install;
pub use decide::{Decided, InForce, Verdict, Version};
pub use engine::{Engine, Trapped};
pub use modules::{CompileError, Policies, Refused};
pub use question::Question;
pub(crate) use sample::is_sampled;
pub(crate) use versions::{in_force, is_upload, routes};
