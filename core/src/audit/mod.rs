//! The record: an event for every change and every issuance. A change's event is
//! written in the change's own transaction ([`crate::change::Change`]); an
//! issuance's by group commit ([`Writer`]), and its answer waits for the disk.
//! Nothing secret is ever among the details.

mod store;
mod writer;

pub(crate) use store::{insert, list};
pub use writer::{NotRecorded, Writer};

use crate::clock::Now;
use crate::ids::{AgentId, EventId, OrgId};

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id; an issuance's is the token's `jti`.
    pub id: EventId,
    /// When.
    pub at: Now,
    /// Whose record it belongs to.
    pub org_id: OrgId,
    /// Who did it; nobody where the command line did.
    pub actor: Option<AgentId>,
    /// What was done: `agent.created`, `token.issued`, …
    pub action: &'static str,
    /// What it was done to.
    pub subject: String,
    /// The rest, the text of a JSON object.
    pub details: String,
}
