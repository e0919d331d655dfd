//! Lists, a page at a time: newest ids last, a cursor that is the last id seen,
//! so that insertions neither repeat nor hide an item.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
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

/// A page of what a filter lets through. A parameter that is neither `cursor` nor
/// `limit` is a member of `F`, which refuses unknown ones.
#[derive(Debug)]
pub struct Listing<F> {
    pub(crate) page: PageRequest,
    pub(crate) filter: F,
}

/// No filter: whatever it is asked for is unknown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Everything {}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let listing = Listing::<Everything>::from_request_parts(parts, state).await?;
        Ok(listing.page)
    }
}

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Listing<F> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| Failure::Unreadable(error.body_text().into()))?;
        let mut parameters = Map::new();
        for (name, value) in pairs {
            if parameters.contains_key(&name) {
                return Err(Failure::Unreadable(format!("{name} stands twice.").into()));
            }
            if value.contains('\0') {
                return Err(Failure::Unreadable(
                    format!("{name} must hold no NUL.").into(),
                ));
            }
            parameters.insert(name, Value::String(value));
        }
        let page = PageRequest::read(parameters.remove("cursor"), parameters.remove("limit"))?;
        let filter = serde_json::from_value(Value::Object(parameters))
            .map_err(|error| Failure::Unreadable(format!("A parameter: {error}.").into()))?;
        Ok(Self { page, filter })
    }
}

impl PageRequest {
    fn read(cursor: Option<Value>, limit: Option<Value>) -> Result<Self, Failure> {
        let limit = match limit.as_ref().and_then(Value::as_str) {
            None => Some(DEFAULT_LIMIT),
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=HIGHEST_LIMIT).contains(n)),
        };
        let limit = limit.ok_or_else(|| {
            Failure::Unreadable(format!("limit must be from 1 to {HIGHEST_LIMIT}.").into())
        })?;
        let after = match cursor.as_ref().and_then(Value::as_str) {
            None => Uuid::nil(),
            Some(cursor) => URL_SAFE_NO_PAD
                .decode(cursor)
                .ok()
                .and_then(|bytes| Uuid::from_slice(&bytes).ok())
                .ok_or(Failure::Unreadable("The cursor is not one of ours.".into()))?,
        };
        Ok(Self { after, limit })
    }

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
