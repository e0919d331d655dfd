//! Policies: sandboxed modules that decide at every issuance. A module imports
//! nothing, runs out of fuel, memory, stack and time, and can only narrow: the
//! host clamps whatever it says, a tier's module to the tier's numbers, a tenant's
//! to what the tier's left. One that fails denies.

mod answer;
mod artifacts;
mod breaker;
mod builtin;
mod command;
mod compile;
mod compile_child;
mod compiler;
mod decide;
mod engine;
mod inspect;
mod made_up;
#[cfg(test)]
mod module_of_text;
mod modules;
mod push;
mod question;
mod queue;
mod refused;
mod sample;
pub(crate) mod shown;
mod traffic;
mod versions;

pub use answer::{Allowed, Ceiling, Decision, Denial};
pub(crate) use builtin::enterprise_digest;
pub use builtin::install;
pub use command::PolicyCommand;
pub use compile::this_program;
pub use compile_child::compiler;
pub use compiler::CompileError;
pub use decide::{Decided, InForce, Undecided, Verdict, Version};
pub use engine::{Busy, Engine, Trapped};
pub(crate) use made_up::MadeUp;
pub use modules::Policies;
pub use question::Question;
pub use refused::Refused;
pub(crate) use sample::Samples;
pub(crate) use versions::{delete_all, in_force, is_upload, routes, versions_of};
