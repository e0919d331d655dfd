//! The authority: holds Postgres, the hot counters and the signing keys, and
//! issues tokens. Calls go one way: `tiers ← tenants ← agents ← credentials ← tokens`;
//! `keys`, `resources`, `policy`, `limits` ← `tokens`; `audit` ← any.

// What a request passes on its way.
mod access_log;
pub mod addresses;
pub mod app;
mod body;
mod caller;
mod connections;
mod error;
mod etag;
mod failures;
mod form;
pub mod health;
mod listen;
mod observe;
pub mod once;
mod page;
mod path;
pub mod routes;
mod text;

// What the service knows.
pub mod agents;
pub mod audit;
pub mod change;
pub mod clients;
pub mod credentials;
mod decisions;
pub mod edge_sync;
mod follow;
pub mod hot;
mod housekeeping;
pub mod keys;
pub mod limits;
mod mirror;
pub mod policy;
pub mod resources;
pub mod revocations;
mod scope;
pub mod tenants;
pub mod tiers;
pub mod tokens;

// How it is run.
pub mod clock;
pub mod config;
pub mod database;
pub mod dev;
pub mod ids;
pub mod metrics;
pub mod migrate;
pub mod serve;
pub mod settings;
pub mod telemetry;

pub use error::Failure;
