//! Everything that the API makes.

use serde_json::{Value, json};

use crate::support::{Deployment, Tenant, text};

/// Something to be made.
pub(super) struct Making {
    pub(super) token: String,
    pub(super) path: String,
    pub(super) body: Value,
    /// What could be made there as well.
    pub(super) other: Value,
    /// Where it leaves one row.
    pub(super) table: &'static str,
    pub(super) key: String,
}

/// Everything that can be made, each with a key of its own.
pub(super) async fn makings(deployment: &Deployment, tenant: &Tenant) -> Vec<Making> {
    let operator = deployment.token(&deployment.operator).await;
    let admin = deployment.token(&tenant.administrator).await;
    let credentials = format!("/agents/{}/credentials", tenant.agent.id);
    let listed = deployment.must(&admin, "GET", &credentials, None).await;
    let rotate = format!(
        "{credentials}/{}/rotate",
        text(&listed["data"][0], "credential_id")
    );
    let identifier = format!("{}/more", tenant.resource);
    let making = |token: &String, path: &str, body, other, table| Making {
        token: token.clone(),
        path: path.to_owned(),
        body,
        other,
        table,
        key: format!("key of {path}"),
    };
    vec![
        making(
            &operator,
            "/tenants",
            json!({ "name": "Beta" }),
            json!({ "name": "Beta", "tier": "pro" }),
            "tenants",
        ),
        making(
            &admin,
            "/agents",
            json!({ "name": "once" }),
            json!({ "name": "twice" }),
            "agents",
        ),
        making(
            &admin,
            "/resources",
            json!({ "identifier": identifier, "scopes": [] }),
            json!({ "identifier": identifier, "scopes": ["mail:read"] }),
            "resources",
        ),
        making(
            &admin,
            &credentials,
            json!({}),
            json!({ "expires_at": null }),
            "credentials",
        ),
        making(
            &admin,
            &rotate,
            json!({ "overlap_seconds": 60 }),
            json!({ "overlap_seconds": 61 }),
            "credentials",
        ),
    ]
}
