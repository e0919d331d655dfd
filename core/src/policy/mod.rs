//! Policies: sandboxed modules that decide at every issuance. A module imports
//! nothing, runs out of fuel, memory, stack and time, and can only narrow: the
//! host clamps whatever it says to the tier's numbers. One that fails denies.

mod builtin;
mod decide;
mod engine;
mod modules;

pub(crate) use builtin::enterprise_digest;
pub use builtin::install;
pub use decide::{Allowed, Decided, Decision, Denial, Question};
pub use engine::{Engine, Trapped};
pub use modules::Policies;
