//! What the core and the edge must agree on: how a token is read, which key may
//! have signed it, what its claims must say, how limits are counted, what a
//! revocation kills, and every reason for a refusal.
//!
//! Nothing here does I/O, reads a clock or knows a secret: bytes, keys and the
//! time come in as arguments, and a signature is checked by whoever has the
//! cryptography ([`token::CheckSignature`]).

pub mod claims;
pub mod expected;
pub mod feed;
pub mod following;
pub mod gate;
pub mod jwks;
mod jws;
pub mod lease;
pub mod limit;
pub mod permits;
pub mod place;
pub mod rejected;
pub mod report;
pub mod revocations;
pub mod statement;
pub mod strict_json;
pub mod token;

pub use claims::Claims;
pub use expected::{Audience, Audiences, Expected};
pub use jwks::{Algorithm, Jwk, Jwks};
pub use rejected::{Hints, Rejected};
pub use token::{CheckSignature, Presented, Verified};
