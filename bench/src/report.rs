//! Writes what was measured into `bench/RESULTS.md`, between two markers, and the
//! plot beside it. It is called once every answer of the run has been checked, and
//! never before; it leaves out nothing that was measured.

use std::fmt::Write as _;
use std::path::Path;

use crate::edge::What;
use crate::facts::Facts;
use crate::load::Measured;
use crate::memory::Memory;
use crate::policies::Policies;
use crate::start::Start;
use crate::tokens::Who;
use crate::verify::Alg;
use crate::{Outcome, edge, plot, report_policies, report_revocation, revocation, tokens};

const BEGIN: &str = "<!-- make bench writes from here -->";
const END: &str = "<!-- to here -->";

/// A whole run.
pub(crate) struct Results {
    pub(crate) facts: Facts,
    pub(crate) tokens: Vec<tokens::Row>,
    pub(crate) edge: Vec<edge::Row>,
    pub(crate) revocation: Vec<revocation::Row>,
    pub(crate) policies: Policies,
    pub(crate) memory: Memory,
    pub(crate) start: Start,
    pub(crate) bundle: usize,
}

/// Writes both files in `folder`; the text around the markers stays.
pub(crate) fn write(results: &Results, folder: &Path) -> Outcome<()> {
    let path = folder.join("RESULTS.md");
    let old = std::fs::read_to_string(&path).unwrap_or_else(|_| format!("{BEGIN}\n{END}\n"));
    let parts = old.split_once(BEGIN).zip(old.split_once(END));
    let ((before, _), (_, after)) = parts.ok_or("RESULTS.md has lost its markers")?;
    std::fs::write(
        path,
        format!("{before}{BEGIN}\n{}{END}{after}", text(results)?),
    )?;
    plot::draw(results, &folder.join("results.svg"))
}

fn text(results: &Results) -> Outcome<String> {
    let mut text = String::new();
    let facts = &results.facts;
    writeln!(
        text,
        "## {}, commit {}\n\n{}, load average {} before the run. {}.\n\n![CPU time a request](results.svg)\n",
        facts.date, facts.commit, facts.machine, facts.load_average, facts.versions,
    )?;
    tokens_text(results, &mut text)?;
    edge_text(results, &mut text)?;
    report_revocation::write(&results.revocation, &mut text)?;
    report_policies::write(&results.policies, &mut text)?;
    budgets_text(results, &mut text)?;
    Ok(text)
}

fn tokens_text(results: &Results, text: &mut String) -> Outcome<()> {
    writeln!(
        text,
        "### `POST /token`\n\n\
         client_credentials, client_secret_basic, a JWT for one resource, 8 clients. The service has audit, limits, tier policy \
         and access log on, in Postgres and Redis; `oidc-provider` keeps all in memory and has none of these; the ceiling \
         is axum and aws-lc-rs, which check the secret's SHA-256 and sign.\n\n\
         | alg | who | connections | a second | p50 ms | p99 ms | CPU-µs | in Postgres | in Redis | `oidc-provider`'s CPU | the ceiling's CPU |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for row in &results.tokens {
        let name = match row.who {
            Who::Service => "**AgentIdP**",
            Who::OidcProvider => "`oidc-provider`",
            Who::Ceiling => "the ceiling",
        };
        let store = |index: usize| {
            let cost = row.measured.cpu_us.get(index);
            cost.map_or("–".to_owned(), |cost| format!("{cost:.1}"))
        };
        let ratio = |who: Who| {
            let other = results.token_cpu(row.alg, who, row.connections);
            other.map_or("–".to_owned(), |other| {
                format!("{:.2} ×", other / row.measured.cpu_us[0])
            })
        };
        let Measured {
            a_second,
            p50_ms,
            p99_ms,
            cpu_us,
            ..
        } = &row.measured;
        writeln!(
            text,
            "| {} | {name} | {} | {a_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {:.1} | {} | {} | {} | {} |",
            row.alg.name(),
            row.connections,
            cpu_us[0],
            store(1),
            store(2),
            ratio(Who::OidcProvider),
            ratio(Who::Ceiling),
        )?;
    }
    writeln!(
        text,
        "\nThe last two columns say how many times this row's own CPU time the other takes for the same; the stores are not in them.\n"
    )?;
    Ok(())
}

