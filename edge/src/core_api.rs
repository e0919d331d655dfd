//! Questions to the core.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::glue::{self, CoreAnswer};

/// How long the core may take for an answer, its body included, in milliseconds.
/// Then it counts as away.
pub(crate) const PATIENCE_MS: u32 = 500;

/// What goes wrong, for the Worker's log: never for a caller.
#[derive(Debug)]
pub(crate) struct CoreError(String);

impl CoreError {
    pub(crate) fn new(why: impl std::fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl std::fmt::Display for CoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Error> for CoreError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<JsValue> for CoreError {
    fn from(error: JsValue) -> Self {
        let said = error.dyn_ref::<js_sys::Error>().map(js_sys::Error::message);
        Self(said.map_or_else(|| "it failed".to_owned(), String::from))
    }
}

/// What is asked.
pub(crate) struct Question<'a> {
    /// Where.
    pub(crate) url: &'a str,
    /// The value of `Authorization`.
    pub(crate) authorization: Option<&'a str>,
    /// A JSON text to POST; without one it is a GET.
    pub(crate) body: Option<&'a str>,
    /// The media types that the answer may have.
    pub(crate) types: &'static [&'static str],
    /// The most bytes that it may have.
    pub(crate) longest: usize,
    /// How long the core may take, in milliseconds.
    pub(crate) patience_ms: u32,
}

/// A 200 answer.
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// For how long a cache held it, in milliseconds, as far as it says.
    pub(crate) held_ms: u64,
}

/// Asks the core, once more where the connection fails: a kept one may have been
/// closed just then (RFC 9110 §9.2.2). So what is asked must be good to be asked
/// twice. Redirects are not followed.
///
/// # Errors
/// The core cannot be reached in time, or answers with another status than 200, in
/// another type or at greater length.
pub(crate) async fn ask(question: &Question<'_>) -> Result<Answer, CoreError> {
    let url = question.url;
    let longest = u32::try_from(question.longest).unwrap_or(u32::MAX);
    let (authorization, body) = (question.authorization, question.body);
    let answered = glue::ask(url, authorization, body, longest, question.patience_ms)?;
    let answer: CoreAnswer = JsFuture::from(answered).await?.unchecked_into();
    let status = answer.status();
    if status != 200 {
        return Err(CoreError(format!("{url} answered {status}")));
    }
    let typed = answer.kind();
    let typed = typed.split(';').next().unwrap_or_default().trim();
    if !question
        .types
        .iter()
        .any(|good| typed.eq_ignore_ascii_case(good))
    {
        return Err(CoreError(format!("{url} answered with another type")));
    }
    Ok(Answer {
        body: Uint8Array::new(&answer.body()).to_vec(),
        held_ms: answer
            .age()
            .trim()
            .parse::<u64>()
            .unwrap_or(0)
            .saturating_mul(1_000),
    })
}
