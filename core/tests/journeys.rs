//! Journeys through a whole deployment: the real binary, a real Postgres, a real
//! Redis, and the edge in a real workerd. A file tells one story.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod support;

mod journeys {
    mod addresses;
    mod bodies;
    mod chaos;
    mod clocks;
    mod cloudflare;
    mod conformance;
    mod crash;
    mod dev;
    mod documented;
    mod edge;
    mod edge_away;
    mod edge_gateways;
    mod edge_introspection;
    mod edge_leases;
    mod edge_mcp;
    mod edge_metadata;
    mod edge_panics;
    mod edge_paths;
    mod edge_reports;
    mod edge_routes;
    mod edge_says;
    mod edge_streams;
    mod edge_tokens;
    mod edges;
    mod ending;
    mod export;
    mod feed;
    mod filters;
    mod floods;
    mod full_disk;
    mod idempotency;
    mod identity;
    mod isolates;
    mod isolation;
    mod limits;
    mod lists;
    mod losses;
    mod malformed;
    mod management;
    mod metrics;
    mod monitoring;
    mod no_text;
    mod outages;
    mod policies;
    mod policy_commands;
    mod policy_examples;
    mod pool;
    mod privilege;
    mod races;
    mod record;
    mod refusals;
    mod replicas;
    mod revocation;
    mod rotation;
    mod sandbox;
    mod scale;
    mod sizes;
    mod slow_clients;
    mod smuggling;
    mod stack;
    mod stack_runs;
    mod start_up;
    mod stock_clients;
    mod stop;
    mod tenant_end;
    mod tenant_policies;
    mod tenant_settings;
    mod tiers;
    mod token;
    mod usage;
    mod versions;
}
