//! Keeping a supervisor alive: adopt the one that listens, else start one; when it dies, start the next.
//!
//! ```text
//! connect ── refused ──> spawn ──> connect
//!    │
//!    └─ hold the connection; its end is the end of the process ──> connect
//! ```
//! The idle connection tells of the death of a process that is not our child too: one that an earlier daemon started.
//! It also names the process (`SO_PEERCRED`), so that an orderly end of the daemon ends its supervisor.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use dhow_linux::file::PathError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::options::Options;

/// How long a new supervisor may take until it listens.
const START: Duration = Duration::from_secs(20);
/// How long a supervisor may take to end.
const END: Duration = Duration::from_secs(10);
/// The pause before one that died at once is started again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why the supervisor could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("prepare the supervisor's folders")]
    Folder(#[from] PathError),
    #[error("start {binary}")]
    Start { binary: PathBuf, source: std::io::Error },
    #[error("the supervisor does not listen at {socket} after {START:?}; its messages are in {log}")]
    Silent { socket: PathBuf, log: PathBuf },
}

/// A supervisor that this daemon keeps alive.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    root: PathBuf,
    state: PathBuf,
    socket: PathBuf,
    level: String,
}

impl Keeper {
    /// The supervisor that belongs to this daemon's folders.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            root: options.data_root.join("supervisor"),
            state: options.exec_root.join("supervisor"),
            socket: options.supervisor_socket(),
            level: if options.debug { "debug".to_owned() } else { options.log_level.clone() },
        }
    }

    /// Connects to the supervisor that listens, or starts one.
    pub(crate) async fn adopt_or_start(&self) -> Result<UnixStream, SpawnError> {
        if let Ok(connection) = UnixStream::connect(&self.socket).await {
            tracing::info!(socket = %self.socket.display(), "adopted a supervisor");
            return Ok(connection);
        }
        self.start()?;
        let deadline = tokio::time::Instant::now() + START;
        while tokio::time::Instant::now() < deadline {
            if let Ok(connection) = UnixStream::connect(&self.socket).await {
                return Ok(connection);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(SpawnError::Silent { socket: self.socket.clone(), log: self.log() })
    }

    /// Replaces the supervisor whenever it dies, for ever.
    pub(crate) async fn keep(self, mut connection: UnixStream) {
        let mut pause = FIRST_PAUSE;
        loop {
            let since = tokio::time::Instant::now();
            ended(&mut connection).await;
            pause =
                if since.elapsed() > LONGEST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tracing::warn!("the supervisor is gone; starting another");
            connection = loop {
                match self.adopt_or_start().await {
                    Ok(connection) => break connection,
                    Err(error) => {
                        let error = dhow_proto::error::chain(&error);
                        tracing::error!(%error, "the supervisor does not start");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            };
        }
    }

    /// Asks the supervisor to end and waits for it. Containers go on.
    pub(crate) async fn stop(&self) {
        let Ok(mut connection) = UnixStream::connect(&self.socket).await else { return };
        let Some(pid) = connection.peer_cred().ok().and_then(|peer| peer.pid()) else { return };
        if kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok() {
            drop(tokio::time::timeout(END, ended(&mut connection)).await);
        }
    }

    fn start(&self) -> Result<(), SpawnError> {
        for folder in [&self.root, &self.state] {
            dhow_linux::file::make_folder(folder, 0o711)?;
        }
        let log = self.log();
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(PathError::at("open", &log))?;
        let errors = output.try_clone().map_err(PathError::at("open", &log))?;
        let binary = Options::binary("dhow-supervisor");
        let mut command = Command::new(&binary);
        command
            .arg("--root")
            .arg(&self.root)
            .arg("--state")
            .arg(&self.state)
            .arg("--address")
            .arg(&self.socket);
        command.args(["--log-level", &self.level]).current_dir("/");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut child = dhow_linux::session::detach(&mut command)
            .spawn()
            .map_err(|source| SpawnError::Start { binary: binary.clone(), source })?;
        tracing::info!(pid = child.id(), "started a supervisor");
        // Reaped by a thread that sleeps in waitpid: the supervisor lives as long as the daemon, or longer.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.root.join("supervisor.log")
    }
}

/// Returns when the process at the other end is gone.
async fn ended(connection: &mut UnixStream) {
    let mut bytes = [0; 1024];
    while connection.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}
