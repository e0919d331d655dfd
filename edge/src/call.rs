//! One request, as far as it has been read, and what it needs to be admitted.

use std::borrow::Cow;
use std::rc::Rc;

use agentidp_gateway::routes::NotAllowed;
use agentidp_gateway::{Away, Path, Route};
use web_sys::Request;
use worker::{Context, Env};

use crate::log::Line;
use crate::settings::Settings;

/// A request with the edge's settings.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) env: &'a Env,
    pub(crate) context: &'a Rc<Context>,
    pub(crate) settings: &'a Rc<Settings>,
    /// All values of the header, joined by commas.
    pub(crate) authorization: Option<&'a str>,
    pub(crate) path: &'a Path<'a>,
    pub(crate) query: Option<&'a str>,
    /// What the log will say of it.
    pub(crate) line: &'a Line,
}

/// What a call needs.
pub(crate) struct Needs<'a> {
    /// Every scope, those of `REQUIRED_SCOPES` too.
    pub(crate) scopes: Cow<'a, [String]>,
    /// The only `aud` that is taken; any of `RESOURCES` without one.
    pub(crate) resource: Option<&'a str>,
    /// What happens where the core cannot be reached.
    pub(crate) away: Away,
}

impl<'a> Needs<'a> {
    /// Of a call that takes `route` by `method`.
    ///
    /// # Errors
    /// The route does not have the method.
    pub(crate) fn of(route: &'a Route, method: &str) -> Result<Self, NotAllowed> {
        Ok(Self {
            scopes: Cow::Borrowed(route.scopes(method)?),
            resource: route.resource.as_deref(),
            away: route.away,
        })
    }

    /// Of a call that takes no route.
    pub(crate) fn of_any(settings: &'a Settings) -> Self {
        Self {
            scopes: Cow::Borrowed(&settings.required_scopes),
            resource: None,
            away: Away::Refuse,
        }
    }
}
