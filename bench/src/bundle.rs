//! How large the edge's bundle is when it is sent.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::Outcome;

/// The target folder: this program is in `<target>/<profile>/`.
pub(crate) fn target() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program
        .ancestors()
        .nth(2)
        .ok_or("there is no target folder")?;
    Ok(folder.to_owned())
}

/// The bytes of all scripts and of the WebAssembly, after `gzip -9`.
pub(crate) async fn gzipped() -> Outcome<usize> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(target()?.join("edge-bundle"))? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("js" | "mjs" | "wasm")) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err("the edge has not been bundled: run `make bench`".into());
    }
    let gzip = Command::new("gzip")
        .args(["-9", "--to-stdout"])
        .args(files)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    match gzip.status.success() {
        true => Ok(gzip.stdout.len()),
        false => Err("gzip failed".into()),
    }
}
