//! The OCI runtime: its command line, and what it says when it fails.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use dhow_proto::containerd::runc::v1::Options;
use rustix::fs::MemfdFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use crate::io::ChildStdio;
use crate::reactor::{Reactor, Watched};
use crate::reaper::Reaper;

/// The most output of a command that is kept.
const OUTPUT_LIMIT: usize = 4 << 20;

/// What a runtime is started with; kept in the bundle for whoever cleans up after a dead shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) version: u32,
    pub(crate) binary: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) systemd_cgroup: bool,
}

/// A runtime, ready to work on the containers of one namespace.
#[derive(Debug)]
pub(crate) struct OciRuntime {
    configuration: Configuration,
    bundle: PathBuf,
    reactor: Reactor,
    reaper: Rc<Reaper>,
}

/// Why a command of the runtime failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeError {
    #[error("start OCI runtime {binary}")]
    Spawn { binary: PathBuf, source: std::io::Error },
    #[error("pass input to OCI runtime")]
    Input(#[source] std::io::Error),
    /// It ran and failed, with its own words.
    #[error("{message}")]
    Failed { message: String },
}

impl Configuration {
    /// What `options` ask for, for a bundle at `<state>/<plugin>/<namespace>/<id>`.
    pub(crate) fn new(options: &Options, namespace: &str, bundle: &Path) -> Self {
        // By default the containers are kept where containerd's own shim keeps them, in the state folder that the
        // bundle is part of; so two supervisors beside each other never meet in one root.
        let root = match options.root.as_str() {
            "" => bundle.ancestors().nth(3).unwrap_or_else(|| Path::new("/run/containerd")).join("runc"),
            root => PathBuf::from(root),
        };
        let binary = match options.binary_name.as_str() {
            "" => default_binary(),
            name => PathBuf::from(name),
        };
        Self { version: 1, binary, root: root.join(namespace), systemd_cgroup: options.systemd_cgroup }
    }

    /// The global part of a command line.
    pub(crate) fn command(&self, log: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.root).arg("--log").arg(log).args(["--log-format", "json"]);
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command
    }
}

/// `runc` for a shim that is called after it; else `dhow-runtime` beside this shim or in PATH, and `runc` where there
/// is none.
pub(crate) fn default_binary() -> PathBuf {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if called.file_name().is_some_and(|name| name.to_string_lossy().contains("-runc-")) {
        return PathBuf::from("runc");
    }
    let own = PathBuf::from("dhow-runtime");
    let beside = std::env::current_exe().ok().map(|shim| shim.with_file_name(&own));
    match beside {
        Some(beside) if beside.exists() => beside,
        _ if find_in_path(&own).is_some() => own,
        _ => PathBuf::from("runc"),
    }
}

