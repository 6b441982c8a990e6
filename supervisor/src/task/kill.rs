//! Killing shims that are past answering, and what else was started for a task.

use std::path::PathBuf;

use dhow_linux::file::read_limited;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::launch::Launcher;
use crate::slot::Key;
use crate::ttrpc::Client;

/// Kills the shim at the other end of a connection, if its socket tells that it was started for `id`.
pub(crate) fn kill_listener(client: &Client, id: &str) -> bool {
    let is_shim = |pid: &i32| command_has(*pid, &["-id", id]);
    let listener = client.server().filter(is_shim);
    listener.is_some_and(|pid| kill_with_group(Pid::from_raw(pid)).is_ok())
}

/// Kills a shim, and what it started that is no container: a hook may hang for ever.
pub(super) fn kill_with_group(shim: Pid) -> nix::Result<()> {
    let leads = nix::unistd::getpgid(Some(shim)) == Ok(shim);
    if leads { killpg(shim, Signal::SIGKILL) } else { kill(shim, Signal::SIGKILL) }
}

impl Launcher {
    /// Kills every process that this supervisor, or one before it, started with a shim's binary under an id: a `start`
    /// or a `delete` that hangs, a shim that nobody heard of.
    pub(crate) fn kill_started(&self, (namespace, id): &Key) {
        let words =
            ["-namespace", namespace.as_str(), "-id", id, "-address", &self.address.to_string_lossy()];
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids.filter(|&pid| command_has(pid, &words)) {
            tracing::info!(id, pid, "killing what was started for it");
            // It may end by itself meanwhile.
            _ = kill_with_group(Pid::from_raw(pid));
        }
    }
}

/// Whether the process with this pid was started with these words: a pid alone may be another's by now.
fn command_has(pid: i32, words: &[&str]) -> bool {
    let path = PathBuf::from(format!("/proc/{pid}/cmdline"));
    let command = read_limited(&path, 64 << 10).unwrap_or_default();
    let command: Vec<&[u8]> = command.split(|&byte| byte == 0).collect();
    command
        .windows(words.len())
        .any(|window| window.iter().zip(words).all(|(is, want)| *is == want.as_bytes()))
}
