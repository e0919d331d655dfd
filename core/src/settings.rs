//! The list of every variable that the project reads, which `.env.example` shows.
//! What they mean to the service is in [`crate::config`].

/// A variable of the environment: its name, what it is for, and the value that
/// `.env.example` shows.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// A line for `.env.example`.
    pub purpose: &'static str,
    /// An example, or the default.
    pub example: &'static str,
}

const fn setting(name: &'static str, purpose: &'static str, example: &'static str) -> Setting {
    Setting {
        name,
        purpose,
        example,
    }
}

/// Every variable that the project reads, in the order of `.env.example`.
pub const SETTINGS: &[Setting] = &[
    setting(
        "DATABASE_URL",
        "PostgreSQL 14 or later. Required.",
        "postgres://agentidp:change-me@localhost:5432/agentidp",
    ),
    setting(
        "REDIS_URL",
        "Redis 6.2 or later; `memory:` counts in this process alone, for development. Required.",
        "redis://localhost:6379",
    ),
    setting(
        "JWT_PRIVATE_KEY",
        "The signing key, PKCS#8 PEM (Ed25519, P-256 or RSA): `agentidp keys generate`. `\\n` may stand for a line's end. Required.",
        "",
    ),
    setting("JWT_PUBLIC_KEY", "The public half, PEM. Required.", ""),
    setting("HOST", "The address to listen on.", "0.0.0.0"),
    setting("PORT", "The port to listen on.", "3000"),
    setting(
        "ISSUER_URL",
        "What `iss` says, and where clients find us; http alone on loopback. Default: http://localhost:PORT.",
        "http://localhost:3000",
    ),
    setting(
        "APP_ENV",
        "development (one line a request), production (JSON) or test (silent).",
        "development",
    ),
    setting(
        "DATABASE_POOL_SIZE",
        "Connections to PostgreSQL at most.",
        "16",
    ),
    setting(
        "TRUSTED_PROXIES",
        "Comma-separated addresses or networks whose X-Forwarded-For is believed; none by default.",
        "",
    ),
    setting(
        "ADDRESS_REQUESTS_PER_SECOND",
        "Requests a second that one address (of IPv6: one /64) may make in the long run.",
        "10000",
    ),
    setting(
        "ADDRESS_BURST",
        "Requests that one address may make at once.",
        "20000",
    ),
    setting(
        "ADDRESS_FAILURES_PER_MINUTE",
        "Requests a minute of one address whose credentials may fail; as many at once.",
        "600",
    ),
    setting(
        "METRICS_PORT",
        "A port of its own for /metrics, which is on PORT by default.",
        "",
    ),
    setting(
        "CORS_ORIGIN",
        "Comma-separated origins that browsers may call from; none by default.",
        "",
    ),
    setting(
        "RATE_LIMIT_WINDOW_MS",
        "The length of a rate limit's window in milliseconds.",
        "60000",
    ),
    setting(
        "TENANT_GRACE_DAYS",
        "Days from a tenant's deletion until what it has is gone, 0 to 365; until then it can be put back.",
        "30",
    ),
    setting(
        "ANALYTICS_ENABLED",
        "false turns the analytics endpoints into 404; there are none yet.",
        "true",
    ),
    setting(
        "COMPLIANCE_ENABLED",
        "false turns the compliance endpoints into 404; there are none yet.",
        "true",
    ),
    setting(
        "EDGE_PORT",
        "The edge's port under `agentidp dev` and compose.",
        "8787",
    ),
    setting(
        "REQUIRED_SCOPES",
        "Scopes that every call of the edge needs under `agentidp dev` and compose, separated by spaces.",
        "",
    ),
    setting(
        "RUST_LOG",
        "What is logged: error, warn, info or debug, for all or by module.",
        "info",
    ),
    setting(
        "POSTGRES_USER",
        "compose: the database's owner.",
        "agentidp",
    ),
    setting("POSTGRES_PASSWORD", "compose: its password.", "change-me"),
    setting("POSTGRES_DB", "compose: the database.", "agentidp"),
    setting(
        "EDGE_ID",
        "compose: the edge's id, which `agentidp edge register <place>` prints.",
        "",
    ),
    setting("EDGE_SECRET", "compose: its secret, printed beside it.", ""),
    setting(
        "RESOURCES",
        "compose: `<org_id>:<identifier>` of each resource that the edge serves, separated by spaces.",
        "",
    ),
    setting(
        "ORIGIN_URL",
        "compose: what the edge protects; without it there is `/verify` alone.",
        "",
    ),
    setting(
        "ORIGIN_SECRET",
        "compose: what the edge sends to origins as `X-Edge-Secret`; nothing by default.",
        "",
    ),
    setting(
        "ROUTES",
        "compose: the edge's routes as JSON (docs/edge.md); one to ORIGIN_URL without them.",
        "",
    ),
    setting(
        "GATEWAY_SECRET",
        "compose: what gateways must send to the edge's `/verify` as `X-Gateway-Secret`; nothing by default.",
        "",
    ),
    setting(
        "INTROSPECTION_CLIENTS",
        "compose: who may ask the edge what a token is worth, as JSON (docs/edge.md); nobody by default.",
        "",
    ),
    setting(
        "EDGE_LOG",
        "compose: which requests have a line in the edge's log: requests, refusals or off.",
        "refusals",
    ),
    setting(
        "TOKEN_PASS_THROUGH",
        "compose: on passes `POST /api/v1/token` from the edge to the core.",
        "off",
    ),
    setting(
        "TOKEN_REQUESTS_PER_MINUTE",
        "compose: token requests a minute that one address (of IPv6: one /64) may make through the edge.",
        "600",
    ),
    setting(
        "CLIENT_ADDRESS_HEADER",
        "compose: the header by which the proxy before the edge tells the caller's address.",
        "",
    ),
    setting(
        "GF_ADMIN_PASSWORD",
        "compose: the password of Grafana's admin.",
        "change-me",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_example_shows_every_setting_with_its_purpose() {
        let shown = include_str!("../../.env.example");
        let settings: Vec<String> = SETTINGS
            .iter()
            .map(|setting| {
                format!(
                    "# {}\n{}={}\n",
                    setting.purpose, setting.name, setting.example
                )
            })
            .collect();
        let (_, shown) = shown.split_once("\n\n").unwrap();
        assert_eq!(shown, settings.join("\n"));
    }
}
