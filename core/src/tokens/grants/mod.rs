//! One file for each grant type that the token endpoint knows.

pub(super) mod client_credentials;

/// What the metadata lists, and the token endpoint takes.
pub(super) const SUPPORTED: [&str; 1] = ["client_credentials"];
