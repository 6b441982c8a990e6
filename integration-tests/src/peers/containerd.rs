//! Debian's containerd, and its client `ctr`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::search_path;
use crate::host::Host;
use crate::process::{Background, Done, eventually, run};

/// A stock containerd whose shims are found in Dhow's folder first.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Background>,
    host: Host,
}

impl Containerd {
    /// Starts one on a root, state and socket of its own.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let mut containerd = Self { process: None, host: Host::new() };
        containerd.launch();
        containerd
    }

    /// Where it works.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
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
        let mut command = Command::new("containerd");
        command.arg("--config").arg(path).env("PATH", search_path()).stdout(Stdio::null()).stderr(log);
        self.process = Some(Background::start(&mut command));
        eventually("containerd answers", || self.ctr(&["version"]).code == 0);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Runs `ctr` against it.
    #[track_caller]
    pub fn ctr(&self, arguments: &[&str]) -> Done {
        ctr(&self.socket(), arguments)
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

/// Runs `ctr` against the socket of a containerd or of a supervisor.
#[track_caller]
pub fn ctr(socket: &Path, arguments: &[&str]) -> Done {
    run(&mut ctr_command(socket, arguments))
}

/// A `ctr` command in a namespace named after the host: `ctr` puts a container into the cgroup `/NAMESPACE/ID`.
#[must_use]
pub fn ctr_command(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket).args(arguments);
    if let Some(host) = socket.parent().and_then(Path::file_name) {
        command.env("CONTAINERD_NAMESPACE", host);
    }
    command
}
