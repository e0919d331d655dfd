//! Writes `SIMULATION.md`: the figures, and all that was assumed for them.

use std::fmt::Write as _;
use std::path::Path;

use super::assumptions::{
    AGENTS, AT_PLACES, BURSTS, CALLS, EXPONENT, HIBERNATES_MS, ISOLATE_RESTARTS, ISOLATES, JITTER,
    LOST, OBJECT_RESTARTS, OFFSET, PATIENCE_MS, PLACES, PLACES_EXPONENT, REGIONS, ROUND_TRIP_MS,
    ROUND_TRIP_SPREAD, SEED, SWING, TIERS, WINDOW_MS,
};
use super::tally::{Rate, of_the_day};
use super::{Simulated, price};
use crate::Outcome;
use crate::load::quantile_of as quantile;

/// Writes it in `folder`.
pub(super) fn write(simulated: &Simulated, folder: &Path) -> Outcome<()> {
    let mut text = String::new();
    writeln!(
        text,
        "# A day of {} agents at {PLACES} places\n\n\
         Written by `agentidp-bench --simulate`: no network, a day by a seed ({SEED}), the same each time. {} agents were \
         simulated call by call ({} calls), each for many of its rank; what they stand for adds up to the figures. \
         Permits are handed out by the edge's own code (`agentidp_verify::place`, `::permits`, `::lease`), the feed is asked by its \
         own numbers. A run in which one call is admitted over a limit reports nothing.\n\n\
         ![The day](simulation.svg)\n",
        millions(AGENTS as f64),
        simulated.agents,
        simulated.calls,
    )?;
    calls(simulated, &mut text)?;
    core(simulated, &mut text)?;
    reach(simulated, &mut text)?;
    bill(simulated, &mut text)?;
    assumptions(&mut text)?;
    std::fs::write(folder.join("SIMULATION.md"), text)?;
    Ok(())
}

/// `12.3 million`, and smaller numbers as they are.
fn millions(number: f64) -> String {
    match number {
        n if n >= 1e7 => format!("{:.0} million", n / 1e6),
        n if n >= 1e5 => format!("{:.2} million", n / 1e6),
        n => format!("{n:.0}"),
    }
}

fn percent(part: f64, whole: f64) -> String {
    format!("{:.3} %", 100.0 * part / whole)
}

fn calls(simulated: &Simulated, text: &mut String) -> Outcome<()> {
    let tally = &simulated.tally;
    let still_open = tally.debited - tally.admitted - tally.returned - tally.lost;
    writeln!(
        text,
        "## Calls and leases\n\n| what | figure | of |\n| --- | ---: | ---: |"
    )?;
    for (what, figure, of) in [
        ("calls", millions(tally.calls), String::new()),
        (
            "admitted",
            millions(tally.admitted),
            percent(tally.admitted, tally.calls),
        ),
        (
            "admitted over a limit",
            tally.over.to_string(),
            String::new(),
        ),
        (
            "refused, the minute is spent (429)",
            millions(tally.refused),
            percent(tally.refused, tally.calls),
        ),
        (
            "of them in a minute that had not admitted as much as it may",
            millions(tally.refused_below),
            percent(tally.refused_below, tally.calls),
        ),
        (
            "refused for a lost message or a restart (503)",
            millions(tally.unknown),
            percent(tally.unknown, tally.calls),
        ),
        (
            "minutes of a client with a call",
            millions(tally.windows),
            String::new(),
        ),
        (
            "minutes of a client that were spent",
            millions(tally.spent_windows),
            percent(tally.spent_windows, tally.windows),
        ),
        (
            "calls leased from the core",
            millions(tally.debited),
            String::new(),
        ),
        (
            "came back unspent into the tenant's day",
            millions(tally.returned),
            percent(tally.returned, tally.debited),
        ),
        (
            "lost: handed to an isolate and not spent",
            millions(tally.lost),
            percent(tally.lost, tally.debited),
        ),
        (
            "lost with an answer, or not settled when the day ended",
            millions(still_open),
            percent(still_open, tally.debited),
        ),
    ] {
        writeln!(text, "| {what} | {figure} | {of} |")?;
    }
    writeln!(text)?;
    Ok(())
}

fn core(simulated: &Simulated, text: &mut String) -> Outcome<()> {
    let tally = &simulated.tally;
    let questions = of_the_day(&tally.questions_by_hour());
    let settling = of_the_day(&tally.settling_by_hour());
    let polls = of_the_day(&simulated.reach.polls_by_hour);
    writeln!(
        text,
        "## The core's load\n\n\
         Requests a second. A peak is the busiest second of the minute in the busiest hour, and four standard deviations of \
         chance above it: windows of all clients begin together.\n\n\
         | what | mean | peak |\n| --- | ---: | ---: |"
    )?;
    let row = |what: &str, Rate { mean, peak }: Rate| format!("| {what} | {mean:.0} | {peak:.0} |");
    writeln!(text, "{}", row("questions for a lease", questions))?;
    writeln!(text, "{}", row("settlements alone, by alarm", settling))?;
    writeln!(text, "{}", row("questions to the feed", polls))?;
    writeln!(
        text,
        "\n{:.1} calls are admitted for each question; a question carries {:.2} settlements on the mean. The feed is one answer for \
         everybody that asks after the same cursor: a cache before the core takes most of its questions.\n",
        tally.admitted / tally.leases,
        tally.settlements / tally.leases,
    )?;
    Ok(())
}

