//! Ids as newtypes over `UUIDv7` (RFC 9562 §5.7), so that no statement takes an
//! agent for a tenant.

use std::fmt;
use std::str::FromStr;

use rand::Rng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Now;

/// A new `UUIDv7`: sortable by time, 74 random bits.
pub(crate) fn new_v7(now: Now, rng: &mut impl Rng) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.ms(), &random).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub(crate) Uuid);

        impl $name {
            /// A new one.
            pub fn new(now: Now, rng: &mut impl Rng) -> Self {
                Self(new_v7(now, rng))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        /// The canonical form alone: one thing has one spelling.
        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                let id = Uuid::try_parse(text).map_err(|_| ())?;
                let mut buffer = Uuid::encode_buffer();
                if &*id.hyphenated().encode_lower(&mut buffer) == text {
                    Ok(Self(id))
                } else {
                    Err(())
                }
            }
        }
    };
}

impl EventId {
    /// No event of that millisecond or before has a later id.
    pub(crate) fn latest_at(now: Now) -> Self {
        let id = uuid::Builder::from_unix_timestamp_millis(now.ms(), &[0xff; 10]);
        Self(id.into_uuid())
    }
}

id!(
    /// A tenant.
    OrgId
);
id!(
    /// An agent; it is the `client_id` too.
    AgentId
);
id!(
    /// A client secret's id, which `grants` names.
    CredentialId
);
id!(
    /// A resource.
    ResourceId
);
id!(
    /// A place of the edge.
    EdgeId
);
id!(
    /// An event of the record; an issuance's is the token's `jti`.
    EventId
);
