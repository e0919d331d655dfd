//! Modules as text, compiled in this process: for unit tests alone.

use wasmtime::component::Component;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::artifacts::Artifact;
use super::engine::settings;
use super::engine::wit::agentidp::policy::types;

/// Denies without a reason.
pub(super) const DENIES: &str = r#"(module (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "decide") (param i32) (result i32)
      (i32.store8 (i32.const 2048) (i32.const 1)) (i32.const 2048)))"#;
/// Ends when it is ended.
pub(super) const ENDLESS: &str = r#"(module (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "decide") (param i32) (result i32) (loop (br 0)) unreachable))"#;

/// A core module of the world `policy`, compiled.
pub(super) fn compiled(text: &str) -> Artifact {
    let mut module = wat::parse_str(text).unwrap();
    let wit = std::fs::read_to_string("../policies/sdk/wit/policy.wit").unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("policy.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&module).unwrap();
    let component = { encoder }.encode().unwrap();
    let compiler = wasmtime::Engine::new(&settings()).unwrap();
    let component = Component::from_binary(&compiler, &component).unwrap();
    Artifact::just_compiled(component.serialize().unwrap())
}

/// A question about nothing.
pub(super) fn nothing() -> types::Request {
    types::Request {
        agent_id: String::new(),
        agent_type: String::new(),
        deployment_env: String::new(),
        capabilities: Vec::new(),
        org_id: String::new(),
        tier: String::new(),
        audience: String::new(),
        scopes: Vec::new(),
        now: 0,
        ceiling: types::Ceiling {
            lifetime_seconds: 1,
            requests_per_minute: None,
        },
        usage: types::Usage {
            tokens_today: 0,
            tokens_per_day: None,
            tokens_this_month: 0,
            tokens_per_month: None,
        },
        settings: Vec::new(),
    }
}
