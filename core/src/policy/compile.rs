//! Compilation, as whoever waits for it sees it: a child process that is given the
//! module and nothing else, and is ended when it takes too long. Cranelift needs
//! memory and time that a size cap does not bound, so it never runs in the service.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::compile_child::{COMPILED, REFUSED, SUBCOMMAND};
use super::refused::Refused;
use super::traffic::Traffic;

/// How long a compilation may take altogether: its processor time has a limit of
/// its own, this one is for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same of one that gives way.
const LONG_PATIENCE: Duration = Duration::from_secs(30);
/// The most machine code that is taken, in bytes: a module of 1 MiB that is no bomb
/// makes less.
const LARGEST_CODE: u64 = 16 << 20;
/// The longest reason that is taken, in bytes.
const LONGEST_REASON: u64 = 4 << 10;
/// How much is read of what a compiler that broke complains of, in bytes.
const COMPLAINT: u64 = 4 << 10;

/// Why there is no machine code.
#[derive(Debug)]
pub(super) enum Uncompiled {
    /// The module's fault.
    Refused(Refused),
    /// Nobody's: another try may do.
    Failed(String),
}

/// The program that this process runs, though its file may have been replaced.
pub fn this_program() -> PathBuf {
    let image = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && image.exists() {
        return image;
    }
    std::env::current_exe().unwrap_or(image)
}

/// Has `program`, which is this binary, compile a module, which gives way to `traffic`,
/// if that is given.
///
/// # Errors
/// The module is refused, or there is no compiler to be had.
pub(super) async fn compile(
    program: &Path,
    module: &[u8],
    traffic: Option<&Traffic>,
) -> Result<Vec<u8>, Uncompiled> {
    let mut child = Command::new(program)
        .arg(SUBCOMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let gives_way = async {
        if let (Some(pid), Some(traffic)) = (pid, traffic) {
            traffic.stops(pid).await;
        }
        std::future::pending().await
    };
    let patience = traffic.map_or(PATIENCE, |_| LONG_PATIENCE);
    let outcome = tokio::time::timeout(patience, async {
        tokio::select! {
            // First: what was waited for is stopped no more.
            biased;
            outcome = converse(&mut child, module) => outcome,
            never = gives_way => never,
        }
    })
    .await;
    // It has nothing more to say; one that ended is only reaped.
    let _ = child.kill().await;
    // Its processor time has a limit of its own: this is the machine's fault.
    outcome.unwrap_or_else(|_| Err(Uncompiled::Failed("no answer in time".to_owned())))
}

fn failed(error: std::io::Error) -> Uncompiled {
    Uncompiled::Failed(format!("the compiler: {error}"))
}

async fn converse(child: &mut Child, module: &[u8]) -> Result<Vec<u8>, Uncompiled> {
    let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Uncompiled::Failed("the compiler has no pipes".to_owned()));
    };
    let give = async {
        // One that ended early says why by how it ended.
        let _ = stdin.write_all(module).await;
        drop(stdin);
    };
    // With what it reads from: a child that goes on writing is told that nobody reads.
    let take = async move {
        let kind = stdout.read_u8().await?;
        let length = u64::from(stdout.read_u32_le().await?);
        let most = match kind {
            COMPILED => LARGEST_CODE,
            _ => LONGEST_REASON,
        };
        if length > most {
            return Ok((kind, None));
        }
        let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
        stdout.read_exact(&mut payload).await?;
        Ok::<_, std::io::Error>((kind, Some(payload)))
    };
    let listen = async {
        let mut complaint = Vec::new();
        let _ = stderr.take(COMPLAINT).read_to_end(&mut complaint).await;
        String::from_utf8_lossy(&complaint).into_owned()
    };
    let ((), taken, complaint) = tokio::join!(give, take, listen);
    match taken {
        Ok((COMPILED, Some(code))) => Ok(code),
        Ok((COMPILED, None)) => Err(Uncompiled::Refused(Refused::TooMuch {
            what: "bytes of machine code or more",
            has: LARGEST_CODE + 1,
            most: LARGEST_CODE,
        })),
        Ok((REFUSED, Some(reason))) => {
            let reason = String::from_utf8_lossy(&reason).into_owned();
            Err(Uncompiled::Refused(Refused::Invalid(reason)))
        }
        _ => {
            let status = child.wait().await.map_err(failed)?;
            Err(ended(status, &complaint))
        }
    }
}

