//! An edge before an origin that keeps what reaches it.

use agentidp_core::dev::EdgeSettings;

use super::origin::Origin;
use super::wire::{Heard, say};
use super::{Deployment, Tenant};

/// A request within a request: whoever reads it as one of its own was led astray.
pub const INNER: &str = "GET /inner HTTP/1.1\r\nHost: edge\r\n\r\n";

/// An edge before an origin that keeps what it gets.
pub struct Guarded {
    pub deployment: Deployment,
    pub tenant: Tenant,
    pub edge: String,
    pub token: String,
    pub origin: Origin,
}

impl Guarded {
    pub async fn start() -> Self {
        let mut deployment = Deployment::start().await;
        let tenant = deployment.tenant("enterprise").await;
        let origin = Origin::start().await;
        let settings = EdgeSettings {
            origin_url: format!("http://{}", origin.address),
            ..deployment.edge_settings(&[&tenant], "").await
        };
        Self {
            edge: deployment.start_edge_with(&settings).await,
            token: deployment.token(&tenant.agent).await,
            deployment,
            tenant,
            origin,
        }
    }

    /// Sends a request with a good token, `headers` and `rest` after its head.
    pub async fn send(&self, line: &str, headers: &[u8], rest: &[u8]) -> Heard {
        let token = &self.token;
        let head = format!("{line} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n");
        say(
            &self.edge,
            &[head.as_bytes(), headers, b"\r\n", rest].concat(),
        )
        .await
    }

    /// The target of the one request that the origin got, or nothing for none.
    pub fn seen(&self, case: &str) -> Option<String> {
        let seen = self.origin.take();
        assert!(seen.len() <= 1, "{case}: {seen:?}");
        let seen = seen.into_iter().next()?;
        assert_eq!(seen.doubts(), Vec::<String>::new(), "{case}: {seen:?}");
        assert_eq!(seen.values("x-agent-id"), [&self.tenant.agent.id], "{case}");
        assert_eq!(seen.values("x-org-id"), [&self.tenant.org_id], "{case}");
        assert_eq!(seen.values("x-scope"), ["files:read files:write"], "{case}");
        Some(seen.target().to_owned())
    }
}
