//! The runtime under test on a private root, driven by its command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::binaries;
use crate::bundle::Bundle;
use crate::host::Host;
use crate::process::{Done, code, eventually, run, wait};

/// A runtime whose state lies in a host of its own. Dropping it deletes every container.
#[derive(Debug)]
pub struct Runtime {
    host: Host,
    binary: PathBuf,
}

impl Runtime {
    /// A runtime without containers.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self { host: Host::new(), binary: binaries::runtime() }
    }

    /// One with a binary that nobody else runs.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    #[track_caller]
    pub fn on_a_copy() -> Self {
        let host = Host::new();
        let binary = host.path("runtime-copy");
        // Not by this process: a child of another thread would keep the copy open for writing, and so from running.
        run(Command::new("cp").arg(binaries::runtime()).arg(&binary)).ok();
        Self { host, binary }
    }

    /// The binary under test.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Where it works.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A container's ID that is unique on this machine.
    #[must_use]
    pub fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.host.name())
    }

    /// A bundle that runs `script`.
    #[must_use]
    pub fn bundle(&self, name: &str, script: &str) -> Bundle {
        Bundle::new(&self.host, name, script)
    }

    /// The bundle `name` anew, without making its root file system anew.
    #[must_use]
    pub fn bundle_again(&self, name: &str, script: &str) -> Bundle {
        Bundle::again(&self.host, name, script)
    }

    /// The runtime's command line.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(self.host.path("runtime")).args(arguments);
        command
    }

    /// Runs the runtime to its end with piped streams.
    #[track_caller]
    pub fn call(&self, arguments: &[&str]) -> Done {
        run(&mut self.command(arguments))
    }

    /// `run` in the foreground.
    ///
    /// # Panics
    /// When the bundle's path is not UTF-8.
    #[track_caller]
    pub fn run(&self, id: &str, bundle: &Bundle) -> Done {
        self.call(&["run", "--bundle", bundle.folder().to_str().expect("UTF-8"), id])
    }

    /// `create`, with the container's output in `OUTPUT` of the host's folder: a waiting init keeps its streams open.
    ///
    /// # Panics
    /// When the runtime refuses.
    #[track_caller]
    pub fn create(&self, id: &str, bundle: &Bundle) {
        let output = fs::File::create(self.output_path(id)).expect("make the output file");
        let errors = fs::File::create(self.host.path(format!("{id}.err"))).expect("make the error file");
        let mut child = self
            .command(&["--log", self.host.path("log").to_str().expect("UTF-8"), "create", "--bundle"])
            .arg(bundle.folder())
            .arg(id)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("start the runtime");
        let status = wait(&mut child, crate::process::DEADLINE).expect("create ends");
        let log = fs::read_to_string(self.host.path("log")).unwrap_or_default();
        assert_eq!(code(status), 0, "create {id}: {log}");
    }

    fn output_path(&self, id: &str) -> std::path::PathBuf {
        self.host.path(format!("{id}.out"))
    }

    /// What a created container wrote so far.
    #[must_use]
    pub fn output(&self, id: &str) -> String {
        fs::read_to_string(self.output_path(id)).unwrap_or_default()
    }

    /// The state document.
    ///
    /// # Panics
    /// When there is no such container.
    #[must_use]
    #[track_caller]
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.call(&["state", id]).ok()).expect("state is JSON")
    }

    /// The status in the state document.
    #[must_use]
    #[track_caller]
    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the container has `status`.
    #[track_caller]
    pub fn wait_for(&self, id: &str, status: &str) {
        eventually(&format!("{id} is {status}"), || self.status(id) == status);
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.host.path("runtime")).into_iter().flatten().flatten() {
            if let Some(id) = entry.file_name().to_str() {
                self.call(&["delete", "--force", id]);
            }
        }
    }
}
