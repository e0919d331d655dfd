//! The folder that `dev` keeps: locked by one process at a time, and closed to
//! everybody else.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::DevError;
use super::postgres::Home;
use crate::keys::GeneratedPair;

/// Where databases go that cannot live in the folder: one that only root may
/// reach is closed to the user that Postgres runs as.
const SYSTEM_HOME: &str = "/var/lib/agentidp";

/// The folder, held by this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, DevError> {
        let at = |error: std::io::Error| DevError(format!("{}: {error}", path.display()));
        fs::create_dir_all(path).map_err(at)?;
        let path = fs::canonicalize(path).map_err(at)?;
        // Root runs Postgres as another user, who has to get through here.
        let mode = if rustix::process::geteuid().is_root() {
            0o711
        } else {
            0o700
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(at)?;
        let lock = File::create(path.join("lock")).map_err(at)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            DevError(format!(
                "{} is in use by another `agentidp dev`: stop that one first",
                path.display()
            ))
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the edge's objects keep their counts.
    pub(super) fn edge_objects(&self) -> Result<PathBuf, DevError> {
        let path = self.file("edge-objects");
        fs::create_dir_all(&path).map_err(DevError::new)?;
        Ok(path)
    }

    /// Writes a file that nobody else may read, whole or not at all.
    pub(super) fn write_private(&self, name: &str, text: &str) -> Result<(), DevError> {
        let at = |error: std::io::Error| DevError(format!("{name}: {error}"));
        let new = self.file(&format!("{name}.new"));
        let _ = fs::remove_file(&new);
        write_new(&new, text).map_err(at)?;
        fs::rename(&new, self.file(name)).map_err(at)
    }

    /// The signing pair, made at the first start.
    pub(super) fn keys(
        &self,
        make: impl FnOnce() -> Result<GeneratedPair, DevError>,
    ) -> Result<GeneratedPair, DevError> {
        let read = |name: &str| fs::read_to_string(self.file(name)).ok();
        if let (Some(private), Some(public)) = (read("jwt-private.pem"), read("jwt-public.pem")) {
            return Ok(GeneratedPair { private, public });
        }
        let pair = make()?;
        self.write_private("jwt-public.pem", &pair.public)?;
        self.write_private("jwt-private.pem", &pair.private)?;
        Ok(pair)
    }

    /// Where Postgres lives, and as whom it runs.
    pub(super) fn database_home(&self) -> Result<Home, DevError> {
        let Some(user) = super::postgres::unprivileged_user()? else {
            return Home::make(self.file("postgres"), None);
        };
        let path = if self.path.ancestors().all(is_open) {
            self.file("postgres")
        } else {
            // Named by this folder's own identity, and known here.
            let pointer = self.file("postgres-home");
            match fs::read_to_string(&pointer) {
                Ok(path) => PathBuf::from(path.trim_end()),
                Err(_) => {
                    let path =
                        Path::new(SYSTEM_HOME).join(format!("{:016x}", rand::random::<u64>()));
                    self.write_private("postgres-home", &path.display().to_string())?;
                    path
                }
            }
        };
        if let Some(parent) = path.parent().filter(|parent| *parent != self.path) {
            fs::create_dir_all(parent).map_err(DevError::new)?;
            fs::set_permissions(parent, fs::Permissions::from_mode(0o711))
                .map_err(DevError::new)?;
        }
        let home = Home::make(path, Some(user))?;
        chown(&home.path, Some(user.uid), Some(user.gid)).map_err(DevError::new)?;
        Ok(home)
    }
}

/// Writes a new file with mode 0600.
pub(super) fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whether anybody may pass through.
fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
}
