//! What is uploaded: what passes, and a clear word for everything that does not.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use agentidp_core::policy::{CompileError, Decision, Denial};

use super::Sandbox;
use crate::support::modules::{component_of, core_module, core_module_of, policy};
use crate::support::root;

/// A body that denies with the eight letters at 65000, where no request is put.
const DENIES: &str = "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 65000)) (i32.store (i32.const 2056) (i32.const 8)) (i32.const 2048)";
const LETTERS: &str = r#"(data (i32.const 65000) "not you.")"#;

/// One that says no.
fn denying() -> String {
    policy(DENIES, LETTERS)
}

/// A function with `locals` locals whose code, of about `bytes` bytes, keeps all of
/// them alive.
fn one_function(locals: usize, bytes: usize) -> String {
    let mut code = String::from("(func");
    for _ in 0..locals {
        code.push_str(" (local i32)");
    }
    // Of 18 bytes at most.
    for nth in 0..bytes / 18 {
        let (a, b, c) = (
            nth % locals,
            (nth * 7 + 1) % locals,
            (nth * 13 + 5) % locals,
        );
        write!(
            code,
            "(if (local.get {b}) (then (local.set {a} (i32.add (local.get {b}) (local.get {c})))))"
        )
        .unwrap();
    }
    code + ")"
}

fn nested(depth: usize, open: &str, close: &str) -> String {
    format!("(func {}{})", open.repeat(depth), close.repeat(depth))
}

fn jump_table(targets: usize) -> String {
    let targets = " 0".repeat(targets);
    format!("(func (param i32) (block (br_table{targets} (local.get 0))))")
}

/// What a module of each kind is told.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = core_module(&denying());
    let whole = component_of(&good);
    let with = |more: &str| core_module(&policy("(i32.const 2048)", more));
    let mut huge = good.clone();
    huge.resize((1 << 20) + 1, 0);
    let importing = r#"(module
      (import "env" "now" (func (result i64)))
      (memory (export "memory") 17)
      (func (export "decide") (param i32) (result i32) (i32.const 2048)))"#;
    let wasi = "package wasi:clocks@0.2.0; interface wall-clock { now: func() -> u64; }
      world policy { import wall-clock; export decide: func() -> u32; }";
    let wasi_module = r#"(module
      (import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (result i64)))
      (memory (export "memory") 1)
      (func (export "decide") (result i32) (i32.wrap_i64 (call $now))))"#;
    let wasi = component_of(&core_module_of(wasi_module, wasi, "policy"));
    let judge = "package other:policy@1.0.0; world policy { export judge: func() -> u32; }";
    let judge = core_module_of(
        r#"(module (memory (export "memory") 1) (func (export "judge") (result i32) (i32.const 0)))"#,
        judge,
        "policy",
    );
    let shape = "package other:policy@1.0.0; world policy { export decide: func() -> u32; }";
    let shape = core_module_of(
        r#"(module (memory (export "memory") 1) (func (export "decide") (result i32) (i32.const 0)))"#,
        shape,
        "policy",
    );
    vec![
        ("nothing", Vec::new(), "is empty"),
        ("a text", b"(module)".to_vec(), "not a WebAssembly"),
        (
            "an image",
            b"\x89PNG\r\n\x1a\n0000".to_vec(),
            "not a WebAssembly",
        ),
        ("a head", good[..8].to_vec(), "no WIT metadata"),
        ("three bytes", good[..3].to_vec(), "not a WebAssembly"),
        ("a half", good[..good.len() / 2].to_vec(), "cannot be read"),
        (
            "half a component",
            whole[..whole.len() / 2].to_vec(),
            "cannot be read",
        ),
        ("more than 1 MiB", huge, "at most 1048576 are allowed"),
        (
            "an import",
            wat::parse_str(importing).unwrap(),
            "imports `env.now`",
        ),
        (
            "a clock",
            wasi.clone(),
            "imports `wasi:clocks/wall-clock@0.2.0`",
        ),
        (
            "no metadata",
            wat::parse_str(denying()).unwrap(),
            "no WIT metadata",
        ),
        ("another name", judge.clone(), "exports `memory`, `judge`"),
        (
            "another name in a component",
            component_of(&judge),
            "exports `judge`",
        ),
        ("another shape", shape.clone(), "not valid"),
        (
            "another shape in a component",
            component_of(&shape),
            "not valid",
        ),
        (
            "no export",
            wat::parse_str("(component)").unwrap(),
            "exports nothing",
        ),
        (
            "components in components",
            wat::parse_str("(component (component))").unwrap(),
            "components in components",
        ),
        (
            "a gigabyte",
            wat::parse_str("(module (memory 16384))").unwrap(),
            "16384 pages",
        ),
        ("two memories", with("(memory 1)"), "2 memories"),
        (
            "a shared memory",
            wat::parse_str("(module (memory 1 2 shared))").unwrap(),
            "shared",
        ),
        (
            "a memory of 64 bits",
            wat::parse_str("(module (memory i64 1))").unwrap(),
            "64 bits",
        ),
        (
            "a huge table",
            with("(table 10000001 funcref)"),
            "10000001 elements",
        ),
        ("an exception", with("(tag)"), "exceptions"),
        ("a struct", with("(type (struct))"), "garbage-collected"),
        (
            "340,000 functions",
            with(&"(func)".repeat(340_000)),
            "at most 1048576 are allowed",
        ),
        (
            "250,000 functions",
            with(&"(func)".repeat(250_000)),
            "250002 functions",
        ),
        (
            "one function of 256 KiB with 1,000 locals",
            with(&one_function(1_000, 400 << 10)),
            "bytes of code in one function",
        ),
        (
            "50,000 locals",
            with(&format!("(func {})", "(local i32)".repeat(50_000))),
            "50000 local variables",
        ),
        (
            "deeply nested blocks",
            with(&nested(50_000, "block ", "end ")),
            "bytes of code in one function",
        ),
        (
            "a huge jump table",
            with(&jump_table(300_000)),
            "bytes of code in one function",
        ),
        ("what is no code", with("(func (result i32))"), "not valid"),
    ]
}

