//! `POST …/policy/try`: one made-up request, decided as an issuance would be, and
//! nothing is issued, counted or recorded.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::model::{State as Life, VersionDigest};
use super::{may, store};
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::Failure;
use crate::ids::OrgId;
use crate::path::Id;
use crate::policy::{MadeUp, Version, shown};
use crate::tenants;

pub(super) async fn try_it(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
    JsonBody(made_up): JsonBody<MadeUp>,
) -> Result<Json<Value>, Failure> {
    may(&app, &caller, "policies:read", org_id).await?;
    let wanted = made_up.version.clone().map(VersionDigest::try_from);
    let wanted = wanted.transpose().map_err(|_| Failure::NotFound)?;
    let mut connection = app.database.connection().await?;
    let tier = tenants::tier_of(&mut *connection, org_id).await?;
    let mut all = store::list(&mut *connection, org_id).await?.into_iter();
    drop(connection);
    let found = match wanted {
        None => all.find(|version| version.state == Life::Active),
        Some(wanted) => {
            let found = all.find(|version| version.digest == wanted.0);
            Some(found.ok_or(Failure::NotFound)?)
        }
    };
    if let Some(version) = &found {
        version.can_be_asked()?;
    }
    let question = made_up.question(org_id.to_string(), &tier)?;
    let version = found.map(Version::from).map(Arc::new);
    let begun = Instant::now();
    let decided = app
        .policy
        .consider(&app.database, &question, &tier, version)
        .await?;
    let took = begun.elapsed();
    Ok(Json(json!({
        "decision": shown::word(decided.verdict()),
        "tier": shown::verdict(&decided.tier),
        "tenant": decided.tenant.as_ref().map(shown::verdict),
        "microseconds": took.as_micros() as u64,
    })))
}
