//! The names that operators go by.

/// The metrics that exist: name, type, labels.
pub const METRICS: [(&str, &str, &[&str]); 12] = [
    ("agentidp_tokens_issued_total", "counter", &["scope"]),
    (
        "agentidp_agents_registered_total",
        "counter",
        &["deployment_env"],
    ),
    (
        "agentidp_http_requests_total",
        "counter",
        &["method", "route", "status_code"],
    ),
    (
        "agentidp_http_request_duration_seconds",
        "histogram",
        &["method", "route", "status_code"],
    ),
    (
        "agentidp_db_query_duration_seconds",
        "histogram",
        &["operation"],
    ),
    (
        "agentidp_redis_command_duration_seconds",
        "histogram",
        &["command"],
    ),
    ("agentidp_credentials_expiring_soon_total", "gauge", &[]),
    ("agentidp_rate_limit_hits_total", "counter", &["client_id"]),
    ("agentidp_db_pool_active_connections", "gauge", &[]),
    ("agentidp_db_pool_waiting_requests", "gauge", &[]),
    (
        "agentidp_tenant_api_calls_total",
        "counter",
        &["org_id", "tier"],
    ),
    (
        "agentidp_billing_limit_rejections_total",
        "counter",
        &["org_id", "limit_type"],
    ),
];

/// Those that the contract does not have.
pub const OURS: [&str; 9] = [
    "agentidp_policy_decisions_total",
    "agentidp_edge_lease_calls_total",
    "agentidp_policy_failures_total",
    "agentidp_edge_verifications_total",
    "agentidp_edge_cache_hits_total",
    "agentidp_edge_cache_misses_total",
    "agentidp_edge_stale_admits_total",
    "agentidp_edge_revocation_age_seconds",
    "agentidp_edge_last_report_timestamp_seconds",
];
