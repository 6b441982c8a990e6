//! Podman on the runtime under test: no daemon, a private store, images made on the spot.

use std::path::PathBuf;
use std::process::Command;

use crate::host::Host;
use crate::process::{Done, run};
use crate::{binaries, busybox};

/// A podman whose containers, images and state lie in a host of its own. Dropping it removes every container.
#[derive(Debug)]
pub struct Podman {
    host: Host,
}

impl Podman {
    /// One with an image `busybox`.
    ///
    /// # Panics
    /// When podman is not installed.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let podman = Self { host: Host::new() };
        let archive = busybox::tar(&podman.host.folder("images"));
        podman.call(&["import", "--quiet", archive.to_str().expect("UTF-8"), "busybox:latest"]).ok();
        podman
    }

    /// Where it works.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A podman command on the runtime under test.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_on(binaries::runtime(), arguments)
    }

    /// A podman command on another runtime.
    #[must_use]
    pub fn command_on(&self, runtime: PathBuf, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        for (option, folder) in
            [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp"), ("--volumepath", "volumes")]
        {
            command.arg(option).arg(self.host.path(folder));
        }
        command
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime"])
            .arg(runtime)
            .args(arguments)
            .env("HOME", self.host.path("home"))
            // conmon notes an OOM kill in a file of its working directory.
            .current_dir(self.host.path(""));
        command
    }

    /// Runs podman.
    #[track_caller]
    pub fn call(&self, arguments: &[&str]) -> Done {
        run(&mut self.command(arguments))
    }

    /// `podman run` without a network, in the host's cgroup; its monitor stays in ours.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Done {
        let cgroup = self.host.cgroup();
        self.call(
            &[&["run", "--network=none", "--cgroups=no-conmon", "--cgroup-parent", &cgroup], arguments]
                .concat(),
        )
    }
}

impl Default for Podman {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.call(&["rm", "--force", "--all", "--time=0", "--volumes"]);
    }
}
