//! Processes that must not outlive this one.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::DevError;

/// How long a process may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// A process that ends with this one: on Linux whatever ends this one, elsewhere
/// where this one can still stop it.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    stop_signal: rustix::process::Signal,
}

impl Child {
    /// Starts `command` with its output in the file `log`. Must be called on the
    /// main thread: on Linux the process gets `stop_signal` when the thread that
    /// started it ends.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        mut command: Command,
        log: &Path,
        stop_signal: rustix::process::Signal,
    ) -> Result<Self, DevError> {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log);
        let file = file.map_err(|error| DevError(format!("{}: {error}", log.display())))?;
        let copy = file.try_clone().map_err(DevError::new)?;
        command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .kill_on_drop(true);
        // Ctrl-C goes to the whole group: this process stops its children itself,
        // in order.
        command.process_group(0);
        end_with_parent(&mut command, stop_signal);
        let program = command.as_std().get_program().to_owned();
        let process = command
            .spawn()
            .map_err(|error| DevError(format!("{}: {error}", program.display())))?;
        Ok(Self {
            process,
            stop_signal,
        })
    }

    /// Its process id, until it has ended.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Done when it has ended.
    pub async fn ended(&mut self) {
        let _ = self.process.wait().await;
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Tells it to stop, and waits.
    pub async fn stop(mut self) {
        let pid = self
            .process
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, self.stop_signal);
        }
        if tokio::time::timeout(STOP_PATIENCE, self.process.wait())
            .await
            .is_err()
        {
            let _ = self.process.kill().await;
        }
    }
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "what runs between fork and exec is one async-signal-safe system call"
)]
fn end_with_parent(command: &mut Command, signal: rustix::process::Signal) {
    let parent = std::process::id();
    // After the change of user, which would clear it.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // The parent may have ended before the line above.
            if std::os::unix::process::parent_id() != parent {
                return Err(std::io::Error::from(std::io::ErrorKind::Interrupted));
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command, _: rustix::process::Signal) {}

/// Done when the parent of this process has gone. A process that had none to
/// begin with is nobody's orphan.
pub(super) fn orphaned() -> impl Future<Output = ()> {
    let parent = std::os::unix::process::parent_id();
    async move {
        while parent == 1 || std::os::unix::process::parent_id() == parent {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
