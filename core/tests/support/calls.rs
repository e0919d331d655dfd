//! What a deployment is asked, as its clients ask.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Client, Deployment, Tenant, secrets, text};

impl Deployment {
    /// A token request with HTTP Basic.
    pub async fn ask_token(&self, client: &Client, more: &[(&str, &str)]) -> Response {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(more);
        self.http
            .post(format!("{}/api/v1/token", self.url))
            .basic_auth(&client.id, Some(&client.secret))
            .form(&form)
            .send()
            .await
            .unwrap()
    }

    /// A token with all that the client may have where it asks.
    pub async fn token(&self, client: &Client) -> String {
        let answer = self.ask_token(client, &[]).await;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        let token = text(&body, "access_token");
        secrets::keep_token(&token);
        token
    }

    /// A call of the API with a token.
    pub async fn call(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let (status, _, body) = self.call_with(token, method, path, &[], body).await;
        (status, body)
    }

    /// The same with headers, the answer's too.
    pub async fn call_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (StatusCode, HeaderMap, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.url))
            .bearer_auth(token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&body).unwrap()
        };
        (status, headers, body)
    }

    /// The same, which must succeed.
    pub async fn must(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(token, method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// Sets a tier's number, as an operator may; nothing is no limit.
    pub async fn set_tier(&self, tier: &str, column: &'static str, number: Option<i32>) {
        let number = number.map_or_else(|| "NULL".to_owned(), |number| number.to_string());
        let statement = format!("UPDATE tiers SET {column} = {number} WHERE tier = '{tier}'");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// A tenant on `tier` with a resource and an agent.
    pub async fn tenant(&self, tier: &str) -> Tenant {
        let operator = self.token(&self.operator).await;
        let made = self
            .must(
                &operator,
                "POST",
                "/tenants",
                Some(json!({ "name": "Acme", "tier": tier })),
            )
            .await;
        let administrator = Client::from_json(&made["administrator"]);
        let token = self.token(&administrator).await;
        let resource = format!("https://{:08x}.example", rand::random::<u32>());
        let new = json!({ "identifier": resource, "scopes": ["files:read", "files:write"] });
        self.must(&token, "POST", "/resources", Some(new)).await;
        let agent = self
            .agent(&token, "worker", &["files:read", "files:write"])
            .await;
        Tenant {
            org_id: text(&made, "org_id"),
            administrator,
            resource,
            agent,
        }
    }

    /// An agent with a credential.
    pub async fn agent(&self, admin_token: &str, name: &str, scopes: &[&str]) -> Client {
        let agent = self
            .must(
                admin_token,
                "POST",
                "/agents",
                Some(json!({ "name": name, "scopes": scopes })),
            )
            .await;
        let path = format!("/agents/{}/credentials", text(&agent, "agent_id"));
        Client::from_json(&self.must(admin_token, "POST", &path, Some(json!({}))).await)
    }

    /// Revokes a token as the client that it was issued to.
    pub async fn revoke(&self, client: &Client, token: &str) -> StatusCode {
        self.oauth(client, "revoke", token).await.status()
    }

    pub async fn introspect(&self, client: &Client, token: &str) -> Value {
        self.oauth(client, "introspect", token)
            .await
            .json()
            .await
            .unwrap()
    }

    async fn oauth(&self, client: &Client, endpoint: &str, token: &str) -> Response {
        self.http
            .post(format!("{}/api/v1/token/{endpoint}", self.url))
            .basic_auth(&client.id, Some(&client.secret))
            .form(&[("token", token)])
            .send()
            .await
            .unwrap()
    }

    /// The administrator of a new tenant, which has asked for nothing yet.
    pub async fn tenant_without_tokens(&self, tier: &str) -> Client {
        let operator = self.token(&self.operator).await;
        let made = self
            .must(
                &operator,
                "POST",
                "/tenants",
                Some(json!({ "name": "Acme", "tier": tier })),
            )
            .await;
        Client::from_json(&made["administrator"])
    }
}
