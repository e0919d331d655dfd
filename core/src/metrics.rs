//! What Prometheus reads: the contract's names, for what exists. A label whose
//! values tenants choose is bounded: past `MOST_SERIES` they count as `other`.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// How many series a counter may have whose labels are tenants' words or ids.
const MOST_SERIES: usize = 2_000;
/// The same of edges' counts: a thousand places, each with the results that it has.
const MOST_EDGE_SERIES: usize = 20_000;
/// What stands for the words past them.
const OTHER: &str = "other";

/// Seconds; an answer of the token endpoint takes about a millisecond.
const REQUEST_SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0,
];
/// Seconds; a statement or a command.
const STORE_SECONDS: [f64; 11] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.5,
];

/// Seconds; a view's age. 1.8 is the oldest but where a route allows more.
const VIEW_SECONDS: [f64; 8] = [0.25, 0.5, 1.0, 1.8, 5.0, 30.0, 300.0, 3_600.0];

/// Every metric, made once at the start.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// By `scope`: what the token says.
    pub(crate) tokens_issued: Bounded,
    /// By `deployment_env`.
    pub(crate) agents_registered: Bounded,
    /// By `client_id`: refusals of the window.
    pub(crate) rate_limit_hits: Bounded,
    /// By `org_id` and `tier`.
    pub(crate) tenant_api_calls: Bounded,
    /// By `org_id` and `limit_type`: refusals of the day and the month.
    pub(crate) billing_limit_rejections: Bounded,
    /// By `place` and `state` (`granted`, `used`, `returned`): calls of leases.
    pub(crate) edge_leases: Bounded,
    /// By `module` (`tier`, `tenant`, `shadow`) and `outcome`.
    pub(crate) policy_decisions: Bounded,
    /// By `org_id` and `module`: a tenant's module that did not decide.
    pub(crate) policy_failures: Bounded,
    /// By `place` and `result`: what edges report.
    pub(crate) edge_verifications: Bounded,
    /// By `place`: tokens that were known.
    pub(crate) edge_cache_hits: Bounded,
    /// By `place`: tokens that were not.
    pub(crate) edge_cache_misses: Bounded,
    /// By `place`: calls on a view that was too old.
    pub(crate) edge_stale_admits: Bounded,
    edge_revocation_age: HistogramVec,
    edge_last_report: IntGaugeVec,
    pub(crate) credentials_expiring_soon: IntGauge,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    query_seconds: HistogramVec,
    command_seconds: HistogramVec,
    pool_active: IntGauge,
    pool_waiting: IntGauge,
}