fn find_in_path(name: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

impl OciRuntime {
    pub(crate) fn new(
        configuration: Configuration,
        bundle: &Path,
        reactor: &Reactor,
        reaper: &Rc<Reaper>,
    ) -> Self {
        Self { configuration, bundle: bundle.to_owned(), reactor: reactor.clone(), reaper: Rc::clone(reaper) }
    }

    /// Runs a command to its end; what it printed.
    pub(crate) async fn run<I: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = I>,
    ) -> Result<Vec<u8>, RuntimeError> {
        self.run_with_input(args, Stdio::null()).await
    }

    /// Runs a command that reads `input`.
    pub(crate) async fn run_with_document<I: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = I>,
        input: &[u8],
    ) -> Result<Vec<u8>, RuntimeError> {
        let document = || {
            let mut file = File::from(rustix::fs::memfd_create("input", MemfdFlags::CLOEXEC)?);
            file.write_all(input)?;
            file.rewind()?;
            Ok(file)
        };
        let document = document().map_err(RuntimeError::Input)?;
        self.run_with_input(args, document.into()).await
    }

    /// Runs a command whose stdio becomes that of the process it makes.
    pub(crate) async fn launch<I: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = I>,
        stdio: ChildStdio,
    ) -> Result<(), RuntimeError> {
        let log = self.log_path();
        let mut command = self.command(&log, args);
        command.stdin(stdio.stdin).stdout(stdio.stdout).stderr(stdio.stderr);
        let finished = self.finish(command, None, &log).await;
        drop(std::fs::remove_file(&log));
        finished.map(drop)
    }

    async fn run_with_input<I: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = I>,
        input: Stdio,
    ) -> Result<Vec<u8>, RuntimeError> {
        let log = self.log_path();
        let mut command = self.command(&log, args);
        let (output, write_end) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| RuntimeError::Input(error.into()))?;
        let errors = write_end.try_clone().map_err(RuntimeError::Input)?;
        command.stdin(input).stdout(write_end).stderr(errors);
        let finished = self.finish(command, Some(output), &log).await;
        drop(std::fs::remove_file(&log));
        finished
    }

    fn command<I: Into<OsString>>(&self, log: &Path, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = self.configuration.command(log);
        command.args(args.into_iter().map(Into::into)).current_dir(&self.bundle);
        // Whoever cleans up after a dead shim must not race with what it had begun.
        dhow_linux::spawn::die_with_parent(&mut command);
        command
    }

    /// A log for one command alone: commands run side by side, and a failure must be told by its own words.
    fn log_path(&self) -> PathBuf {
        thread_local! { static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) }; }
        let number = COUNT.get();
        COUNT.set(number + 1);
        self.bundle.join(format!("log-{number}.json"))
    }

    async fn finish(
        &self,
        mut command: Command,
        output: Option<OwnedFd>,
        log: &Path,
    ) -> Result<Vec<u8>, RuntimeError> {
        let spawned = self.reaper.spawn(&mut command);
        // Our ends of what the child inherited must close, or reading its output would never end.
        drop(command);
        let binary = || self.configuration.binary.clone();
        let pid = spawned.map_err(|source| RuntimeError::Spawn { binary: binary(), source })?;
        let printed = match output {
            Some(output) => self.read(output).await.map_err(RuntimeError::Input)?,
            None => Vec::new(),
        };
        let exit = self.reaper.exit_of(pid).await;
        if exit.status == 0 { Ok(printed) } else { Err(failure(log, &printed, exit.status)) }
    }

    async fn read(&self, output: OwnedFd) -> std::io::Result<Vec<u8>> {
        rustix::io::ioctl_fionbio(&output, true)?;
        let output = Watched::new(&self.reactor, output)?;
        let mut printed = Vec::new();
        let mut buffer = vec![0; 4 << 10];
        loop {
            let read = output.reading(|fd| rustix::io::read(fd, &mut buffer)).await?;
            if read == 0 {
                return Ok(printed);
            }
            let room = OUTPUT_LIMIT.saturating_sub(printed.len());
            printed.extend_from_slice(&buffer[..read.min(room)]);
        }
    }
}

/// The failure of a command: the last error in its log, else what it printed, else its exit status.
pub(crate) fn failure(log: &Path, printed: &[u8], status: u32) -> RuntimeError {
    let mut text = Vec::new();
    if let Ok(file) = File::open(log) {
        drop(file.take(OUTPUT_LIMIT as u64).read_to_end(&mut text));
    }
    let message = last_error(&String::from_utf8_lossy(&text)).or_else(|| {
        let printed = String::from_utf8_lossy(printed).trim().to_owned();
        (!printed.is_empty()).then_some(printed)
    });
    RuntimeError::Failed { message: message.unwrap_or_else(|| format!("exit status {status}")) }
}

/// The message of the last error in a log of JSON lines.
fn last_error(log: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines
        .filter(|line| line.level == "error")
        .map(|line| line.msg.trim().to_owned())
        .find(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_the_last_words_of_the_log() {
        let log = "{\"level\":\"error\",\"msg\":\"first\",\"time\":\"t\"}\n{\"level\":\"info\",\"msg\":\"x\"}\n\
                   {\"level\":\"error\",\"msg\":\" last \"}\nnot json\n";
        assert_eq!(last_error(log).as_deref(), Some("last"));
        assert_eq!(last_error(""), None);
        let error = failure(Path::new("/missing"), b"unknown command\n", 1);
        assert_eq!(error.to_string(), "unknown command");
        assert_eq!(failure(Path::new("/missing"), b"", 3).to_string(), "exit status 3");
    }

    #[test]
    fn containers_of_two_supervisors_never_share_a_root() {
        let bundle = Path::new("/run/containerd/io.containerd.runtime.v2.task/default/x");
        let configuration = Configuration::new(&Options::default(), "default", bundle);
        assert_eq!(configuration.root, Path::new("/run/containerd/runc/default"));
        let options = Options { root: "/r".to_owned(), binary_name: "crun".to_owned(), ..Options::default() };
        let configuration = Configuration::new(&options, "moby", bundle);
        assert_eq!(
            (configuration.root.as_path(), configuration.binary.as_path()),
            (Path::new("/r/moby"), Path::new("crun"))
        );
    }
}
