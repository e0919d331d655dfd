//! The disk under Postgres is full: nothing is issued that could not be written
//! down, and the service goes on when there is room again.

use std::fs::{File, remove_file};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agentidp_core::dev::postgres::Home;
use agentidp_verify::Algorithm;
use reqwest::StatusCode;
use sqlx::{Connection as _, PgConnection};

use crate::support::Deployment;
use crate::support::load::{Answer, Load, Outcome};
use crate::support::stores::Stores;

/// Enough for a new cluster and a database, in MB.
const SIZE_MB: u32 = 192;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_every_issuance_and_records_nothing_wrong() {
    let home = Home::temporary().unwrap();
    let disk = Disk::mount(home.path());
    let mut stores = Stores::start_in(home).await;
    let deployment = Deployment::start_with(Algorithm::EdDSA, &stores.settings()).await;
    let minute = "requests_per_minute";
    deployment.set_tier("enterprise", minute, None).await;
    let tenant = deployment.tenant("enterprise").await;
    let mut answers: Vec<Answer> = Vec::new();

    // First the tables cannot grow, then the log that everything is written to.
    for (full, in_log) in [("the tables'", false), ("the log's", true)] {
        let load = Load::start(&deployment, &tenant.agent, 16);
        load.more(200).await;
        disk.fill();
        if in_log {
            end_of_the_log(&stores.postgres.url).await;
        }
        nobody_is_served(&load).await;
        let begun = Instant::now();
        // A small event may still find room where a larger one did not; then none does.
        let mut served = load.tokens();
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            if load.tokens() == served {
                break;
            }
            served = load.tokens();
            let why = "a token with no room for its event";
            assert!(begun.elapsed() < Duration::from_secs(15), "{why}");
        }
        let health = deployment.http.get(format!("{}/health", deployment.url));
        assert_eq!(health.send().await.unwrap().status(), StatusCode::OK);

        disk.make_room();
        let (freed, mut gave_up) = (Instant::now(), false);
        while load.tokens() == served {
            // Without room for its log it does.
            if stores.postgres.has_ended() {
                gave_up = true;
                stores.postgres.start().await;
            }
            assert!(freed.elapsed() < Duration::from_secs(20), "it stays full");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let served_again = freed.elapsed();
        load.more(200).await;
        println!(
            "{full} disk was full for {:?}, Postgres gave up: {gave_up}; \
             served again after {served_again:?}",
            freed - begun
        );
        answers.extend(load.stop().await);
    }
    for answer in &answers {
        assert!(
            answer.took < Duration::from_millis(2_400),
            "{:?}",
            answer.took
        );
        match &answer.outcome {
            Outcome::Token(_) => {}
            Outcome::Refused {
                status,
                retry_after,
                body,
            } => {
                assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
                assert_eq!(body["error"], "temporarily_unavailable");
                assert!(retry_after.is_some());
            }
            Outcome::Nothing => panic!("a connection broke off"),
        }
    }
    let log = std::fs::read_to_string(deployment.log()).unwrap();
    assert!(log.contains("Unexpected pg pool error "), "{log}");
    println!("{:?}", deployment.accounts(&tenant, &answers).await);
    deployment.stop().await;
    stores.postgres.stop().await;
    stores.redis.stop().await;
}

/// Waits until there is no more room.
async fn nobody_is_served(load: &Load) {
    let begun = Instant::now();
    loop {
        let before = load.tokens();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if load.tokens() == before {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it never is full"
        );
    }
}

/// Has Postgres begin new files of its log until there is no room for one.
async fn end_of_the_log(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let switches = async {
        let switch = "SELECT pg_switch_wal()";
        while sqlx::query(switch).execute(&mut connection).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), switches)
        .await
        .expect("no end of the log");
}

/// A small disk, as long as this lives.
struct Disk(PathBuf);

impl Disk {
    /// Mounts it over an empty folder, for the folder's owner.
    fn mount(folder: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let owner = std::fs::metadata(folder).unwrap();
        let options = format!(
            "size={SIZE_MB}m,mode=0700,uid={},gid={}",
            owner.uid(),
            owner.gid()
        );
        let mounted = as_root("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "a disk to fill cannot be mounted: run the tests as root, or let `sudo -n mount` work"
        );
        Self(folder.to_owned())
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let zeros = [0; 4096];
        while ballast.write_all(&zeros).is_ok() {}
    }

    fn make_room(&self) {
        remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still runs there keeps it until it ends.
        let _ = as_root("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}
