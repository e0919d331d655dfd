//! `make bench`: the service beside its peers, in one run.

fn main() {}
