//! A supervisor of our own that runs alone, as a containerd would.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::unistd::Pid;

use crate::host::Host;
use crate::peers::ctr;
use crate::process::{Background, Done, eventually};
use crate::{binaries, image};

/// A running supervisor. Dropping it deletes every task, ends it and looks for leaks.
#[derive(Debug)]
pub struct Supervisor {
    process: Option<Background>,
    host: Host,
}

impl Supervisor {
    /// Starts one on a root, state and socket of its own.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_in(Host::new())
    }

    /// Starts one in `host`, whose `root` and `state` may be there already.
    #[must_use]
    #[track_caller]
    pub fn start_in(host: Host) -> Self {
        let mut supervisor = Self { process: None, host };
        supervisor.launch();
        supervisor
    }

    /// The same with [`image::BUSYBOX`].
    #[must_use]
    #[track_caller]
    pub fn with_busybox() -> Self {
        let supervisor = Self::start();
        supervisor.ctr(&["images", "import", &image::archive(supervisor.host())]).ok();
        supervisor
    }

    /// Starts one for which our shim is `containerd-shim-runc-v2`, whatever is installed.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_on_our_names() -> Self {
        let host = Host::new();
        let name = host.folder("names").join("containerd-shim-runc-v2");
        symlink(binaries::path("containerd-shim-dhow-v2"), name).expect("link");
        Self::start_in(host)
    }

    /// Where it works.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.host.path("supervisor.sock")
    }

    /// Starts the process; also after [`Supervisor::kill`].
    ///
    /// # Panics
    /// With its log, when it does not answer.
    #[track_caller]
    pub fn launch(&mut self) {
        let log =
            fs::File::options().create(true).append(true).open(self.host.path("log")).expect("open the log");
        let mut command = Command::new(binaries::path("dhow-supervisor"));
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.host.path("names").display()))
            .arg("--root")
            .arg(self.host.folder("root"))
            .arg("--state")
            .arg(self.host.folder("state"))
            .arg("--address")
            .arg(self.socket())
            .stdout(Stdio::from(log.try_clone().expect("duplicate")))
            .stderr(Stdio::from(log));
        let mut process = Background::start(&mut command);
        eventually("the supervisor answers", || {
            assert!(process.is_running(), "dhow-supervisor ended: {}", self.log());
            self.ctr(&["version"]).code == 0
        });
        self.process = Some(process);
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(Background::pid)
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.host.path("log")).unwrap_or_default()
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

    /// Runs Debian's `ctr` against it.
    #[track_caller]
    pub fn ctr(&self, arguments: &[&str]) -> Done {
        ctr(&self.socket(), arguments)
    }

    /// A `ctr` command to start in the background or in a terminal.
    #[must_use]
    pub fn ctr_command(&self, arguments: &[&str]) -> Command {
        crate::peers::ctr_command(&self.socket(), arguments)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the supervisor:\n{}", self.log());
        } else if self.process.is_some() {
            for task in self.ctr(&["tasks", "ls", "-q"]).stdout.lines() {
                self.ctr(&["tasks", "delete", "--force", task]);
            }
        }
        drop(self.process.take());
    }
}