/// What became of a compiler that gave no answer.
fn ended(status: ExitStatus, complaint: &str) -> Uncompiled {
    let signal = status.signal();
    let by = |wanted: Signal| signal == Some(wanted.as_raw());
    let refused = if by(Signal::XCPU) {
        Refused::TooSlow
    } else if complaint.contains("memory allocation of") {
        Refused::TooHungry
    } else if complaint.contains("overflowed its stack") {
        Refused::TooDeep
    } else if by(Signal::ABORT) || complaint.contains("panicked at") {
        tracing::warn!("a policy makes the compiler fail: {complaint:?}");
        Refused::Breaks
    } else {
        return Uncompiled::Failed(format!("the compiler ended ({status}): {complaint:?}"));
    };
    Uncompiled::Refused(refused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Instant;

    use super::*;

    /// A compiler that does something else.
    async fn with(script: &str) -> Result<Vec<u8>, Uncompiled> {
        let name = format!("agentidp-compiler-{:016x}", rand::random::<u64>());
        let program = std::env::temp_dir().join(name);
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let outcome = compile(&program, &vec![0; 1 << 20], None).await;
        std::fs::remove_file(program).unwrap();
        outcome
    }

    async fn refused_by(script: &str) -> Refused {
        match with(script).await {
            Err(Uncompiled::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_compiler_that_does_not_end_is_ended() {
        let begun = Instant::now();
        // A machine that is busy is no fault of the module's.
        let outcome = with("exec sleep 60").await;
        assert!(matches!(outcome, Err(Uncompiled::Failed(_))), "{outcome:?}");
        assert!(begun.elapsed() < PATIENCE + Duration::from_secs(2));
    }

    #[tokio::test]
    async fn how_a_compiler_ended_is_told_in_the_modules_words() {
        assert_eq!(refused_by("kill -XCPU $$").await, Refused::TooSlow);
        let hungry = "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$";
        assert_eq!(refused_by(hungry).await, Refused::TooHungry);
        let deep = "echo \"thread 'main' has overflowed its stack\" >&2; kill -ABRT $$";
        assert_eq!(refused_by(deep).await, Refused::TooDeep);
        let panicking = "echo \"thread 'main' panicked at x.rs:1:\" >&2; exit 101";
        assert_eq!(refused_by(panicking).await, Refused::Breaks);
        let said = refused_by(r"printf 'r\003\000\000\000bad'").await;
        assert_eq!(said, Refused::Invalid("bad".to_owned()));
        let huge = refused_by(r"printf 'c\377\377\377\177'; exec cat /dev/zero").await;
        assert!(matches!(huge, Refused::TooMuch { .. }), "{huge}");
    }

    #[tokio::test]
    async fn what_is_nobodys_fault_is_no_refusal() {
        for script in [
            "kill -KILL $$",
            "exit 1",
            "exit 0",
            "exec cat /dev/zero",
            r"printf 'c\003\000\000\000'",
            r"printf 'x\003\000\000\000bad'",
            r"printf 'r\377\377\377\177'; exec cat /dev/zero",
        ] {
            let outcome = with(script).await;
            assert!(
                matches!(outcome, Err(Uncompiled::Failed(_))),
                "{script}: {outcome:?}"
            );
        }
        let nobody = compile(Path::new("/nowhere/agentidp"), b"", None).await;
        assert!(matches!(nobody, Err(Uncompiled::Failed(_))), "{nobody:?}");
    }

    #[tokio::test]
    async fn what_a_compiler_answers_is_the_code() {
        let code = with(r"cat > /dev/null; printf 'c\004\000\000\000code'").await;
        assert_eq!(code.unwrap(), b"code");
    }
}
