//! A stock containerd, of either release, and its client `ctr`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Pid;

use super::Release;
use crate::binaries;
use crate::host::Host;
use crate::process::{Background, Done, eventually, run};

/// A stock containerd whose shims are found in Dhow's folder first.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Background>,
    release: Release,
    host: Host,
}

impl Containerd {
    /// Starts the installed one on a root, state and socket of its own.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_release(Release::Installed)
    }

    /// Starts the one of `release`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_release(release: Release) -> Self {
        let mut containerd = Self { process: None, release, host: Host::new() };
        containerd.launch();
        containerd
    }

    /// Starts one for which our shim is `containerd-shim-runc-v2` and our runtime `runc`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_on_our_names() -> Self {
        let mut containerd = Self { process: None, release: Release::Installed, host: Host::new() };
        let names = containerd.host.folder("names");
        for (name, binary) in [
            ("containerd-shim-runc-v2", binaries::path("containerd-shim-dhow-v2")),
            ("runc", binaries::runtime()),
        ] {
            symlink(binary, names.join(name)).expect("link");
        }
        containerd.launch();
        containerd
    }

    /// Where it works.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(Background::pid)
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.host.path("containerd.sock")
    }

    /// Starts the process; also after [`Containerd::kill`].
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn launch(&mut self) {
        let root = self.host.folder("root");
        let state = self.host.folder("state");
        let config = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = \"{}.ttrpc\"\n",
            self.socket(),
            self.socket().display()
        );
        let path = self.host.path("config.toml");
        fs::write(&path, config).expect("write config.toml");
        let log = fs::File::create(self.host.path("containerd.log")).expect("make the log");
        let mut command = self.release.command("containerd");
        let search = format!("{}:{}", self.host.path("names").display(), self.release.search_path());
        command.arg("--config").arg(path).env("PATH", search).stdout(Stdio::null()).stderr(log);
        self.process = Some(Background::start(&mut command));
        eventually("containerd answers", || self.ctr(&["version"]).code == 0);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it in an orderly way.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate();
        }
    }

    /// Runs the `ctr` of its release against it.
    #[track_caller]
    pub fn ctr(&self, arguments: &[&str]) -> Done {
        run(&mut self.ctr_command(arguments))
    }

    /// A `ctr` command to start in the background or in a terminal.
    #[must_use]
    pub fn ctr_command(&self, arguments: &[&str]) -> Command {
        self.release.ctr(&self.socket(), arguments)
    }

    /// The process of a task on the host.
    ///
    /// # Panics
    /// When there is no such task.
    #[must_use]
    #[track_caller]
    pub fn init_pid(&self, id: &str) -> Pid {
        let text = fs::read_to_string(self.bundle(id).join("init.pid")).expect("the task runs");
        Pid::from_raw(text.trim().parse().expect("a pid"))
    }

    /// The bundle of a task.
    #[must_use]
    pub fn bundle(&self, id: &str) -> PathBuf {
        let folder = self.host.path("state/io.containerd.runtime.v2.task");
        folder.join(self.host.name()).join(id)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for task in self.ctr(&["tasks", "ls", "-q"]).stdout.lines() {
                self.ctr(&["tasks", "kill", "-s", "SIGKILL", task]);
                self.ctr(&["tasks", "delete", "--force", task]);
            }
        }
        drop(self.process.take());
    }
}

/// Runs the installed `ctr` against the socket of a containerd or of a supervisor.
#[track_caller]
pub fn ctr(socket: &Path, arguments: &[&str]) -> Done {
    run(&mut ctr_command(socket, arguments))
}

/// A command of the installed `ctr`.
#[must_use]
pub fn ctr_command(socket: &Path, arguments: &[&str]) -> Command {
    Release::Installed.ctr(socket, arguments)
}
