//! Lists, a page at a time: newest ids last, a cursor that is the last id seen,
//! so that insertions neither repeat nor hide an item.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Failure;

const DEFAULT_LIMIT: u32 = 50;
const HIGHEST_LIMIT: u32 = 200;

/// Which page was asked for.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    /// Items after this id; `nil` for the first page.
    pub(crate) after: Uuid,
    /// How many at most, 1 to 200.
    pub(crate) limit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    cursor: Option<String>,
    limit: Option<u32>,
}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Query(parameters) = Query::<Parameters>::from_request_parts(parts, state)
            .await
            .map_err(|error| Failure::Unreadable(error.body_text().into()))?;
        let limit = parameters.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=HIGHEST_LIMIT).contains(&limit) {
            let why = format!("limit must be from 1 to {HIGHEST_LIMIT}.");
            return Err(Failure::Unreadable(why.into()));
        }
        let after = match parameters.cursor {
            None => Uuid::nil(),
            Some(cursor) => URL_SAFE_NO_PAD
                .decode(cursor)
                .ok()
                .and_then(|bytes| Uuid::from_slice(&bytes).ok())
                .ok_or(Failure::Unreadable("The cursor is not one of ours.".into()))?,
        };
        Ok(Self { after, limit })
    }
}

impl PageRequest {
    /// One more than the page holds, to see whether another follows.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    data: Vec<T>,
    /// What to ask for next; null on the last page.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page of `items`, of which [`PageRequest::fetch`] were asked for.
    pub(crate) fn of(mut items: Vec<T>, request: PageRequest, id: impl Fn(&T) -> Uuid) -> Self {
        let more = items.len() > request.limit as usize;
        items.truncate(request.limit as usize);
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|last| URL_SAFE_NO_PAD.encode(id(last)));
        Self {
            data: items,
            next_cursor,
        }
    }
}
