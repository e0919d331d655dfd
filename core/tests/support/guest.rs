//! Policies in a few lines of text: each answers the same to everything.

use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::modules::component;
use super::{Deployment, Tenant, text};

/// What a guest grants.
#[derive(Default)]
pub struct Grant<'a> {
    pub scopes: &'a [&'a str],
    pub lifetime_s: Option<u32>,
    pub requests_per_minute: Option<u32>,
    pub claims: &'a [(&'a str, &'a str)],
}

/// A guest that denies everything.
pub fn denying(reason: &str) -> Vec<u8> {
    let mut memory = Memory::default();
    let (at, length) = memory.text(reason);
    let mut answer = vec![1, 0, 0, 0];
    answer.extend(at.to_le_bytes());
    answer.extend(length.to_le_bytes());
    component(&memory.guest(&answer))
}

/// A guest that grants this, whatever it is asked.
pub fn granting(grant: &Grant<'_>) -> Vec<u8> {
    let mut memory = Memory::default();
    let scopes: Vec<(u32, u32)> = grant
        .scopes
        .iter()
        .map(|scope| memory.text(scope))
        .collect();
    let claims: Vec<(u32, u32)> = grant
        .claims
        .iter()
        .flat_map(|(name, value)| [memory.text(name), memory.text(value)])
        .collect();
    let (scopes, claims) = (memory.list(&scopes), memory.list(&claims));
    let mut answer = vec![0, 0, 0, 0];
    let mut word = |word: u32| answer.extend(word.to_le_bytes());
    word(scopes);
    word(grant.scopes.len() as u32);
    for number in [grant.lifetime_s, grant.requests_per_minute] {
        word(u32::from(number.is_some()));
        word(number.unwrap_or_default());
    }
    word(claims);
    word(grant.claims.len() as u32);
    component(&memory.guest(&answer))
}

/// What lies in a guest's memory from 4096 on.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Memory {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let at = 4096 + self.0.len() as u32;
        self.0.extend(bytes);
        at
    }

    fn text(&mut self, text: &str) -> (u32, u32) {
        (self.put(text.as_bytes()), text.len() as u32)
    }

    fn list(&mut self, texts: &[(u32, u32)]) -> u32 {
        let bytes: Vec<u8> = texts
            .iter()
            .flat_map(|(at, length)| [at.to_le_bytes(), length.to_le_bytes()].concat())
            .collect();
        self.put(&bytes)
    }

    fn guest(&self, answer: &[u8]) -> String {
        let data =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\{byte:02x}")).collect() };
        format!(
            r#"(module
              (memory (export "memory") 17)
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
              (data (i32.const 2048) "{}")
              (data (i32.const 4096) "{}")
              (func (export "decide") (param i32) (result i32) (i32.const 2048)))"#,
            data(answer),
            data(&self.0),
        )
    }
}

impl Deployment {
    /// Uploads a module with what stands beside it.
    pub async fn upload(
        &self,
        token: &str,
        org_id: &str,
        module: &[u8],
        beside: &[(&'static str, Value)],
    ) -> (StatusCode, Value) {
        let mut form = Form::new().part("module", Part::bytes(module.to_vec()));
        for (name, value) in beside {
            form = form.text(*name, value.to_string());
        }
        let answer = self
            .http
            .put(format!("{}/api/v1/tenants/{org_id}/policy", self.url))
            .bearer_auth(token)
            .multipart(form)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap())
    }

    /// Uploads a module and moves it on, `activate` or `shadow`; answers with its digest.
    pub async fn put_policy(
        &self,
        tenant: &Tenant,
        module: &[u8],
        beside: &[(&'static str, Value)],
        to: &str,
    ) -> String {
        let token = self.token(&tenant.administrator).await;
        let (status, version) = self.upload(&token, &tenant.org_id, module, beside).await;
        assert!(status.is_success(), "{version}");
        assert_eq!(version["state"], "checked", "{version}");
        let digest = text(&version, "digest");
        let path = format!("/tenants/{}/policy/versions/{digest}/{to}", tenant.org_id);
        self.must(&token, "POST", &path, Some(json!({}))).await;
        digest
    }
}
