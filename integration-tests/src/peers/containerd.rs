//! Debian's containerd, and its client `ctr`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Pid;

use super::search_path;
use crate::binaries;
use crate::host::Host;
use crate::process::{Background, Done, eventually, run};

/// A stock containerd whose shims are found in Dhow's folder first.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Background>,
    /// The folder of a newer release than the installed one.
    release: Option<PathBuf>,
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
        Self::start_from(None)
    }

    /// Starts the one in `usr/bin` of `release`, or the installed one.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_from(release: Option<PathBuf>) -> Self {
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
        let mut containerd = Self { process: None, release: None, host: Host::new() };
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
        let mut command = Command::new(self.program("containerd"));
        let search = format!("{}:{}", self.host.path("names").display(), search_path());
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

    /// Runs `ctr` against it.
    #[track_caller]
    pub fn ctr(&self, arguments: &[&str]) -> Done {
        let installed = ctr_command(&self.socket(), arguments);
        let mut command = Command::new(self.program("ctr"));
        command.args(installed.get_args()).env("CONTAINERD_NAMESPACE", self.host.name());
        run(&mut command)
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

    fn program(&self, name: &str) -> PathBuf {
        self.release.as_ref().map_or_else(|| name.into(), |release| release.join("usr/bin").join(name))
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
