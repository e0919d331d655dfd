//! Calls of `glue.js`: each does what would take many calls from here.

use agentidp_verify::Verified;
use agentidp_verify::limit::Spent;
use js_sys::{Array, ArrayBuffer, JsString, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Request, RequestInit, Response};

/// A token's claims as JavaScript's texts, made once for a kept token.
pub(crate) struct Shown {
    pub(crate) payload: JsString,
    pub(crate) agent: JsString,
    pub(crate) org: JsString,
    pub(crate) scope: JsString,
}

impl Shown {
    /// Of a verified token.
    pub(crate) fn of(token: &Verified) -> Self {
        let claims = token.claims();
        Self {
            payload: token.payload().into(),
            agent: claims.sub.as_str().into(),
            org: claims.org_id.as_str().into(),
            scope: claims.scope.as_str().into(),
        }
    }
}

/// `X-RateLimit-Limit`, `-Remaining` and `-Reset` as numbers, exact up to 2^53.
pub(crate) fn limit_of(spent: Option<Spent>) -> (Option<f64>, f64, f64) {
    spent.map_or((None, 0.0, 0.0), |spent| {
        let [limit, remaining, reset] = spent.figures().map(|figure| figure as f64);
        (Some(limit), remaining, reset)
    })
}

#[wasm_bindgen(module = "/src/glue.js")]
extern "C" {
    /// 200 for a gateway, with the limit's three figures where there is one.
    #[wasm_bindgen(catch)]
    pub(crate) fn verified(
        payload: &JsString,
        agent: &JsString,
        org: &JsString,
        scope: &JsString,
        limit: Option<f64>,
        remaining: f64,
        reset: f64,
    ) -> Result<Response, JsValue>;

    /// A request's headers, `[name, value]` each, the names in lower case.
    pub(crate) fn pairs(request: &Request) -> Array;

    /// The request to the origin: those headers without the ones at `dropped`, and
    /// the caller's identity and the edge's secret.
    pub(crate) fn onward(
        method: &str,
        pairs: &Array,
        dropped: &[u32],
        agent: &JsString,
        org: &JsString,
        scope: &JsString,
        secret: Option<&str>,
        age: Option<f64>,
    ) -> RequestInit;

    /// `fetch`.
    #[wasm_bindgen(catch)]
    pub(crate) fn send(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;

    /// The origin's answer, with the limit's three figures where there is one.
    #[wasm_bindgen(catch, js_name = handBack)]
    pub(crate) fn hand_back(
        response: &Response,
        limit: Option<f64>,
        remaining: f64,
        reset: f64,
        age: Option<f64>,
    ) -> Result<Response, JsValue>;

    /// What the core answered.
    pub(crate) type CoreAnswer;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn status(this: &CoreAnswer) -> u16;

    /// `Content-Type`, empty where there is none.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn kind(this: &CoreAnswer) -> String;

    /// `Age`, empty where there is none.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn age(this: &CoreAnswer) -> String;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn body(this: &CoreAnswer) -> ArrayBuffer;

    /// A question to the core: a promise of a [`CoreAnswer`].
    #[wasm_bindgen(catch)]
    pub(crate) fn ask(
        url: &str,
        authorization: Option<&str>,
        body: Option<&str>,
        most: u32,
        patience: u32,
    ) -> Result<Promise, JsValue>;
}