fn edge_text(results: &Results, text: &mut String) -> Outcome<()> {
    writeln!(
        text,
        "### The edge in workerd, 32 connections\n\n\
         Every request carries a token. The edge also asks the feed of revocations, counts each client's minute by permits \
         that isolates lease from its Durable Object, and names the caller in headers; the two npm packages verify and do \
         nothing else.\n\n\
         | Worker | alg | a second | p50 ms | p99 ms | CPU-µs | over the empty one in Rust |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for row in &results.edge {
        let (name, alg) = match row.what {
            What::EmptyRust => ("empty, in Rust", "–"),
            What::EmptyScript => ("empty, in JavaScript", "–"),
            What::Warm => ("**AgentIdP** `/verify`, tokens seen before", "EdDSA"),
            What::Unseen => ("**AgentIdP** `/verify`, each token new", "EdDSA"),
            What::Forwarded => ("**AgentIdP** forwarding, tokens seen before", "EdDSA"),
            What::Jose => ("`jose` `jwtVerify`", "EdDSA"),
            What::Tsndr => ("`@tsndr/cloudflare-worker-jwt`", "ES256"),
        };
        let Measured {
            a_second,
            p50_ms,
            p99_ms,
            cpu_us,
            ..
        } = &row.measured;
        let over = results.over_empty(row.what).unwrap_or_default();
        writeln!(
            text,
            "| {name} | {alg} | {a_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {:.1} | {over:+.1} |",
            cpu_us[0],
        )?;
    }
    writeln!(text)?;
    Ok(())
}

fn budgets_text(results: &Results, text: &mut String) -> Outcome<()> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (memory, start) = (results.memory, results.start);
    let token = results.token_cpu(Alg::EdDSA, Who::Service, 32);
    let peer = results.token_cpu(Alg::EdDSA, Who::OidcProvider, 32);
    let rows = [
        (
            "a token (EdDSA, 32 connections), CPU-µs in the service".to_owned(),
            token.unwrap_or(f64::NAN),
            47.0,
        ),
        (
            "the same; the budget is a quarter of `oidc-provider`'s in this run".to_owned(),
            token.unwrap_or(f64::NAN),
            peer.map_or(f64::NAN, |peer| peer / 4.0),
        ),
        (
            "the edge, tokens seen before, CPU-µs over the empty Worker".to_owned(),
            results.over_empty(What::Warm).unwrap_or(f64::NAN),
            15.0,
        ),
        (
            "the edge, each token new, CPU-µs over the empty Worker".to_owned(),
            results.over_empty(What::Unseen).unwrap_or(f64::NAN),
            60.0,
        ),
        ("memory, idle, MB".to_owned(), megabytes(memory.idle), 60.0),
        (
            format!(
                "memory, {} agents registered, {} of them with a token just now, MB",
                memory.registered, memory.asking
            ),
            megabytes(memory.peopled),
            200.0,
        ),
        (
            format!(
                "from the start to the first 200 of `/ready`, median of {}, ms",
                start.starts
            ),
            start.ready_ms,
            300.0,
        ),
        (
            "the same to the first token, ms".to_owned(),
            start.token_ms,
            300.0,
        ),
        (
            "the edge's bundle after `gzip -9`, KB".to_owned(),
            results.bundle as f64 / 1e3,
            350.0,
        ),
    ];
    let revocation = report_revocation::budgets(&results.revocation);
    let rows = rows.into_iter().chain(revocation);
    let rows = rows.chain(results.policies.budgets());
    writeln!(
        text,
        "### Budgets\n\n| what | figure | budget | kept |\n| --- | ---: | ---: | --- |"
    )?;
    for (what, figure, budget) in rows {
        let kept = if figure <= budget { "yes" } else { "**no**" };
        writeln!(text, "| {what} | {figure:.0} | {budget:.0} | {kept} |")?;
    }
    writeln!(text)?;
    Ok(())
}

impl Results {
    /// CPU-µs a token, without the stores.
    pub(crate) fn token_cpu(&self, alg: Alg, who: Who, connections: usize) -> Option<f64> {
        let mut rows = self.tokens.iter();
        let row =
            rows.find(|row| (row.alg, row.who, row.connections) == (alg, who, connections))?;
        row.measured.cpu_us.first().copied()
    }

    /// CPU-µs more than the Worker in Rust that does nothing.
    fn over_empty(&self, what: What) -> Option<f64> {
        let cost = |what| {
            let row = self.edge.iter().find(|row| row.what == what)?;
            row.measured.cpu_us.first().copied()
        };
        Some(cost(what)? - cost(What::EmptyRust)?)
    }
}
