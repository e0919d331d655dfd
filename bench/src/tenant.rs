//! Tenants as an operator and their administrators make them, and their policies,
//! all by the API.

use std::collections::HashSet;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::Outcome;
use crate::http::Client;
use crate::service::{SCOPE, Service, client, text};

/// One of the tier `enterprise`, with a resource of its own.
pub(crate) struct Tenant {
    pub(crate) org_id: String,
    pub(crate) resource: String,
    pub(crate) agents: Vec<Client>,
    /// Its administrator's, for an hour.
    token: String,
}

impl Tenant {
    /// One with so many agents, each of which has these labels.
    pub(crate) async fn make(
        service: &Service,
        name: &str,
        resource: &str,
        agents: usize,
        labels: &[&str],
    ) -> Outcome<Self> {
        let token = service.management_token(&service.operator).await?;
        Self::make_as(service, &token, name, resource, agents, labels).await
    }

    /// The same with a token of the operator's.
    pub(crate) async fn make_as(
        service: &Service,
        operator: &str,
        name: &str,
        resource: &str,
        agents: usize,
        labels: &[&str],
    ) -> Outcome<Self> {
        let tenant = json!({ "name": name, "tier": "enterprise" });
        let made = service.call(operator, "tenants", tenant).await?;
        let administrator = client(&made["administrator"])?;
        let token = service.management_token(&administrator).await?;
        let scopes = json!({ "identifier": resource, "scopes": [SCOPE] });
        service.call(&token, "resources", scopes).await?;
        let mut clients = Vec::with_capacity(agents);
        for number in 0..agents {
            let agent = json!({
                "name": format!("bench-{number}"),
                "scopes": [SCOPE],
                "capabilities": labels,
            });
            let agent = service.call(&token, "agents", agent).await?;
            let path = format!("agents/{}/credentials", text(&agent, "agent_id")?);
            let credential = service.call(&token, &path, json!({})).await?;
            clients.push(client(&credential)?);
        }
        Ok(Self {
            org_id: text(&made, "org_id")?,
            resource: resource.to_owned(),
            agents: clients,
            token,
        })
    }

    /// Uploads a module: the status, and the version or what is wrong with it.
    pub(crate) async fn upload(
        &self,
        service: &Service,
        module: Vec<u8>,
        settings: &Value,
    ) -> Outcome<(u16, Value)> {
        let form = Form::new()
            .part("module", Part::bytes(module))
            .text("settings", settings.to_string());
        let path = format!("tenants/{}/policy", self.org_id);
        service.put(&self.token, &path, form).await
    }

    /// The same for a module that must pass; answers with the version's digest.
    pub(crate) async fn upload_good(
        &self,
        service: &Service,
        module: Vec<u8>,
        settings: &Value,
    ) -> Outcome<String> {
        let (status, version) = self.upload(service, module, settings).await?;
        match status < 300 && version["state"] == "checked" {
            true => text(&version, "digest"),
            false => Err(format!("a good module was not taken: {version}").into()),
        }
    }

    /// Puts a version into force.
    pub(crate) async fn activate(&self, service: &Service, digest: &str) -> Outcome<()> {
        let version = format!("tenants/{}/policy/versions/{digest}", self.org_id);
        let path = format!("{version}/activate");
        service.call(&self.token, &path, json!({})).await.map(drop)
    }

    /// The record must hold an event for each of these tokens and no other, and
    /// each must have been decided by this version, where there is one.
    pub(crate) async fn check_record(
        &self,
        service: &Service,
        jtis: &HashSet<String>,
        version: Option<&str>,
    ) -> Outcome<()> {
        let mut connection = PgConnection::connect(&service.database_url).await?;
        let recorded: Vec<(String, String, bool)> = sqlx::query_as(
            "SELECT event_id::text, details->>'policy', details ? 'tenant' FROM audit_events
              WHERE action = 'token.issued' AND org_id = $1::uuid AND details->>'audience' = $2",
        )
        .bind(&self.org_id)
        .bind(&self.resource)
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        let decided = |by: &str, by_tenant: bool| match version {
            Some(version) => by_tenant && by == version,
            None => !by_tenant,
        };
        let right = recorded.len() == jtis.len()
            && recorded
                .iter()
                .all(|(jti, by, by_tenant)| jtis.contains(jti) && decided(by, *by_tenant));
        match right {
            true => Ok(()),
            false => Err(format!(
                "{} tokens were answered, {} are recorded, or another policy decided",
                jtis.len(),
                recorded.len()
            )
            .into()),
        }
    }
}
