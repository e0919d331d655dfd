//! What the core tells its edges, which calls they may admit, and who they are.

mod api;
mod calling;
mod command;
mod edges;
mod lease_store;
mod leases;
mod model;
mod refusals;
mod register;
mod reports;
mod revoke;
mod seen;
mod store;

use std::sync::Arc;

use axum::Router;

pub use api::Kept;
pub use calling::is_registered;
pub use command::EdgeCommand;
pub(crate) use lease_store::outstanding;
pub(crate) use refusals::{
    Filter as RefusalFilter, delete_all, forget_old, forget_reports, list as refusals_of,
};
pub use register::{RegisteredEdge, register};
use revoke::revoke;
pub use seen::Seen;

use crate::app::App;

/// The routes of this feature.
pub fn routes() -> Router<Arc<App>> {
    api::routes()
        .merge(edges::routes())
        .merge(leases::routes())
        .merge(reports::routes())
        .merge(refusals::routes())
}
