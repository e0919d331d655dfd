//! Bodies that the edge itself reads.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::JsFuture;

use crate::glue;

/// The whole body of `request`; `None` where it is longer than `most` bytes.
///
/// # Errors
/// It broke off.
pub(crate) async fn whole(
    request: &web_sys::Request,
    most: usize,
) -> Result<Option<Uint8Array>, ()> {
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let body = JsFuture::from(glue::whole(request, most))
        .await
        .map_err(|_| ())?;
    Ok(body.dyn_into().ok())
}
