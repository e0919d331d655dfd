//! What the fuzz targets share: the pure parsers of the core, compiled from the
//! core's own files, since the core itself would bring a database driver and a
//! Wasm engine along.

#[path = "../../core/src/form.rs"]
pub mod form;
#[path = "../../core/src/credentials/secret.rs"]
pub mod secret;
