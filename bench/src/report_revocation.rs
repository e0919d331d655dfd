//! The part of `bench/RESULTS.md` that is about revocation.

use std::fmt::Write as _;

use crate::Outcome;
use crate::revocation::Row;

/// From the answer to the last request admitted, milliseconds.
const BUDGET_MS: f64 = 2_000.0;

/// Writes it.
pub(crate) fn write(rows: &[Row], text: &mut String) -> Outcome<()> {
    writeln!(
        text,
        "### Revocation at the edge\n\n\
         From the answer of `/token/revoke` until the last request with the token that an isolate admitted had been answered, over \
         all revocations and isolates. The isolates are services of one workerd on one namespace of objects; each served \
         requests before, and refused every one at the end.\n\n\
         | isolates | requests a second | revocations | p50 ms | p99 ms | largest ms |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for row in rows {
        writeln!(
            text,
            "| {} | {:.0} | {} | {:.0} | {:.0} | {:.0} |",
            row.isolates, row.a_second, row.revocations, row.p50_ms, row.p99_ms, row.largest_ms
        )?;
    }
    writeln!(text)?;
    Ok(())
}

/// What was found, and what it may be.
pub(crate) fn budgets(rows: &[Row]) -> Vec<(String, f64, f64)> {
    rows.iter()
        .map(|row| {
            let what = format!(
                "revocation, through {} isolate{}, largest, ms",
                row.isolates,
                if row.isolates == 1 { "" } else { "s" }
            );
            (what, row.largest_ms, BUDGET_MS)
        })
        .collect()
}
