//! A decision's time, in one thread: the same loop for the service's modules and,
//! in another program, for what they are measured beside.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What goes wrong, in a sentence.
pub(crate) type Timing = Result<Timed, Box<dyn std::error::Error + Send + Sync>>;

/// What decisions took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Timed {
    pub(crate) decisions: usize,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// With the look at the answer.
    pub(crate) cpu_us: f64,
}

/// A question and what has to be the answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) labels: Vec<String>,
    pub(crate) scopes: Vec<String>,
    /// In the order of `scopes`; nothing where the answer is no.
    pub(crate) granted: Vec<String>,
}

/// Asks all cases in turn for `measured`, after a tenth of that which does not
/// count. `decide` answers with the scopes that it grants, in the order of the
/// question's.
///
/// # Errors
/// One answer was not what it has to be, or `/proc` says nothing of this thread.
pub(crate) fn time(
    measured: Duration,
    cases: &[Case],
    mut decide: impl FnMut(&Case) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>>,
) -> Timing {
    let mut all_for = |most: Duration| {
        let mut latencies_ns = Vec::with_capacity(1 << 20);
        let (cpu, begun) = (on_cpu()?, Instant::now());
        // Whole turns, so that each case has its share.
        while begun.elapsed() < most {
            for case in cases {
                let asked = Instant::now();
                let granted = decide(case)?;
                latencies_ns.push(asked.elapsed().as_nanos() as f64);
                if granted != case.granted {
                    return Err(format!("{case:?} was answered with {granted:?}").into());
                }
            }
        }
        let cpu = on_cpu()? - cpu;
        summary(latencies_ns, cpu)
    };
    all_for(measured / 10)?;
    all_for(measured)
}

fn summary(mut latencies_ns: Vec<f64>, cpu: Duration) -> Timing {
    latencies_ns.sort_by(f64::total_cmp);
    let decisions = latencies_ns.len();
    let last = decisions.checked_sub(1).ok_or("nothing was decided")?;
    Ok(Timed {
        decisions,
        p50_us: latencies_ns[last / 2] / 1e3,
        p99_us: latencies_ns[last * 99 / 100] / 1e3,
        cpu_us: cpu.as_secs_f64() * 1e6 / decisions as f64,
    })
}

/// How long this thread has run on a processor: the first field of
/// `/proc/thread-self/schedstat`, in nanoseconds.
fn on_cpu() -> Result<Duration, Box<dyn std::error::Error + Send + Sync>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().unwrap_or_default();
    Ok(Duration::from_nanos(first.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_all_decisions() {
        let latencies = (1..=1_001).rev().map(f64::from).collect();
        let timed = summary(latencies, Duration::from_micros(2_002)).unwrap();
        assert_eq!(timed.decisions, 1_001);
        assert!((timed.p50_us - 0.501).abs() < 1e-9);
        assert!((timed.p99_us - 0.991).abs() < 1e-9);
        assert!((timed.cpu_us - 2.0).abs() < 1e-9);
        assert!(summary(Vec::new(), Duration::ZERO).is_err());
    }

    #[test]
    fn each_case_is_asked_in_turn_and_one_wrong_answer_ends_it() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        let case = |scopes: &str, granted: &str| Case {
            labels: Vec::new(),
            scopes: words(scopes),
            granted: words(granted),
        };
        let all = |case: &Case| Ok(case.scopes.clone());
        let measured = Duration::from_millis(20);
        let right = [case("a b", "a b"), case("c", "c")];
        let timed = time(measured, &right, all).unwrap();
        assert!(timed.decisions >= 2 && timed.decisions.is_multiple_of(2));
        let wrong = [case("a b", "a b"), case("a b", "b a")];
        let why = time(measured, &wrong, all).unwrap_err();
        assert!(why.to_string().contains("was answered with"), "{why}");
    }
}
