//! `agentidp edge`: places of the edge, on the database alone.

use std::fmt::Write as _;

use clap::Subcommand;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::model::{Edge, Filter, Life};
use super::{register, revoke, store};
use crate::change::Change;
use crate::clock::Now;
use crate::database::Database;
use crate::error::Failure;
use crate::page::PageRequest;

/// How many are read together.
const PAGE: u32 = 200;

/// What is done with places of the edge.
#[derive(Debug, Subcommand)]
pub enum EdgeCommand {
    /// Register a place and print its credential, once.
    Register {
        /// The operator's name for it.
        place: String,
    },
    /// Print every place: its id, its name, its status, when it was last seen.
    List,
    /// Revoke a place: its credential opens nothing from then on.
    Revoke {
        /// Its id, or its name.
        edge: String,
    },
}

impl EdgeCommand {
    /// Does it; answers with what to print, and what to say beside it.
    ///
    /// # Errors
    /// Why not, for whoever typed it.
    pub async fn run(
        self,
        database: &Database,
    ) -> Result<(String, Option<&'static str>), Box<dyn std::error::Error>> {
        match self {
            Self::Register { place } => {
                let mut change = Change::begin(database, None, None, Now::read()).await?;
                let edge = register(&mut change, &place).await?;
                change.commit().await?;
                let shown = format!(
                    "EDGE_ID={}\nEDGE_SECRET={}\n",
                    edge.edge_id,
                    edge.secret.reveal()
                );
                let once = "This is the only time that the secret is shown.";
                Ok((shown, Some(once)))
            }
            Self::List => Ok((list(database).await?, None)),
            Self::Revoke { edge } => {
                let mut change = Change::begin(database, None, None, Now::read()).await?;
                let found = store::lock_named(change.connection(), &edge).await?;
                let found = found.ok_or("there is no such edge")?;
                if !revoke(&mut change, &found).await? {
                    return Err("it was revoked before".into());
                }
                change.commit().await?;
                Ok((
                    format!("{} ({}) is revoked.\n", found.place, found.edge_id),
                    None,
                ))
            }
        }
    }
}

/// A line for each, its parts separated by tabs, oldest first.
async fn list(database: &Database) -> Result<String, Failure> {
    let mut connection = database.connection().await?;
    let mut page = PageRequest {
        after: Uuid::nil(),
        limit: PAGE - 1,
    };
    let mut shown = String::new();
    loop {
        let edges = store::list(&mut *connection, &Filter::default(), page).await?;
        for edge in &edges {
            shown.push_str(&line(edge)?);
        }
        match edges.last() {
            Some(last) if edges.len() >= PAGE as usize => page.after = last.edge_id.0,
            _ => return Ok(shown),
        }
    }
}

fn line(edge: &Edge) -> Result<String, Failure> {
    let time = |at: OffsetDateTime| at.format(&Rfc3339).map_err(Failure::internal);
    let status = match edge.life {
        Life::Active => "active".to_owned(),
        Life::Revoked { at } => format!("revoked {}", time(at)?),
    };
    let seen = match edge.last_seen_at {
        None => "never seen".to_owned(),
        Some(at) => format!("seen {}", time(at)?),
    };
    let mut line = String::new();
    writeln!(line, "{}\t{}\t{status}\t{seen}", edge.edge_id, edge.place)
        .map_err(Failure::internal)?;
    Ok(line)
}
