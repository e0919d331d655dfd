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
    mod dev;
    mod documented;
    mod edge;
    mod edge_paths;
    mod floods;
    mod identity;
    mod isolation;
    mod limits;
    mod malformed;
    mod management;
    mod no_text;
    mod policies;
    mod privilege;
    mod record;
    mod refusals;
    mod revocation;
    mod rotation;
    mod sizes;
    mod slow_clients;
    mod smuggling;
    mod start_up;
    mod stock_clients;
    mod token;
}
