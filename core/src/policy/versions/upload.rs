//! `PUT /api/v1/tenants/{org_id}/policy`: a module with its settings becomes a
//! version, and is looked at before the answer where that is soon.

use std::sync::Arc;

use agentidp_verify::strict_json;
use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::model::{Shown, State as Life, Upload};
use super::{may, store};
use crate::app::App;
use crate::body::{body_up_to, forget_body, is_content_type, read};
use crate::caller::Caller;
use crate::error::Failure;
use crate::etag::Versioned;
use crate::ids::OrgId;
use crate::path::Id;
use crate::policy::CompileError;
use crate::tenants;

/// The largest module, in bytes, and what may stand around it.
const LARGEST_MODULE: usize = 1 << 20;
const AROUND_IT: usize = 128 << 10;
/// How many versions a tenant may have.
const MOST_VERSIONS: usize = 50;

/// Whether this is an upload, whose body is larger than others and read once the
/// caller is known.
pub(crate) fn is_upload(request: &Request) -> bool {
    let tenant = request.uri().path().strip_prefix("/api/v1/tenants/");
    let of_tenant = tenant.and_then(|rest| rest.strip_suffix("/policy"));
    request.method() == Method::PUT && of_tenant.is_some_and(|id| !id.contains('/'))
}

pub(super) async fn upload(
    State(app): State<Arc<App>>,
    caller: Result<Caller, Failure>,
    org_id: Result<Id<OrgId>, Failure>,
    request: Request,
) -> Result<Response, Failure> {
    let (caller, org_id, most) = match admitted(&app, caller, org_id).await {
        Ok(admitted) => admitted,
        Err(failure) => {
            forget_body(request).await;
            return Err(failure);
        }
    };
    let mut upload = parts(body_up_to(most + AROUND_IT, request).await?).await?;
    upload.check()?;
    if upload.module.len() > most {
        return Err(Failure::TooLarge);
    }
    let policy = Arc::clone(&app.policy);
    // At a megabyte it takes milliseconds, in which this thread would serve nobody else.
    let looked = tokio::task::spawn_blocking(move || {
        let looked = policy.inspect(&upload.module, most);
        (looked, upload)
    });
    let (looked, upload) = looked.await.map_err(Failure::internal)?;
    looked.map_err(|refused| Failure::invalid("module", refused.to_string()))?;

    let is_new = insert(&app, &caller, org_id, &upload).await?;
    let version = look(&app, &caller, org_id, upload).await?;
    let status = match (version.state, is_new) {
        (Life::Uploaded, _) => StatusCode::ACCEPTED,
        (_, true) => StatusCode::CREATED,
        (_, false) => StatusCode::OK,
    };
    let location = format!(
        "/api/v1/tenants/{org_id}/policy/versions/{}",
        version.digest
    );
    let location = [(axum::http::header::LOCATION, location)];
    Ok((status, location, Versioned(version)).into_response())
}

/// Who uploads for whom, and how many bytes the module may have.
async fn admitted(
    app: &App,
    caller: Result<Caller, Failure>,
    org_id: Result<Id<OrgId>, Failure>,
) -> Result<(Caller, OrgId, usize), Failure> {
    let (caller, Id(org_id)) = (caller?, org_id?);
    may(app, &caller, "policies:write", org_id).await?;
    let tier = tenants::tier_of(&mut *app.database.connection().await?, org_id).await?;
    let most = LARGEST_MODULE.min(tier.policy_bytes as usize);
    Ok((caller, org_id, most))
}

