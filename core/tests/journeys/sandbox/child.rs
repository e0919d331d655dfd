//! The process that compiles has nothing that a module could want, and ends.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::support::{BINARY, stores};

/// A compiler that waits for its module, started by somebody careless.
async fn waiting() -> (Child, u32) {
    let file = std::fs::File::open("/proc/self/status").unwrap();
    fcntl_setfd(&file, FdFlags::empty()).unwrap();
    let child = Command::new(BINARY)
        .arg("compile-policy")
        .env("JWT_PRIVATE_KEY", "a key that it should not have")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let process = child.id().unwrap();
    for _ in 0..500 {
        // It cannot be traced any more: the last thing before it reads.
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        if limits.contains("Max processes             0 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (child, process)
}

/// A line of `/proc/<process>/<file>`, its words after the name.
fn words(process: u32, file: &str, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_compiler_has_no_environment_no_files_and_limits() {
    let (mut child, process) = waiting().await;
    let limit = |name: &str| words(process, "limits", name)[..2].join(" ");
    assert_eq!(limit("Max cpu time"), "5 6");
    assert_eq!(limit("Max address space"), format!("{0} {0}", 512 << 20));
    assert_eq!(limit("Max file size"), "0 0");
    assert_eq!(limit("Max core file size"), "0 0");
    assert_eq!(limit("Max open files"), "8 8");
    assert_eq!(limit("Max processes"), "0 0");
    assert_eq!(words(process, "status", "NoNewPrivs:"), ["1"]);
    // One thread.
    assert_eq!(words(process, "status", "Threads:"), ["1"]);
    let nice = words(process, "stat", "");
    assert_eq!(nice[18], "5");

    let environment = std::fs::read(format!("/proc/{process}/environ"));
    let open = std::fs::read_dir(format!("/proc/{process}/fd"));
    if rustix::process::geteuid().is_root() {
        assert_eq!(environment.unwrap(), b"");
        let open: HashSet<String> = open
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(open, ["0", "1", "2"].map(str::to_owned).into());
    } else {
        // Not dumpable: nobody else under this user may look.
        assert!(environment.is_err() && open.is_err());
    }

    // It lives for its module alone.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"no module").await.unwrap();
    drop(stdin);
    let mut answer = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer[0], b'r', "{answer:?}");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_compiler_ends_with_the_service_that_started_it() {
    let sandbox = super::Sandbox::start().await;
    let service = sandbox.deployment.core_id();
    let begun = Instant::now();
    // The service itself compiles: a tier gets a module that takes a while.
    let module = super::uploads::slow();
    let digest = sandbox.put(&module).await;
    sqlx::query("UPDATE tiers SET module_digest = $1 WHERE tier = 'pro'")
        .bind(&digest)
        .execute(&sandbox.deployment.pool)
        .await
        .unwrap();
    let tenant = sandbox.deployment.tenant_without_tokens("pro").await;
    let asking = sandbox.deployment.ask_token(&tenant, &[]);
    let watching = async {
        loop {
            let children = std::fs::read_dir(format!("/proc/{service}/task"))
                .unwrap()
                .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
                .collect::<String>();
            let compiler = children.split_whitespace().find_map(|child| {
                let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
                line.contains("limited").then(|| child.parse().unwrap())
            });
            if let Some(compiler) = compiler {
                return compiler;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no compiler");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let asking = async {
        asking.await;
        std::future::pending::<()>().await;
    };
    let compiler: u32 = tokio::select! {
        compiler = watching => compiler,
        () = asking => panic!("over"),
    };
    let mut sandbox = sandbox;
    stores::send(service, Signal::KILL);
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{compiler}/stat"));
        state.map_or(true, |stat| stat.contains(") Z "))
    };
    let begun = Instant::now();
    while !gone() {
        assert!(begun.elapsed() < Duration::from_secs(1), "it lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sandbox.deployment.end_core(Signal::KILL).await;
    sandbox.deployment.start_core().await;
    sandbox.deployment.is_well().await;
    sandbox.stop().await;
}