fn reach(simulated: &Simulated, text: &mut String) -> Outcome<()> {
    let reach = &simulated.reach;
    let revocations = reach.of_all.len();
    writeln!(
        text,
        "## How fast a revocation is everywhere\n\n\
         Milliseconds from the answer of the core until nobody admits the token any more, of {revocations} revocations: each \
         isolate has read of it, or its view is too old to admit anybody.\n\n\
         | where | p50 | p90 | p99 | largest |\n| --- | ---: | ---: | ---: | ---: |"
    )?;
    let all = format!("the last of {PLACES} places");
    for (name, sorted) in [("one place", &reach.of_a_place), (&*all, &reach.of_all)] {
        let [p50, p90, p99, largest] = [500, 900, 990, 1000].map(|of| quantile(sorted, of));
        writeln!(
            text,
            "| {name} | {p50:.0} | {p90:.0} | {p99:.0} | {largest:.0} |"
        )?;
    }
    writeln!(text)?;
    Ok(())
}

fn bill(simulated: &Simulated, text: &mut String) -> Outcome<()> {
    let items = price::bill(&simulated.tally);
    writeln!(
        text,
        "## What Cloudflare asks for it\n\n\
         By the prices of the plan Workers Paid, read on {} at {}; without what is included each month.\n\n\
         | what | a day | dollars a day | dollars a million calls |\n| --- | ---: | ---: | ---: |",
        price::READ_ON,
        price::SOURCES.join(" and "),
    )?;
    let a_million = simulated.tally.calls / 1e6;
    for item in &items {
        let (what, amount) = (item.what, millions(item.amount));
        let each = item.price / a_million;
        writeln!(
            text,
            "| {what} | {amount} | {:.0} | {each:.3} |",
            item.price
        )?;
    }
    let all: f64 = items.iter().map(|item| item.price).sum();
    writeln!(text, "| all | | {all:.0} | {:.3} |\n", all / a_million)?;
    Ok(())
}

fn assumptions(text: &mut String) -> Outcome<()> {
    writeln!(text, "## What is assumed\n")?;
    let list = |items: Vec<String>| items.join(", ");
    let regions = list(
        REGIONS
            .iter()
            .map(|(share, hours)| format!("{:.0} % at UTC{hours:+}", share * 100.0))
            .collect(),
    );
    let at_places = list(
        AT_PLACES
            .iter()
            .map(|share| format!("{:.0} %", share * 100.0))
            .collect(),
    );
    let mut from = 1;
    let mut tiers = Vec::new();
    for (until, limit) in TIERS {
        tiers.push(format!(
            "ranks {from} to {until}: {limit} requests a minute"
        ));
        from = until + 1;
    }
    let bursts = list(
        BURSTS
            .iter()
            .map(|(share, calls, between)| {
                format!(
                    "{:.0} % of {calls} calls, {between} ms apart",
                    share * 100.0
                )
            })
            .collect(),
    );
    for line in [
        format!(
            "{} agents want to make {} calls on the day; by rank they go as 1 / (rank + {OFFSET})^{EXPONENT} (Zipf and Mandelbrot). {}.",
            millions(AGENTS as f64),
            millions(CALLS),
            list(tiers)
        ),
        format!(
            "Calls come in bursts, on the mean (geometric and exponential): {bursts}. A burst has one connection, and so one isolate."
        ),
        format!(
            "By local time calls are {:.0} % above the mean at 15:00 and as much below it at 03:00; {regions}.",
            SWING * 100.0
        ),
        format!(
            "An agent calls at three places: {at_places}. Each place has {ISOLATES} isolates; the calls of places go as rank^-{PLACES_EXPONENT}."
        ),
        format!(
            "Windows have {} s. No tenant's day is spent.",
            WINDOW_MS / 1000
        ),
        format!(
            "Of questions {} get no answer, half of them after the core has debited; in {} the object begins anew in the middle; {} of blocks end with their isolate. Object and core answer between two calls: what an isolate asks for while it waits is not simulated.",
            percent(LOST, 1.0),
            percent(OBJECT_RESTARTS, 1.0),
            percent(ISOLATE_RESTARTS, 1.0)
        ),
        format!(
            "From a place to the core and back it takes {ROUND_TRIP_MS} ms (median; lognormal, {ROUND_TRIP_SPREAD} over places, {JITTER} from time to time). A question to the feed that takes over {PATIENCE_MS} ms counts as lost."
        ),
        format!(
            "An idle object is in memory for {} s, and is not billed meanwhile; it is busy for {:.0} ms with a request, and waits for the core where it asks it. The Worker takes {} ms of CPU for a call.",
            HIBERNATES_MS / 1000,
            price::OBJECT_BUSY_S * 1000.0,
            price::CALL_CPU_MS
        ),
        format!(
            "Dollars a million: {} for requests to the Worker and {} for its CPU-ms; {} for requests to objects, {} for GB-s (at 128 MB), {} for rows written and {} for rows read. Traffic of the core and of the origin is not in it.",
            price::WORKER_REQUESTS,
            price::WORKER_CPU_MS,
            price::OBJECT_REQUESTS,
            price::OBJECT_GB_S,
            price::ROWS_WRITTEN,
            price::ROWS_READ
        ),
    ] {
        writeln!(text, "- {line}")?;
    }
    Ok(())
}
