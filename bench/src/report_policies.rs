//! The report's section on policies.

use std::fmt::Write as _;

use crate::Outcome;
use crate::crowd::Seen;
use crate::decisions::{Policy, Row, Who};
use crate::load::Measured;
use crate::policies::Policies;

/// Adds the section.
pub(crate) fn write(policies: &Policies, text: &mut String) -> Outcome<()> {
    writeln!(text, "### Policies\n")?;
    decisions(&policies.decisions, text)?;
    issuance(&policies.issuance, text)?;
    crowd(policies, text)?;
    neighbours(policies, text)
}

fn decisions(rows: &[Row], text: &mut String) -> Outcome<()> {
    writeln!(
        text,
        "A decision, in one thread, without any request around it: the same questions, of one or two scopes, to each. A \
         module is asked as an issuance asks it, with all that it is told of agent, usage and settings; Cedar is asked for each \
         scope and told of the labels, Rego (by regorus) of the labels and the scopes. Policies are compiled before; what the \
         time has in it is the question, the answer, and at the CPU-µs the look at the answer.\n\n\
         | policy | who | p50 µs | p99 µs | CPU-µs | of the module's CPU |\n\
         | --- | --- | ---: | ---: | ---: | ---: |"
    )?;
    for row in rows {
        let policy = match row.policy {
            Policy::AllowAll => "a tier's: what was asked for",
            Policy::ScopesByLabel => "a tenant's: scopes by label",
        };
        let who = match (row.who, row.policy) {
            (Who::Module, Policy::AllowAll) => "**AgentIdP**, a warm instance",
            (Who::Module, Policy::ScopesByLabel) => "**AgentIdP**, a fresh instance each time",
            (Who::Cedar, _) => "`cedar-policy`",
            (Who::Rego, _) => "`regorus`",
        };
        let modules = rows.iter();
        let mut modules =
            modules.filter(|other| other.policy == row.policy && other.who == Who::Module);
        let module = modules.next().map_or(f64::NAN, |row| row.timed.cpu_us);
        writeln!(
            text,
            "| {policy} | {who} | {:.1} | {:.1} | {:.1} | {:.2} × |",
            row.timed.p50_us,
            row.timed.p99_us,
            row.timed.cpu_us,
            row.timed.cpu_us / module,
        )?;
    }
    Ok(writeln!(text)?)
}

fn issuance(measured: &[Measured; 2], text: &mut String) -> Outcome<()> {
    writeln!(
        text,
        "`POST /token` at 32 connections, EdDSA. There is no issuance without a module: each tier has one.\n\n\
         | modules | a second | p50 ms | p99 ms | CPU-µs | in Postgres | in Redis |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    let whose = ["1: the tier's", "2: the tier's and the tenant's"];
    for (whose, measured) in whose.iter().zip(measured) {
        let Measured {
            a_second,
            p50_ms,
            p99_ms,
            cpu_us,
            ..
        } = measured;
        let [service, postgres, redis] = cpu_us[..] else {
            return Err("a meter is missing".into());
        };
        writeln!(
            text,
            "| {whose} | {a_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {service:.1} | {postgres:.1} | {redis:.1} |"
        )?;
    }
    Ok(writeln!(text)?)
}

fn crowd(policies: &Policies, text: &mut String) -> Outcome<()> {
    let crowd = &policies.crowd;
    writeln!(
        text,
        "{} tenants, each with a module of its own, {:.0} MB of machine code together, of which the service keeps 64 MiB. After \
         a start each tenant's agent asks for a token, one after another, and then each once more; the same before the \
         modules are in force.\n\n\
         | in force | memory at first, MB | after, MB | first token, p50 ms | p99 ms | next token, p50 ms | p99 ms | modules read from Postgres |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        crowd.tenants,
        crowd.code as f64 / 1e6,
    )?;
    for (what, seen) in [
        ("the tier's alone", &crowd.without),
        ("the tenants' too", &crowd.with),
    ] {
        let Seen {
            before,
            after,
            first,
            next,
            reads,
        } = seen;
        let [before, after] = [before, after].map(|bytes| *bytes as f64 / 1e6);
        writeln!(
            text,
            "| {what} | {before:.0} | {after:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {reads} |",
            first.p50_ms, first.p99_ms, next.p50_ms, next.p99_ms,
        )?;
    }
    Ok(writeln!(text)?)
}

fn neighbours(policies: &Policies, text: &mut String) -> Outcome<()> {
    let neighbours = &policies.neighbours;
    writeln!(
        text,
        "A tenant with a module of its own at 16 connections. The busy neighbour does the same at 16 more; the hostile one's \
         module never ends and rests when it has failed three times, which 16 connections asked {} times, and it uploads bombs, \
         {} of them, each of which the compiler is busy with until its time is over.\n\n\
         | beside | a second | p50 ms | p99 ms | p99 of that beside an idle one |\n\
         | --- | ---: | ---: | ---: | ---: |",
        neighbours.loops, neighbours.bombs,
    )?;
    for (who, seen) in [
        ("an idle neighbour", &neighbours.idle),
        ("a busy one", &neighbours.busy),
        ("a hostile one", &neighbours.hostile),
    ] {
        writeln!(
            text,
            "| {who} | {:.0} | {:.2} | {:.2} | {:.2} × |",
            seen.a_second,
            seen.p50_ms,
            seen.p99_ms,
            seen.p99_ms / neighbours.idle.p99_ms,
        )?;
    }
    Ok(writeln!(text)?)
}

impl Policies {
    /// What is promised: what, the figure, the budget.
    pub(crate) fn budgets(&self) -> [(String, f64, f64); 2] {
        let [_, both] = &self.issuance;
        let neighbours = &self.neighbours;
        [
            (
                "a token with a tenant's module (32 connections), CPU-µs in the service".to_owned(),
                both.cpu_us.first().copied().unwrap_or(f64::NAN),
                75.0,
            ),
            (
                "p99 beside a hostile tenant, µs; the budget is twice that beside an idle one in this run"
                    .to_owned(),
                neighbours.hostile.p99_ms * 1e3,
                neighbours.idle.p99_ms * 2e3,
            ),
        ]
    }
}
