//! What the fuzz targets share: what a text of JSON is like, told without the
//! reader under test, and the pure parsers of the core, compiled from the core's
//! own files, since the core itself would bring a database driver and a Wasm
//! engine along.

#[path = "../../core/src/form.rs"]
pub mod form;
#[path = "../../core/src/credentials/secret.rs"]
pub mod secret;
pub mod shape;
