//! Calls of `glue.js`: each does what would take many calls from here.

use agentidp_verify::Verified;
use js_sys::{Array, ArrayBuffer, JsString, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Request, RequestInit, Response};

use crate::watch::Watched;

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

#[wasm_bindgen(module = "/src/glue.js")]
extern "C" {
    /// 200 for a gateway, with the figures of the limits.
    #[wasm_bindgen(catch)]
    pub(crate) fn verified(
        payload: &JsString,
        agent: &JsString,
        org: &JsString,
        scope: &JsString,
        figures: &[f64],
        age: Option<f64>,
        verify_ms: f64,
        limit_ms: f64,
    ) -> Result<Response, JsValue>;

    /// A request's headers, `[name, value]` each, the names in lower case.
    pub(crate) fn pairs(request: &Request) -> Array;

    /// A request's whole body as a `Uint8Array`; `undefined` where it is longer than
    /// `most` bytes. Fails where it breaks off.
    pub(crate) fn whole(request: &Request, most: u32) -> Promise;

    /// The request to the origin: those headers without the ones at `dropped`,
    /// the caller's identity, and what else the origin is told.
    pub(crate) fn onward(
        method: &str,
        pairs: &Array,
        dropped: &[u32],
        agent: &JsString,
        org: &JsString,
        scope: &JsString,
        secret: Option<&str>,
        age: Option<f64>,
        upgrade: bool,
    ) -> RequestInit;

    /// A request to an origin, under the eyes of a [`Watched`].
    pub(crate) type Exchange;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(watched: Watched, every_ms: u32) -> Exchange;

    /// `fetch`, by `fetcher` where there is one.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn send(
        this: &Exchange,
        fetcher: Option<&JsValue>,
        url: &str,
        init: &RequestInit,
        body: Option<&JsValue>,
        chunked: bool,
    ) -> Result<Promise, JsValue>;

    /// Whether the caller broke its request off.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn broken(this: &Exchange) -> bool;

    /// There is nothing to look after.
    #[wasm_bindgen(method)]
    pub(crate) fn end(this: &Exchange);

    /// The origin's answer with the figures of the limits.
    #[wasm_bindgen(method, catch, js_name = handBack)]
    pub(crate) fn hand_back(
        this: &Exchange,
        response: &Response,
        figures: &[f64],
        age: Option<f64>,
        verify_ms: f64,
        limit_ms: f64,
        origin_ms: f64,
    ) -> Result<Response, JsValue>;

    /// A random UUID (RFC 9562 §5.4).
    #[wasm_bindgen(js_name = randomUuid)]
    pub(crate) fn random_uuid() -> String;

    /// A token request to the core and its answer; `undefined` where its body is
    /// longer than `most` bytes.
    #[wasm_bindgen(catch, js_name = handThrough)]
    pub(crate) fn hand_through(
        request: &Request,
        url: &str,
        address: Option<&str>,
        most: u32,
        patience_ms: u32,
    ) -> Result<Promise, JsValue>;

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

    /// What an error says, in one line.
    pub(crate) fn message(error: &JsValue) -> String;

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
