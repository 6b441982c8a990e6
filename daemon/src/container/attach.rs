//! `attach`: a client's connection joined to the sockets of a shim.
//!
//! ```text
//! client ── stdin, scanned for detach keys ──> shim ──> process
//! client <── frames of the shim, untouched ─── shim <── process
//! ```
//! A client that comes before the start waits for its connection to the shim, which is made before the process runs. The
//! end of the output ends the attachment; the end of the input does not.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dhow_proto::error::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::detach::Scanner;
use super::failure::StateError;
use super::frame;
use super::state::{Container, Phase};
use crate::daemon::Daemon;
use crate::error::Failure;

/// How much is moved at once.
const PIECE: usize = 32 << 10;

/// Why nobody can attach.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("attach to container {0}")]
    Connect(String, #[source] io::Error),
}

impl Failure for AttachError {
    fn kind(&self) -> Kind {
        match self {
            Self::State(error) => error.kind(),
            Self::Connect(..) => Kind::Internal,
        }
    }
}

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// A connection to a process: made, or to be made at the start.
#[derive(Debug)]
pub(crate) enum Connection {
    Now(UnixStream),
    AtStart(oneshot::Receiver<UnixStream>),
}

/// Why an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process ended, or the client left.
    Done,
    /// The client typed the detach keys.
    Detached,
}

/// Connects to a container that runs, or will.
pub(crate) async fn connect(daemon: &Daemon, container: &Container) -> Result<Connection, AttachError> {
    {
        let mut state = container.state();
        match state.phase {
            Phase::Running { paused: true, .. } => {
                return Err(StateError::Paused(container.id.clone(), "attach").into());
            }
            Phase::Running { .. } => {}
            Phase::Removing => return Err(StateError::Removing("attached to").into()),
            Phase::Idle | Phase::Restarting { .. } => {
                let (sender, receiver) = oneshot::channel();
                state.early.retain(|client| !client.is_closed());
                state.early.push(sender);
                return Ok(Connection::AtStart(receiver));
            }
        }
    }
    let socket = container.socket(&daemon.options.exec_root);
    let stream = UnixStream::connect(&socket).await;
    stream.map(Connection::Now).map_err(|error| AttachError::Connect(container.id.clone(), error))
}

/// A client's stay at a container.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) container: Arc<Container>,
    /// What was said before, when the client wants it.
    pub(crate) past: Option<mpsc::Receiver<io::Result<Bytes>>>,
    /// `None` when the client wants the past only.
    pub(crate) connection: Option<Connection>,
    pub(crate) wanted: Streams,
    pub(crate) keys: Vec<u8>,
}

impl Session {
    /// The same for a client that cannot write.
    pub(crate) fn without_input(mut self) -> Self {
        self.wanted.stdin = false;
        self
    }

    /// Serves the client until the process ends, the client leaves, or detaches.
    pub(crate) async fn serve(mut self, daemon: &Daemon, mut client: impl AsyncRead + AsyncWrite + Unpin) {
        if self.run(&mut client).await == Ended::Detached {
            self.container.tell_event(daemon, "detach", &[]);
        }
        drop(client.shutdown().await);
    }

    async fn run(&mut self, client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Ended {
        while let Some(Ok(text)) = receive(&mut self.past).await {
            if client.write_all(&text).await.is_err() {
                return Ended::Done;
            }
        }
        let stream = match self.connection.take() {
            None => return Ended::Done,
            Some(Connection::Now(stream)) => stream,
            Some(Connection::AtStart(start)) => match start.await {
                Ok(stream) => stream,
                Err(_) => return Ended::Done,
            },
        };
        let (process, open) = {
            let config = &self.container.state().record.config;
            (Process::new(config.tty, config.stdin_once), config.open_stdin)
        };
        let _reader = self.container.reader();
        let wanted = Streams { stdin: self.wanted.stdin && open, ..self.wanted };
        join(stream, client, wanted, Scanner::new(std::mem::take(&mut self.keys)), process).await
    }
}

async fn receive(past: &mut Option<mpsc::Receiver<io::Result<Bytes>>>) -> Option<io::Result<Bytes>> {
    past.as_mut()?.recv().await
}

/// The process at the other end, as far as its streams care.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    terminal: bool,
    /// Whether the end of the client's input is the end of the process's; else it is the end of the attachment.
    closes_stdin: bool,
}

impl Process {
    /// A terminal has no end of input: who types sends it `ctrl-d`.
    pub(crate) fn new(terminal: bool, stdin_once: bool) -> Self {
        Self { terminal, closes_stdin: stdin_once && !terminal }
    }
}

/// Moves bytes both ways until the output ends, the client leaves, or the client detaches.
pub(crate) async fn join(
    stream: UnixStream,
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    wanted: Streams,
    scanner: Scanner,
    process: Process,
) -> Ended {
    // Bytes that come through a pipe are nobody's keys.
    let scanner = if process.terminal { scanner } else { Scanner::off() };
    let (mut from_process, mut to_process) = stream.into_split();
    let (from_client, to_client) = tokio::io::split(client);
    let mut input_over = false;
    let ended = {
        let output = copy_output(&mut from_process, to_client, wanted, process.terminal);
        let input = async {
            if !wanted.stdin {
                return std::future::pending().await;
            }
            match copy_input(from_client, &mut to_process, scanner).await {
                Ok(Ended::Detached) => Ended::Detached,
                Ok(Ended::Done) | Err(_) if process.closes_stdin => {
                    input_over = true;
                    drop(to_process.shutdown().await);
                    std::future::pending().await
                }
                Ok(Ended::Done) | Err(_) => Ended::Done,
            }
        };
        tokio::select! {
            _ = output => Ended::Done,
            ended = input => ended,
        }
    };
    if input_over {
        // The shim knows the end of the input by a connection that is closed in one direction only: it must find it so,
        // also when the client is gone at once.
        tokio::spawn(async move {
            drop(tokio::io::copy(&mut from_process, &mut tokio::io::sink()).await);
            drop(to_process);
        });
    } else {
        // Dropped as a whole: half-closing here would end the input.
        drop(from_process.reunite(to_process));
    }
    ended
}

/// Output goes on as it comes, unless the client wants one stream of two.
async fn copy_output(
    from: &mut (impl AsyncRead + Unpin),
    mut to: impl AsyncWrite + Unpin,
    wanted: Streams,
    terminal: bool,
) -> io::Result<()> {
    if !(terminal || wanted.stdout && wanted.stderr) {
        return frame::copy_chosen(from, &mut to, wanted.stdout, wanted.stderr).await;
    }
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece).await? {
            0 => return to.flush().await,
            count => {
                to.write_all(&piece[..count]).await?;
                to.flush().await?;
            }
        }
    }
}

async fn copy_input(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    mut scanner: Scanner,
) -> io::Result<Ended> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            to.write_all(scanner.rest()).await?;
            return Ok(Ended::Done);
        }
        let (pass, detached) = scanner.scan(&piece[..count]);
        to.write_all(&pass).await?;
        if detached {
            return Ok(Ended::Detached);
        }
    }
}
