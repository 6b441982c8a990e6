//! A private Docker stack of our own: dhowd, its supervisor, sockets, state, data, bridge and cgroup in one host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::Host;
use crate::process::{Background, Done, eventually, run, run_with};
use crate::{binaries, busybox};

/// A running stack. Dropping it removes every container, ends both daemons and looks for leaks.
#[derive(Debug)]
pub struct Stack {
    daemon: Option<Background>,
    host: Host,
    options: Vec<String>,
    trace: Option<PathBuf>,
}

impl Stack {
    /// Starts a stack without any image.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a stack with further options of `dhowd`.
    ///
    /// # Panics
    /// When the daemon does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Self {
        Self::launch(options, None)
    }

    /// Starts a stack whose layers append their steps to `trace` (`DHOW_TRACE`).
    #[must_use]
    #[track_caller]
    pub fn start_traced(trace: &Path) -> Self {
        Self::launch(&[], Some(trace.to_owned()))
    }

    #[track_caller]
    fn launch(options: &[&str], trace: Option<PathBuf>) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut stack = Self { daemon: None, host: Host::new(), options, trace };
        stack.start_daemon();
        stack
    }

    /// Starts a stack that has `busybox:latest`.
    #[must_use]
    #[track_caller]
    pub fn with_busybox() -> Self {
        let stack = Self::start();
        stack.import_busybox();
        stack
    }

    /// Makes `busybox:latest` from the busybox-static of this machine.
    #[track_caller]
    pub fn import_busybox(&self) {
        let archive = busybox::tar(&self.host.folder("images"));
        let archive = archive.to_str().expect("UTF-8 path");
        self.dhow(&["import", "-c", "CMD [\"sh\"]", archive, "busybox:latest"]).ok();
    }

    /// Where this stack lives.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The daemon's socket, as `DOCKER_HOST` wants it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.host.path("dhowd.sock").display())
    }

    /// The supervisor's socket.
    #[must_use]
    pub fn supervisor_socket(&self) -> PathBuf {
        self.host.path("exec/supervisor/supervisor.sock")
    }

    /// Starts the daemon; also after [`Stack::kill_daemon`].
    ///
    /// # Panics
    /// With its log, when it does not answer.
    #[track_caller]
    pub fn start_daemon(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.host.path("dhowd.log"))
            .expect("open log");
        let mut command = Command::new(binaries::path("dhowd"));
        command
            .arg("--data-root")
            .arg(self.host.folder("data"))
            .arg("--exec-root")
            .arg(self.host.folder("exec"))
            .arg("--pidfile")
            .arg(self.host.path("dhowd.pid"))
            .args([
                "--host",
                &self.address(),
                "--bridge",
                self.host.name(),
                "--cgroup-parent",
                &self.host.cgroup(),
            ])
            .args(&self.options)
            .envs(self.trace.iter().map(|trace| ("DHOW_TRACE", trace)))
            .stdout(Stdio::from(log.try_clone().expect("duplicate")))
            .stderr(Stdio::from(log));
        let mut daemon = Background::start(&mut command);
        for _ in 0..3000 {
            if run(&mut self.command("dhow", &["version"])).code == 0 {
                self.daemon = Some(daemon);
                return;
            }
            assert!(daemon.is_running(), "dhowd ended: {}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("dhowd does not answer: {}", self.log());
    }

    /// What the daemon and its supervisor logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.host.path("dhowd.log")).unwrap_or_default()
    }

    /// The daemon's process ID.
    ///
    /// # Panics
    /// When it was ended.
    #[must_use]
    pub fn daemon_pid(&self) -> Pid {
        self.daemon.as_ref().expect("the daemon runs").pid()
    }

    /// The supervisor's process ID, found by the root folder that only it was given.
    #[must_use]
    pub fn supervisor_pid(&self) -> Option<Pid> {
        let root = self.host.path("data/supervisor");
        processes("dhow-supervisor")
            .into_iter()
            .find(|(_, command)| command.contains(&*root.to_string_lossy()))
            .map(|p| p.0)
    }

    /// `kill -9` of the daemon.
    pub fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// SIGTERM for the daemon; gives its exit status.
    ///
    /// # Panics
    /// When it was ended before.
    #[track_caller]
    pub fn terminate_daemon(&mut self) -> i32 {
        self.daemon.take().expect("the daemon runs").terminate()
    }

    /// `kill -9` of the supervisor.
    ///
    /// # Panics
    /// When none runs.
    #[track_caller]
    pub fn kill_supervisor(&self) -> Pid {
        let pid = self.supervisor_pid().expect("the supervisor runs");
        kill(pid, Signal::SIGKILL).expect("kill the supervisor");
        eventually("the killed supervisor is gone", || self.supervisor_pid() != Some(pid));
        pid
    }

    /// A command that talks to this stack's daemon: `dhow`, or the path of another client.
    #[must_use]
    pub fn command(&self, client: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let client = client.as_ref();
        let program = if client == Path::new("dhow") { binaries::path("dhow") } else { client.to_owned() };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("DOCKER_HOST", self.address())
            .env("DOCKER_CONFIG", self.host.path("client"))
            .env("HOME", self.host.path("home"))
            .env_remove("DOCKER_CONTEXT");
        command
    }

    /// Runs our CLI.
    #[track_caller]
    pub fn dhow(&self, arguments: &[&str]) -> Done {
        run(&mut self.command("dhow", arguments))
    }

    /// Runs our CLI with `input` on its stdin.
    #[track_caller]
    pub fn dhow_with(&self, arguments: &[&str], input: &[u8]) -> Done {
        run_with(&mut self.command("dhow", arguments), input)
    }

    /// Runs Docker's own CLI.
    ///
    /// # Panics
    /// When it is not installed.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Done {
        let client = binaries::in_path("docker").expect("Docker's CLI is installed");
        run(&mut self.command(client, arguments))
    }

    /// One field of a container's inspection, by a Go template.
    #[track_caller]
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.dhow(&["inspect", "--format", template, container]).ok()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the stack:\n{}", self.log());
        } else if self.daemon.as_mut().is_some_and(Background::is_running) {
            let containers = self.dhow(&["ps", "-aq"]).stdout;
            let mut remove = vec!["rm", "-f", "-v"];
            remove.extend(containers.lines());
            if remove.len() > 3 {
                self.dhow(&remove).ok();
            }
        }
        drop(self.daemon.take());
        if let Some(supervisor) = self.supervisor_pid() {
            let _gone = kill(supervisor, Signal::SIGTERM);
            for _ in 0..500 {
                if self.supervisor_pid().is_none() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

/// The running processes whose program has this name, with their command lines.
#[must_use]
pub fn processes(program: &str) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("list /proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.split(' ').next().is_some_and(|path| path.rsplit('/').next() == Some(program)) {
            found.push((Pid::from_raw(pid), command));
        }
    }
    found
}
