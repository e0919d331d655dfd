//! Policies as a tenant's tools make them, of text.

use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::root;

/// A module's name: the SHA-256 of its bytes, in hex.
pub fn digest(module: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(module))
}

/// A core module with the metadata of the world `policy`.
pub fn core_module(wat: &str) -> Vec<u8> {
    let wit = std::fs::read_to_string(root().join("policies/sdk/wit/policy.wit")).unwrap();
    core_module_of(wat, &wit, "policy")
}

/// The same of another world.
pub fn core_module_of(wat: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("policy.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// A component of a core module in text.
pub fn component(wat: &str) -> Vec<u8> {
    component_of(&core_module(wat))
}

/// A component of a core module with metadata.
pub fn component_of(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default()
        .module(module)
        .unwrap()
        .encode()
        .unwrap()
}

/// A policy with `decide` and whatever else.
pub fn policy(decide: &str, more: &str) -> String {
    format!(
        r#"(module
  (memory (export "memory") 17)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "decide") (param i32) (result i32) {decide})
  {more})"#
    )
}
