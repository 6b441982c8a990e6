//! Answers of the daemon that are archives, written to a file or to standard output.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::client::Reply;
use crate::error::Failure;
use crate::output::put_bytes;
use crate::terminal;

/// Where an archive goes.
#[derive(Debug)]
pub(super) enum Target {
    /// Standard output, which is no terminal.
    Stdout,
    /// A file, which appears when it is whole.
    File(PathBuf),
}

impl Target {
    /// The file `output`, or standard output when that is empty.
    pub(super) fn new(output: &str) -> Result<Self, Failure> {
        if output.is_empty() {
            if terminal::stdout_is_terminal() {
                return Err("cowardly refusing to save to a terminal. Use the -o flag or redirect".into());
            }
            return Ok(Self::Stdout);
        }
        let path = Path::new(output);
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        if path.is_dir() || directory.is_some_and(|directory| !directory.is_dir()) {
            let directory = directory.unwrap_or(path).display();
            return Err(format!("invalid output path: directory \"{directory}\" does not exist").into());
        }
        Ok(Self::File(path.to_path_buf()))
    }

    /// Writes the body of `reply`.
    pub(super) async fn save(self, mut reply: Reply) -> Result<(), Failure> {
        let Self::File(path) = self else {
            while let Some(chunk) = reply.chunk().await? {
                put_bytes(&chunk)?;
            }
            return Ok(());
        };
        let failed = |error: std::io::Error| Failure::io(format!("write {}", path.display()), &error);
        // What is no plain file (a pipe, /dev/null) is written in place.
        let special = std::fs::metadata(&path).is_ok_and(|found| !found.is_file());
        let draft = if special { path.clone() } else { draft_of(&path) };
        let written = write(&draft, special, &mut reply).await;
        if written.is_err() && !special {
            drop(std::fs::remove_file(&draft));
        }
        written?;
        if special { Ok(()) } else { std::fs::rename(&draft, &path).map_err(failed) }
    }
}

fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".tmp-{name}{}", std::process::id()))
}

async fn write(path: &Path, special: bool, reply: &mut Reply) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io(format!("write {}", path.display()), &error);
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    let mut file: File =
        if special { options.open(path) } else { options.create_new(true).open(path) }.map_err(failed)?;
    while let Some(chunk) = reply.chunk().await? {
        file.write_all(&chunk).map_err(failed)?;
    }
    Ok(())
}