impl Metrics {
    /// The metrics, all at zero.
    ///
    /// # Errors
    /// A name is used twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let by_request = ["method", "route", "status_code"];
        Ok(Self {
            tokens_issued: Bounded::new(
                &registry,
                "agentidp_tokens_issued_total",
                "Tokens issued.",
                &["scope"],
            )?,
            agents_registered: Bounded::new(
                &registry,
                "agentidp_agents_registered_total",
                "Agents registered.",
                &["deployment_env"],
            )?,
            rate_limit_hits: Bounded::new(
                &registry,
                "agentidp_rate_limit_hits_total",
                "Requests refused because a client's window is spent.",
                &["client_id"],
            )?,
            tenant_api_calls: Bounded::new(
                &registry,
                "agentidp_tenant_api_calls_total",
                "API calls counted.",
                &["org_id", "tier"],
            )?,
            billing_limit_rejections: Bounded::new(
                &registry,
                "agentidp_billing_limit_rejections_total",
                "Requests refused because a day's or a month's limit is spent.",
                &["org_id", "limit_type"],
            )?,
            policy_decisions: Bounded::new(
                &registry,
                "agentidp_policy_decisions_total",
                "What policies were asked and said.",
                &["module", "outcome"],
            )?,
            edge_leases: Bounded::new(
                &registry,
                "agentidp_edge_lease_calls_total",
                "Calls leased to the places of the edge: granted, and once settled used or returned.",
                &["place", "state"],
            )?,
            policy_failures: Bounded::new(
                &registry,
                "agentidp_policy_failures_total",
                "Tenants' policies that failed to decide, which denies.",
                &["org_id", "module"],
            )?,
            edge_verifications: Bounded::new(
                &registry,
                "agentidp_edge_verifications_total",
                "Verifications at edges, as they report them.",
                &["place", "result"],
            )?
            .up_to(MOST_EDGE_SERIES),
            edge_cache_hits: Bounded::new(
                &registry,
                "agentidp_edge_cache_hits_total",
                "Tokens that an edge had verified before.",
                &["place"],
            )?,
            edge_cache_misses: Bounded::new(
                &registry,
                "agentidp_edge_cache_misses_total",
                "Tokens that an edge had not verified before.",
                &["place"],
            )?,
            edge_stale_admits: Bounded::new(
                &registry,
                "agentidp_edge_stale_admits_total",
                "Calls that an edge let through on a view of the revocations that was too old.",
                &["place"],
            )?,
            edge_revocation_age: histogram(
                &registry,
                "agentidp_edge_revocation_age_seconds",
                "The oldest view of the revocations that a call was let through on, of each report.",
                &["place"],
                &VIEW_SECONDS,
            )?,
            edge_last_report: registered(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "agentidp_edge_last_report_timestamp_seconds",
                        "When an edge last reported.",
                    ),
                    &["place"],
                )?,
            )?,
            credentials_expiring_soon: gauge(
                &registry,
                "agentidp_credentials_expiring_soon_total",
                "Working credentials that end within 7 days and have no successor.",
            )?,
            requests: registered(
                &registry,
                IntCounterVec::new(
                    Opts::new("agentidp_http_requests_total", "Requests answered."),
                    &by_request,
                )?,
            )?,
            request_seconds: histogram(
                &registry,
                "agentidp_http_request_duration_seconds",
                "From the head's arrival to the answer.",
                &by_request,
                &REQUEST_SECONDS,
            )?,
            query_seconds: histogram(
                &registry,
                "agentidp_db_query_duration_seconds",
                "PostgreSQL statements, by their first word.",
                &["operation"],
                &STORE_SECONDS,
            )?,
            command_seconds: histogram(
                &registry,
                "agentidp_redis_command_duration_seconds",
                "Round trips to the hot store, by the command that they are for.",
                &["command"],
                &STORE_SECONDS,
            )?,
            pool_active: gauge(
                &registry,
                "agentidp_db_pool_active_connections",
                "Connections to PostgreSQL in use.",
            )?,
            pool_waiting: gauge(
                &registry,
                "agentidp_db_pool_waiting_requests",
                "Requests that wait for a connection to PostgreSQL.",
            )?,
            registry,
        })
    }

    /// Counts an answer. `route` is the route's template.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let status = status.to_string();
        let labels = [method, route, status.as_str()];
        self.requests.with_label_values(&labels).inc();
        self.request_seconds
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    pub(crate) fn queried(&self, operation: &str, seconds: f64) {
        self.query_seconds
            .with_label_values(&[operation])
            .observe(seconds);
    }

    pub(crate) fn commanded(&self, command: &str, took: Duration) {
        self.command_seconds
            .with_label_values(&[command])
            .observe(took.as_secs_f64());
    }

    /// An edge let calls through on views of up to this age.
    pub(crate) fn edge_admitted_on(&self, place: &str, seconds: f64) {
        self.edge_revocation_age
            .with_label_values(&[place])
            .observe(seconds);
    }

    /// An edge has reported, at `now_s` (Unix seconds).
    pub(crate) fn edge_reported(&self, place: &str, now_s: u64) {
        self.edge_last_report
            .with_label_values(&[place])
            .set(now_s.cast_signed());
    }

    /// The text format, with the pool as it is now.
    ///
    /// # Errors
    /// The metrics cannot be written as text.
    pub(crate) fn text(&self, active: u32, waiting: u32) -> Result<String, prometheus::Error> {
        self.pool_active.set(active.into());
        self.pool_waiting.set(waiting.into());
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// A counter with a bounded number of series.
#[derive(Debug)]
pub(crate) struct Bounded {
    vec: IntCounterVec,
    labels: usize,
    most: usize,
    known: RwLock<HashMap<String, IntCounter>>,
}

impl Bounded {
    fn new(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            vec: registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)?,
            labels: labels.len(),
            most: MOST_SERIES,
            known: RwLock::default(),
        })
    }

    /// The same with up to `most` series.
    fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Counts one under `values`, a value for each label.
    pub(crate) fn count(&self, values: &[&str]) {
        self.add(values, 1);
    }

    /// Counts `n`.
    pub(crate) fn add(&self, values: &[&str], n: u64) {
        let joined = values.join("\n");
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = known.get(&joined) {
            counter.inc_by(n);
            return;
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.most {
            self.vec
                .with_label_values(&vec![OTHER; self.labels])
                .inc_by(n);
            return;
        }
        known
            .entry(joined)
            .or_insert_with(|| self.vec.with_label_values(values))
            .inc_by(n);
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    registered(registry, IntGauge::new(name, help)?)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_past_the_bound_count_as_other() {
        let metrics = Metrics::new().unwrap();
        for n in 0..MOST_SERIES + 5 {
            metrics.tokens_issued.count(&[&format!("s{n}:read")]);
        }
        metrics.tokens_issued.count(&["s0:read"]);
        let text = metrics.text(0, 0).unwrap();
        assert!(text.contains("agentidp_tokens_issued_total{scope=\"other\"} 5\n"));
        assert!(text.contains("agentidp_tokens_issued_total{scope=\"s0:read\"} 2\n"));
    }
}
