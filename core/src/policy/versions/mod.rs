//! Tenants' versions: what was uploaded, and in which state it is.

mod store;

pub(crate) use store::in_force;
