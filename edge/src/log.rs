//! One line of JSON for a request: which route, which status, who, why. Never a
//! token, a path or a query. `EDGE_LOG` says for which requests.

use std::cell::RefCell;
use std::rc::Rc;

use agentidp_verify::Rejected;
use serde_json::{Map, Value, json};

use crate::clock::local_ms;
use crate::tokens::Kept;

/// Which requests have a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logged {
    /// Each.
    Requests,
    /// Those that the edge itself refuses or cannot serve.
    Refusals,
    /// None.
    Nothing,
}

impl Logged {
    /// Reads the variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "requests" => Some(Self::Requests),
            "refusals" => Some(Self::Refusals),
            "off" => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// What a request's line will say.
#[derive(Default)]
pub(crate) struct Line(RefCell<Said>);

#[derive(Default)]
struct Said {
    begun_ms: u64,
    route: Option<String>,
    token: Option<Rc<Kept>>,
    why: Option<String>,
    /// The answer is an origin's, or the core's, or lets a gateway's call through.
    passed_on: bool,
}

impl Line {
    pub(crate) fn begin() -> Self {
        Self(RefCell::new(Said {
            begun_ms: local_ms(),
            ..Said::default()
        }))
    }

    /// The path of the route that is taken.
    pub(crate) fn route(&self, path: &str) {
        self.0.borrow_mut().route = Some(path.to_owned());
    }

    /// Who is calling, and why the call is refused.
    pub(crate) fn decided(&self, token: Option<Rc<Kept>>, refused: Option<&Rejected>) {
        let mut said = self.0.borrow_mut();
        said.token = token;
        said.why = refused.map(Rejected::to_string);
    }

    /// Somebody else's answer is handed back, or a gateway's call goes on.
    pub(crate) fn passed_on(&self) {
        self.0.borrow_mut().passed_on = true;
    }

    /// Milliseconds since the request came.
    pub(crate) fn ms(&self) -> u64 {
        local_ms().saturating_sub(self.0.borrow().begun_ms)
    }

    /// Whether there is something to write, whatever the status: to ask for that costs
    /// each call.
    pub(crate) fn is_wanted(&self, logged: Logged) -> bool {
        match logged {
            Logged::Requests => true,
            Logged::Refusals => !self.0.borrow().passed_on,
            Logged::Nothing => false,
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, logged: Logged, status: u16) {
        let said = self.0.borrow();
        let refused = status >= 400 && !said.passed_on;
        if logged == Logged::Nothing || (logged == Logged::Refusals && !refused) {
            return;
        }
        let mut line = Map::new();
        let mut say = |name: &str, value: Value| line.insert(name.to_owned(), value);
        say("at_ms", json!(local_ms()));
        say("status", json!(status));
        say("ms", json!(local_ms().saturating_sub(said.begun_ms)));
        if let Some(route) = &said.route {
            say("route", json!(route));
        }
        if refused {
            say(
                "reason",
                json!(said.why.as_deref().unwrap_or(of_status(status))),
            );
        }
        if let Some(token) = &said.token {
            let claims = token.verified().claims();
            say("org_id", json!(claims.org_id));
            say("client_id", json!(claims.client_id));
        }
        let line = Value::Object(line).to_string();
        if refused {
            worker::console_warn!("{line}");
        } else {
            worker::console_log!("{line}");
        }
    }
}

/// Why, where nobody has said more.
const fn of_status(status: u16) -> &'static str {
    match status {
        400 => "The request could be read in two ways.",
        404 => "No route has the path.",
        405 => "The route does not have the method.",
        429 => "The address has made too many requests.",
        502 => "The origin cannot be reached.",
        _ => "It is refused.",
    }
}
