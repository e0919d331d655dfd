//! The modules that the benchmark uploads: an example, one of the hostile, and
//! bombs.

use std::fmt::Write as _;

use wit_component::{StringEncoding, embed_component_metadata};

use crate::{Outcome, bundle};

/// `policies/examples/<name>`, as `make bench` builds it.
pub(crate) fn example(name: &str) -> Outcome<Vec<u8>> {
    let file = format!("{}.wasm", name.replace('-', "_"));
    let path = bundle::target()?.join("policies/wasm32-unknown-unknown/release");
    std::fs::read(path.join(file))
        .map_err(|why| format!("the example {name} is not built: run `make bench`: {why}").into())
}

/// `policies/hostile/<name>.wat`.
pub(crate) fn hostile(name: &str) -> Outcome<Vec<u8>> {
    let path = format!("policies/hostile/{name}.wat");
    module(&std::fs::read_to_string(path)?)
}

/// What the compiler is busy with until its time is over: each function is about
/// as large as one may be, with a thousand locals that are all alive.
pub(crate) fn bomb() -> Outcome<Vec<u8>> {
    const LOCALS: usize = 1_000;
    let mut function = String::from("(func");
    for _ in 0..LOCALS {
        function.push_str(" (local i32)");
    }
    // Of 16 bytes at most, 62 KiB together.
    for nth in 0..(62 << 10) / 16 {
        let [a, b, c] = [nth, nth * 7 + 1, nth * 13 + 5].map(|local| local % LOCALS);
        write!(
            function,
            "(if (local.get {b}) (then (local.set {a} (i32.add (local.get {b}) (local.get {c})))))"
        )?;
    }
    function.push(')');
    module(&format!(
        r#"(module (memory (export "memory") 17)
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
             (func (export "decide") (param i32) (result i32) (i32.const 2048)) {})"#,
        function.repeat(16)
    ))
}

/// The same module under another digest: a custom section more, which says nothing.
pub(crate) fn numbered(module: &[u8], number: u32) -> Vec<u8> {
    let mut module = module.to_vec();
    // Section 0 of 11 bytes: a name of six, and the number.
    module.extend([0, 11, 6]);
    module.extend(b"number");
    module.extend(number.to_le_bytes());
    module
}

/// A core module of text, with the metadata of the world `policy`.
fn module(text: &str) -> Outcome<Vec<u8>> {
    let mut module = wat::parse_str(text)?;
    let wit = std::fs::read_to_string("policies/sdk/wit/policy.wit")?;
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("policy.wit", &wit)?;
    let world = resolve.select_world(&[package], Some("policy"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}