#[tokio::test]
async fn whatever_is_no_policy_is_told_why_before_long() {
    let sandbox = Sandbox::start().await;
    for (what, module, word) in refused() {
        let (compiled, took, grown) = sandbox.upload(&module).await;
        println!("{what}: {compiled:?}, {took:?}, {grown} KiB");
        let Err(CompileError::Refused(refused)) = compiled else {
            panic!("{what}: {compiled:?}");
        };
        let said = refused.to_string();
        assert!(said.contains(word), "{what}: {said}");
        assert!(said.len() < 600 && said.ends_with('.'), "{what}: {said}");
        assert!(took < Duration::from_secs(3), "{what}: {took:?}");
        assert!(grown < 8 << 10, "{what}: {grown} KiB");
    }
    sandbox.deployment.is_well().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_just_within_the_limits_compiles_or_is_stopped_and_the_service_does_not_notice() {
    let sandbox = Sandbox::start().await;
    let with = |more: &str| core_module(&policy(DENIES, &format!("{LETTERS}{more}")));
    let small = one_function(100, 400);
    let just = [
        (
            "a function of 60 KiB with 1,000 locals",
            with(&one_function(1_000, 58 << 10)),
        ),
        (
            "sixteen of them",
            with(&one_function(1_000, 58 << 10).repeat(16)),
        ),
        (
            "blocks, 20,000 deep",
            with(&nested(20_000, "block ", "end ")),
        ),
        ("loops, 20,000 deep", with(&nested(20_000, "loop ", "end "))),
        (
            "conditions, 15,000 deep",
            with(&nested(15_000, "i32.const 1 if ", "end ")),
        ),
        ("a jump table of 60,000", with(&jump_table(60_000))),
        (
            "ten jump tables of 60,000",
            with(&jump_table(60_000).repeat(10)),
        ),
        ("1,500 functions", with(&small.repeat(1_500))),
        (
            "9,000 functions",
            with(&"(func (result i32) (i32.const 1))".repeat(9_000)),
        ),
    ];
    let mut unseen = 0;
    for (what, module) in just {
        let (compiled, took, grown) = sandbox.upload(&module).await;
        println!("{what}: {compiled:?}, {took:?}, {grown} KiB");
        match compiled {
            Ok(()) => {
                let verdict = sandbox.ask(&sandbox.put(&module).await).await;
                let denied = Decision::Deny(Denial::Said("not you.".to_owned()));
                assert_eq!(verdict.decision, denied, "{what}");
            }
            Err(CompileError::Refused(refused)) => {
                let said = refused.to_string();
                let clear = [
                    "too long",
                    "too much memory",
                    "machine code",
                    "too deep",
                    "1 MiB",
                    "at most",
                ];
                assert!(
                    clear.iter().any(|part| said.contains(part)),
                    "{what}: {said}"
                );
            }
            // A machine that is busy with other things: another try may do.
            Err(CompileError::Unavailable) => unseen += 1,
            Err(error) => panic!("{what}: {error:?}"),
        }
        assert!(took < Duration::from_secs(17), "{what}: {took:?}");
        assert!(grown < 64 << 10, "{what}: {grown} KiB");
    }
    assert!(unseen <= 2, "{unseen} were not looked at");
    sandbox.deployment.is_well().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_module_and_its_component_both_decide_and_hostile_ones_deny_and_then_rest() {
    let sandbox = Sandbox::start().await;
    let module = core_module(&denying());
    for module in [module.clone(), component_of(&module)] {
        let (compiled, took, grown) = sandbox.upload(&module).await;
        println!("{took:?}, {grown} KiB");
        compiled.unwrap();
        let verdict = sandbox.ask(&sandbox.put(&module).await).await;
        let denied = Decision::Deny(Denial::Said("not you.".to_owned()));
        assert_eq!(verdict.decision, denied);
        assert!((1..1_000).contains(&verdict.fuel), "{}", verdict.fuel);
    }
    let folder = std::fs::read_dir(root().join("policies/hostile")).unwrap();
    let (mut hostile, mut rested) = (0, 0);
    for entry in folder {
        let path = entry.unwrap().path();
        let module = core_module(&std::fs::read_to_string(&path).unwrap());
        sandbox.upload(&module).await.0.unwrap();
        let module = sandbox.put(&module).await;
        for time in 1..=4 {
            let begun = Instant::now();
            let verdict = sandbox.ask(&module).await;
            let Decision::Deny(Denial::Failed(why)) = verdict.decision else {
                panic!("{}: {:?}", path.display(), verdict.decision);
            };
            // A slow machine may take longer than the rest.
            let rests = why.contains("3 times in a row");
            assert!(time == 4 || !rests, "{}: {why}", path.display());
            assert_eq!(rests, verdict.fuel == 0, "{}: {why}", path.display());
            // Whoever asks what rests is not answered faster than others are served.
            assert!(!rests || begun.elapsed() >= Duration::from_millis(100));
            rested += u32::from(rests);
        }
        hostile += 1;
    }
    assert!(
        hostile >= 10 && rested > hostile / 2,
        "{rested} of {hostile}"
    );
    sandbox.stop().await;
}

/// One that the compiler is busy with for seconds.
pub fn slow() -> Vec<u8> {
    let functions = one_function(1_000, 58 << 10).repeat(16);
    core_module(&policy(DENIES, &format!("{LETTERS}{functions}")))
}