/// The parts of a form, RFC 7578: `module`, and beside it `settings`, a JSON object of
/// texts, and `claims`, a JSON list; or a body that is the module alone.
async fn parts(request: Request) -> Result<Upload, Failure> {
    let mut upload = Upload::default();
    if is_content_type(request.headers(), "application/wasm") {
        upload.module = read(request, &()).await?.into();
        return Ok(upload);
    }
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| {
        let why = "The body must be multipart/form-data with the parts module, settings and claims, or application/wasm.";
        Failure::Unreadable(why.into())
    })?;
    let mut seen = Vec::new();
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        if seen.contains(&name) {
            return Err(Failure::invalid(&name, "stands twice"));
        }
        match name.as_str() {
            "module" => upload.module = field.bytes().await.map_err(unreadable)?.into(),
            "settings" => {
                let text = field.bytes().await.map_err(unreadable)?;
                let settings = strict_json::from_slice(&text);
                upload.settings = settings.map_err(|error| invalid(&name, &error))?;
            }
            "claims" => {
                let text = field.bytes().await.map_err(unreadable)?;
                let claims = serde_json::from_slice(&text);
                upload.claims = claims.map_err(|error| invalid(&name, &error))?;
            }
            _ => return Err(Failure::invalid(&name, "is not a part of an upload")),
        }
        seen.push(name);
    }
    if !seen.iter().any(|name| name == "module") {
        return Err(Failure::invalid("module", "is required"));
    }
    Ok(upload)
}

fn invalid(part: &str, error: &serde_json::Error) -> Failure {
    Failure::invalid(part, error.to_string())
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::Unreadable(format!("The form cannot be read: {error}.").into())
}

/// Puts the version there; answers whether it was not.
async fn insert(
    app: &App,
    caller: &Caller,
    org_id: OrgId,
    upload: &Upload,
) -> Result<bool, Failure> {
    let digest = upload.digest();
    let mut change = app.change(caller.agent_id()).await?;
    tenants::lock(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    let all = store::list(change.connection(), org_id).await?;
    if all.iter().any(|version| version.digest == digest) {
        return Ok(false);
    }
    if all.len() >= MOST_VERSIONS {
        let why = format!("A tenant has at most {MOST_VERSIONS} versions: delete one first.");
        return Err(Failure::Conflict(why.into()));
    }
    let now = change.now();
    store::insert(change.connection(), org_id, upload, caller.agent_id(), now).await?;
    let details = json!({
        "module": upload.module_digest(),
        "bytes": upload.module.len(),
        "settings": upload.settings,
        "claims": upload.claims,
    });
    change
        .record(org_id, "policy.uploaded", &digest, details)
        .await?;
    change.commit().await?;
    Ok(true)
}

/// Has the module compiled, unless it was before, and says what came of it.
async fn look(app: &App, caller: &Caller, org_id: OrgId, upload: Upload) -> Result<Shown, Failure> {
    let digest = upload.digest();
    let before = shown(app, org_id, &digest).await?;
    if !matches!(before.state, Life::Uploaded | Life::Refused) {
        return Ok(before);
    }
    let module_digest = upload.module_digest();
    let compiled = app
        .policy
        .compile(&app.database, org_id, &module_digest, upload.module)
        .await;
    let refused = match compiled {
        Ok(()) => None,
        Err(CompileError::Refused(why)) => Some(why.to_string()),
        // It stays as it is: the same upload looks again.
        Err(CompileError::Busy | CompileError::Unavailable) => return Ok(before),
        Err(CompileError::Database(error)) => return Err(error.into()),
    };
    let mut change = app.change(caller.agent_id()).await?;
    tenants::lock(change.connection(), org_id).await?;
    let before = store::one(change.connection(), org_id, &digest)
        .await?
        .ok_or(Failure::NotFound)?;
    if !matches!(before.state, Life::Uploaded | Life::Refused) {
        return Ok(before);
    }
    let (state, action) = match refused {
        None => (Life::Checked, "policy.checked"),
        Some(_) => (Life::Refused, "policy.refused"),
    };
    let now = change.now();
    store::set_state(
        change.connection(),
        org_id,
        &digest,
        state,
        refused.as_deref(),
        now,
    )
    .await?;
    let details = json!({ "reason": refused });
    change.record(org_id, action, &digest, details).await?;
    change.commit().await?;
    match refused {
        Some(why) => Err(Failure::invalid("module", why)),
        None => shown(app, org_id, &digest).await,
    }
}

async fn shown(app: &App, org_id: OrgId, digest: &str) -> Result<Shown, Failure> {
    let connection = &mut *app.database.connection().await?;
    let version = store::one(connection, org_id, digest).await?;
    version.ok_or(Failure::NotFound)
}
