//! The process that compiles: this binary once more, with nothing but a module on
//! its standard input. Before it reads a byte it gives up what it could be misused
//! for, and takes limits that end it. It has no settings, no keys and no files.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::component::Component;

use super::engine::{check, settings};
use super::inspect::inspect;

/// How this binary is told to be the compiler; no part of the command line that
/// people use.
pub(super) const SUBCOMMAND: &str = "compile-policy";
/// The second word, once it has its limits.
const LIMITED: &str = "limited";

/// Processor seconds. The signal of the first can be told from others, the second
/// cannot be caught.
const CPU_S: (u64, u64) = (5, 6);
/// Address space, in bytes: the binary's own, and what Cranelift needs.
const ADDRESS_SPACE: u64 = 512 << 20;
/// The three pipes, and a few for the loader of shared libraries.
const FILES: u64 = 8;
/// Others go first.
const NICE: i32 = 5;
/// What a component may come to, made of a module with its metadata: more than
/// anybody can upload.
const LARGEST_COMPONENT: usize = 4 << 20;
/// How much of a reason goes to the parent, in characters.
const LONGEST_REASON: usize = 400;

/// What the parent reads: one of these, the payload's length (32 bits, little
/// endian), the payload.
pub(super) const COMPILED: u8 = b'c';
/// The payload is a reason.
pub(super) const REFUSED: u8 = b'r';

/// Is the compiler where the command line says so: to be called before anything
/// else happens in a process.
pub fn compiler() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != SUBCOMMAND {
        return None;
    }
    let done = match arguments.next() {
        Some(word) if word == LIMITED => compile(),
        _ => limit(),
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    })
}

/// Takes the limits, and begins anew with them: what was allocated until here
/// would count, and what was open stays behind.
fn limit() -> std::io::Result<()> {
    let both = |most| Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    let cpu = Rlimit {
        current: Some(CPU_S.0),
        maximum: Some(CPU_S.1),
    };
    close_on_exec()?;
    setrlimit(Resource::Cpu, cpu)?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(0))?;
    setrlimit(Resource::Nofile, both(FILES))?;
    #[cfg(target_os = "linux")]
    {
        setrlimit(Resource::As, both(ADDRESS_SPACE))?;
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        rustix::thread::set_no_new_privs(true)?;
    }
    rustix::process::nice(NICE)?;
    let mut again = std::process::Command::new(super::compile::this_program());
    let again = again.args([SUBCOMMAND, LIMITED]).env_clear();
    Err(std::os::unix::process::CommandExt::exec(again))
}

/// Whatever a careless ancestor left open is closed with this program.
#[allow(
    unsafe_code,
    reason = "a descriptor that is not this process's own has no safe name"
)]
fn close_on_exec() -> std::io::Result<()> {
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let open: Vec<i32> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // SAFETY: the descriptor is used for one call, which fails where it is closed,
        // as the one of the directory itself is by now.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
        let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
    }
    Ok(())
}

/// Reads a module, answers with its machine code or with a reason.
fn compile() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        setrlimit(Resource::Nproc, none)?;
    }
    let mut module = Vec::new();
    let most = LARGEST_COMPONENT as u64;
    std::io::stdin().take(most).read_to_end(&mut module)?;
    let (kind, payload) = match machine_code(&module) {
        Ok(code) => (COMPILED, code),
        Err(reason) => (REFUSED, reason.into_bytes()),
    };
    let length = u32::try_from(payload.len()).map_err(std::io::Error::other)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&[kind])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&payload)?;
    out.flush()
}

/// A component's machine code, or a core module's that says by its metadata what
/// component it makes.
fn machine_code(module: &[u8]) -> Result<Vec<u8>, String> {
    let made;
    let component = if wasmparser::Parser::is_component(module) {
        module
    } else {
        made = wit_component::ComponentEncoder::default()
            .validate(true)
            .module(module)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| reason(error.chain()))?;
        inspect(&made, LARGEST_COMPONENT).map_err(|refused| reason([refused]))?;
        &made
    };
    let compiled = || {
        let engine = wasmtime::Engine::new(&settings())?;
        let component = Component::from_binary(&engine, component)?;
        check(&engine, &component)?;
        component.serialize()
    };
    compiled().map_err(|error: wasmtime::Error| reason(error.chain()))
}

/// Causes in one line, without what would break it.
fn reason(causes: impl IntoIterator<Item = impl ToString>) -> String {
    let causes: Vec<String> = causes.into_iter().map(|cause| cause.to_string()).collect();
    causes
        .join(": ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .trim_end_matches('.')
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(LONGEST_REASON)
        .collect()
}
