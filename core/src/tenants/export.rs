//! `GET /api/v1/tenants/{org_id}/export`: all that a tenant has, as JSON lines, read
//! a page at a time as fast as the reader takes it. Between two pages nothing is
//! held but the place where the next one begins: a reader that is slow or goes
//! away costs nothing that lasts. No secret is in it, nor what one is checked by.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::get;
use futures_util::stream::try_unfold;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use crate::app::App;
use crate::caller::Caller;
use crate::clock::Now;
use crate::error::Failure;
use crate::ids::{EventId, OrgId};
use crate::page::PageRequest;
use crate::path::Id;
use crate::{agents, audit, credentials, edge_sync, policy, resources, scope};

/// What an administrator needs for it.
const SCOPES: [&str; 6] = [
    "tenants:read",
    "agents:read",
    "credentials:read",
    "policies:read",
    "resources:read",
    "audit:read",
];
/// How many lines are read together.
const PAGE: u32 = 100;

/// The route of the export.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/api/v1/tenants/{org_id}/export", get(export))
}

async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(org_id): Id<OrgId>,
) -> Result<([(HeaderName, &'static str); 2], Body), Failure> {
    if caller.is_operator() {
        caller.may(scope::OPERATOR)?;
    } else {
        SCOPES.iter().try_for_each(|scope| caller.may(scope))?;
        if org_id != caller.org_id() {
            return Err(Failure::NotFound);
        }
    }
    let mut change = app.change(caller.agent_id()).await?;
    store::one(change.connection(), org_id)
        .await?
        .ok_or(Failure::NotFound)?;
    change
        .record(org_id, "tenant.exported", org_id, json!({}))
        .await?;
    change.commit().await?;

    let begun = Now::read();
    let place = Place {
        org_id,
        part: Some(Part::Tenant),
        after: Uuid::nil(),
        until: EventId::latest_at(begun),
        lines: 0,
    };
    let lines = try_unfold((app, place), async |(app, place)| next(app, place).await);
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(lines)))
}

/// What is exported, in this order.
#[derive(Debug, Clone, Copy)]
enum Part {
    Tenant,
    Settings,
    Resources,
    Agents,
    Credentials,
    Policies,
    Refusals,
    // What a tenant will have besides goes here, before what was done with it.
    AuditEvents,
    End,
}

impl Part {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Tenant => Some(Self::Settings),
            Self::Settings => Some(Self::Resources),
            Self::Resources => Some(Self::Agents),
            Self::Agents => Some(Self::Credentials),
            Self::Credentials => Some(Self::Policies),
            Self::Policies => Some(Self::Refusals),
            Self::Refusals => Some(Self::AuditEvents),
            Self::AuditEvents => Some(Self::End),
            Self::End => None,
        }
    }
}

/// How far an export has come.
struct Place {
    org_id: OrgId,
    /// Nothing after the end.
    part: Option<Part>,
    /// The last id of this part.
    after: Uuid,
    /// The last event: what comes later is not waited for.
    until: EventId,
    lines: u64,
}

/// One line.
#[derive(Serialize)]
struct Line<'a, T> {
    r#type: &'a str,
    #[serde(flatten)]
    item: &'a T,
}

/// The next page's lines, and where the one after it begins.
async fn next(
    app: Arc<App>,
    mut place: Place,
) -> Result<Option<(Bytes, (Arc<App>, Place))>, Failure> {
    let mut lines = Vec::new();
    while let Some(part) = place.part.filter(|_| lines.is_empty()) {
        let mut connection = app.database.connection().await?;
        let last = place.read(part, &mut connection, &mut lines).await?;
        drop(connection);
        // A page that is not full is its part's last.
        place.part = last.map_or(part.next(), |_| Some(part));
        place.after = last.unwrap_or_default();
    }
    Ok((!lines.is_empty()).then(|| (lines.into(), (app, place))))
}

impl Place {
    /// Reads a page of `part`; answers with its last id where another may follow.
    async fn read(
        &mut self,
        part: Part,
        connection: &mut PgConnection,
        lines: &mut Vec<u8>,
    ) -> Result<Option<Uuid>, Failure> {
        let org_id = self.org_id;
        // One more is fetched than a page is said to have.
        let page = PageRequest {
            after: self.after,
            limit: PAGE - 1,
        };
        match part {
            Part::Tenant => {
                // Deleted meanwhile: the reader hears of it by the missing end.
                let tenant = store::one(connection, org_id).await?;
                let tenant = tenant.ok_or(Failure::NotFound)?;
                self.write(lines, "tenant", &[tenant], |_| Uuid::nil())?;
            }
            Part::Settings => {
                let settings = store::settings(connection, org_id).await?;
                let settings = settings.ok_or(Failure::NotFound)?;
                self.write(lines, "settings", &[settings], |_| Uuid::nil())?;
            }
            Part::Resources => {
                let items = resources::list(connection, org_id, page).await?;
                return self.write(lines, "resource", &items, |one| one.resource_id.0);
            }
            Part::Agents => {
                let filter = agents::Filter::default();
                let items = agents::list(connection, org_id, &filter, page).await?;
                return self.write(lines, "agent", &items, |one| one.agent_id.0);
            }
            Part::Credentials => {
                let (filter, now) = (credentials::Filter::default(), Now::read());
                let items = credentials::list(connection, org_id, None, &filter, page, now).await?;
                return self.write(lines, "credential", &items, |one| one.credential_id.0);
            }
            Part::Policies => {
                // There are fewer of a tenant's than a page has.
                let versions = policy::versions_of(connection, org_id).await?;
                self.write(lines, "policy_version", &versions, |_| Uuid::nil())?;
            }
            Part::Refusals => {
                let filter = edge_sync::RefusalFilter::default();
                let items = edge_sync::refusals_of(connection, org_id, &filter, page).await?;
                return self.write(lines, "refusals", &items, |one| one.refusal_id);
            }
            Part::AuditEvents => {
                let items = audit::list(connection, org_id, page, self.until).await?;
                return self.write(lines, "audit_event", &items, |one| one.event_id.0);
            }
            Part::End => {
                let end = json!({ "lines": self.lines });
                self.write(lines, "end", &[end], |_| Uuid::nil())?;
            }
        }
        Ok(None)
    }

    /// Writes `items`; answers with the last one's id where they fill the page.
    fn write<T: Serialize>(
        &mut self,
        lines: &mut Vec<u8>,
        r#type: &str,
        items: &[T],
        id: impl Fn(&T) -> Uuid,
    ) -> Result<Option<Uuid>, Failure> {
        for item in items {
            serde_json::to_writer(&mut *lines, &Line { r#type, item })
                .map_err(Failure::internal)?;
            lines.push(b'\n');
            self.lines += 1;
        }
        Ok(items
            .last()
            .filter(|_| items.len() >= PAGE as usize)
            .map(id))
    }
}
