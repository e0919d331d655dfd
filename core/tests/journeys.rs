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
    mod clocks;
    mod crash;
    mod dev;
    mod documented;
    mod edge;
    mod edge_paths;
    mod edge_reports;
    mod edges;
    mod ending;
    mod export;
    mod feed;
    mod filters;
    mod floods;
    mod full_disk;
    mod idempotency;
    mod identity;
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
