//! The Worker's variables, read once for an isolate.

use std::cell::RefCell;
use std::rc::Rc;

use agentidp_gateway::Routes;
use agentidp_gateway::introspection::Clients;
use agentidp_gateway::metadata::Place;
use agentidp_gateway::routes::Defaults;
use agentidp_verify::{Audience, Audiences, Expected};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use js_sys::Reflect;
use worker::Env;

use crate::log::Logged;

/// What an operator sets, in `wrangler.toml` or in workerd's environment.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `CORE_URL`: where the core is, without a slash at its end.
    pub(crate) core_url: String,
    /// `EDGE_ID`: for whom the core signs leases.
    pub(crate) edge_id: String,
    /// `EDGE_ID` and `EDGE_SECRET`, as an `Authorization` header: this edge's own
    /// credential at the feed.
    pub(crate) feed_authorization: String,
    /// `ISSUER_URL` and `RESOURCES` (`<org_id>:<identifier>`, separated by spaces).
    pub(crate) expected: Expected,
    /// `REQUIRED_SCOPES`: what every call needs; none by default.
    pub(crate) required_scopes: Vec<String>,
    /// `ROUTES`, or everything to `ORIGIN_URL`.
    pub(crate) routes: Routes,
    /// Whether there is a `ROUTES`: then a gateway must say what it asks about.
    pub(crate) routes_are_given: bool,
    /// Where the identifiers of `RESOURCES` that are web addresses are described.
    pub(crate) places: Vec<(Place, String)>,
    /// `GATEWAY_SECRET`: by which this edge knows its gateway.
    pub(crate) gateway_secret: Option<String>,
    /// `INTROSPECTION_CLIENTS`: who may ask what a token is worth.
    pub(crate) introspection: Option<Clients>,
    /// `ORIGIN_SECRET`: by which an origin knows that a request came through here.
    pub(crate) origin_secret: Option<String>,
    /// `EDGE_LOG`: which requests have a line in the log; refusals by default.
    pub(crate) logged: Logged,
    /// `TOKEN_PASS_THROUGH`: whether token requests are passed on to the core.
    pub(crate) hands_tokens_through: bool,
    /// `TOKEN_REQUESTS_PER_MINUTE` of one address.
    pub(crate) token_requests_per_minute: u64,
    /// `CLIENT_ADDRESS_HEADER`: by which a trusted proxy tells who is calling.
    pub(crate) client_address_header: Option<String>,
}

/// How many token requests one address may make in a minute by default: what the
/// core lets one address get wrong.
const TOKEN_REQUESTS_PER_MINUTE: u64 = 600;

thread_local! {
    static SETTINGS: RefCell<Option<Rc<Settings>>> = const { RefCell::new(None) };
}

/// The settings.
///
/// # Errors
/// The variable that is missing or unusable.
pub(crate) fn read(env: &Env) -> Result<Rc<Settings>, String> {
    if let Some(settings) = SETTINGS.with_borrow(Clone::clone) {
        return Ok(settings);
    }
    let settings = Rc::new(from_env(env)?);
    SETTINGS.set(Some(Rc::clone(&settings)));
    Ok(settings)
}

fn from_env(env: &Env) -> Result<Settings, String> {
    let optional = |name: &str| {
        // Not by `Env::var`, which fails on the null that workerd binds where its
        // environment lacks a variable.
        let value = Reflect::get(env, &name.into()).ok()?.as_string()?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let required = |name: &str| optional(name).ok_or_else(|| format!("{name} is required"));
    let url = |value: String| value.trim_end_matches('/').to_owned();
    // Who it is comes first: without that nothing else is of use.
    let (edge_id, secret) = (required("EDGE_ID")?, required("EDGE_SECRET")?);
    let audiences = audiences(&required("RESOURCES")?)?;
    let required_scopes: Vec<String> = optional("REQUIRED_SCOPES")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let resources: Vec<String> = audiences
        .iter()
        .map(|audience| audience.identifier.clone())
        .collect();
    let origin = optional("ORIGIN_URL");
    let defaults = Defaults {
        origin: origin.as_deref(),
        required_scopes: &required_scopes,
        resources: &resources,
    };
    let written = optional("ROUTES");
    let routes = match &written {
        Some(routes) => Routes::parse(routes, defaults)?,
        None => Routes::everything(defaults)?,
    };
    let introspection = optional("INTROSPECTION_CLIENTS")
        .map(|clients| Clients::parse(&clients, &resources))
        .transpose()?;
    let places = resources
        .iter()
        .filter_map(|identifier| Some((Place::of(identifier)?, identifier.clone())))
        .collect();
    let credential = format!("{edge_id}:{secret}");
    Ok(Settings {
        core_url: url(required("CORE_URL")?),
        edge_id,
        feed_authorization: format!("Basic {}", STANDARD.encode(credential)),
        expected: Expected {
            issuer: required("ISSUER_URL")?,
            audiences: Audiences::These(audiences),
        },
        required_scopes,
        routes,
        routes_are_given: written.is_some(),
        places,
        gateway_secret: optional("GATEWAY_SECRET"),
        introspection,
        origin_secret: optional("ORIGIN_SECRET"),
        logged: match optional("EDGE_LOG") {
            None => Logged::Refusals,
            Some(text) => {
                Logged::parse(&text).ok_or("EDGE_LOG must be requests, refusals or off")?
            }
        },
        hands_tokens_through: match optional("TOKEN_PASS_THROUGH").as_deref() {
            None | Some("off") => false,
            Some("on") => true,
            Some(_) => return Err("TOKEN_PASS_THROUGH must be on or off".to_owned()),
        },
        token_requests_per_minute: match optional("TOKEN_REQUESTS_PER_MINUTE") {
            None => TOKEN_REQUESTS_PER_MINUTE,
            Some(text) => (text.parse().ok().filter(|number| *number > 0))
                .ok_or("TOKEN_REQUESTS_PER_MINUTE must be a number from 1")?,
        },
        client_address_header: match optional("CLIENT_ADDRESS_HEADER") {
            Some(name) if !is_header_name(&name) => {
                return Err("CLIENT_ADDRESS_HEADER must be a header's name".to_owned());
            }
            named => named,
        },
    })
}

/// An identifier counts for the tenant that it was pinned to, and for no other.
fn audiences(list: &str) -> Result<Vec<Audience>, String> {
    list.split_whitespace()
        .map(|item| {
            let (org_id, identifier) = item
                .split_once(':')
                .filter(|(org_id, _)| org_id.len() == 36)
                .ok_or("RESOURCES must be <org_id>:<identifier>, separated by spaces")?;
            Ok(Audience {
                identifier: identifier.to_owned(),
                org_id: Some(org_id.to_owned()),
            })
        })
        .collect()
}

/// RFC 9110 §5.1.
fn is_header_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token)
}
