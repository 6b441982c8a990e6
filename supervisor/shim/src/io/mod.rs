//! The stdio of one process: from where its input comes, where its output goes, and the copying in between.
//!
//! Owns: the pipes or the terminal, the FIFOs, files, logs, sockets and logging process on the other side, and the
//! futures that copy. Does not own: the process. Nothing here blocks, except writes to regular files.
//!
//! ```text
//! container ─pipe─> pump ─┬─> FIFO                       FIFO ──────┬─> stdin ─pipe─> container
//!       or ─pty──> pump   ├─> file                       socket ────┘
//!                         └─> json-file log + socket
//! ```

mod attach;
mod fifo;
mod log;
mod logger;
mod open;
mod pump;
mod stdin;
mod uri;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

pub(crate) use attach::Hub;
use dhow_linux::file::PathError;
pub(crate) use open::{ChildStdio, Owner, bind, open};
use pump::Output;
use rustix::io::Errno;
use rustix::termios::Winsize;
use stdin::Stdin;

use crate::reactor::{Changed, Reactor, Watched};

/// How long output may stand still, and how often it is looked at, before an exit is told without the rest.
const SETTLE: Duration = Duration::from_millis(100);
const SETTLE_ROUNDS: usize = 50;
/// How much a pipe may hold, where the system allows it: fewer wake-ups for whoever writes in small pieces.
const PIPE_SIZE: usize = 1 << 20;

/// The streams of a process, as a request names them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stdio {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
}

/// One of the two ways out of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Why the stdio of a process could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IoError {
    #[error(transparent)]
    Uri(#[from] uri::UriError),
    #[error("open stdio")]
    Open(#[from] PathError),
    #[error("nobody opened the other end of fifo {0} within 30 seconds")]
    NoReader(PathBuf),
    #[error("stdin cannot come from {0:?}")]
    Stdin(String),
    #[error("create stdio pipes")]
    Pipe(#[source] Errno),
    #[error("start logging binary {program}")]
    Logger { program: PathBuf, source: std::io::Error },
    #[error("logging binary {0} did not call ready (it may have crashed or exited prematurely)")]
    LoggerNotReady(PathBuf),
}

/// The open stdio of one process.
#[derive(Debug)]
pub(crate) struct Io {
    reactor: Reactor,
    stdin: Option<Rc<Stdin>>,
    /// The FIFO that stdin comes from, until it is opened.
    stdin_fifo: RefCell<Option<PathBuf>>,
    /// The output of pipes, and where it goes, until the process is made.
    pipes: RefCell<Vec<(Watched<OwnedFd>, Output)>>,
    /// Where a terminal's output goes once the terminal is there.
    waiting: RefCell<Option<Output>>,
    console: RefCell<Option<Rc<Watched<OwnedFd>>>>,
    hubs: Vec<Rc<Hub>>,
    copying: Rc<Copying>,
}

/// How many outputs are still being copied.
#[derive(Debug, Default)]
struct Copying {
    count: Cell<usize>,
    /// Counts what was copied.
    progress: Cell<u64>,
    changed: Changed,
}

impl Io {
    /// Lets input in: the process is being started.
    ///
    /// A FIFO is not opened before, because that lets its client write, and some clients that reach the end of their
    /// input before they have the answer to Create never say so (ctr).
    pub(crate) fn start_stdin(&self) -> Result<(), IoError> {
        if let (Some(stdin), Some(path)) = (&self.stdin, self.stdin_fifo.take()) {
            let (source, keeper) = fifo::open_read(&self.reactor, &path)?;
            stdin.keep(keeper);
            self.reactor.spawn(stdin::copy_fifo(Rc::clone(stdin), source));
        }
        Ok(())
    }

    /// Starts copying the output. Not before the process is there: until then it is the runtime that writes, and what
    /// it has to say is our error, not the container's output.
    pub(crate) fn start_pipes(&self) {
        for (source, output) in self.pipes.take() {
            self.copying.spawn(&self.reactor, Rc::new(source), output);
        }
    }

    /// Copies between the terminal `master` and where the request wants it.
    pub(crate) fn start_console(&self, master: OwnedFd) -> Result<(), IoError> {
        rustix::io::ioctl_fionbio(&master, true).map_err(IoError::Pipe)?;
        let master = Rc::new(Watched::new(&self.reactor, master).map_err(IoError::Pipe)?);
        self.console.replace(Some(Rc::clone(&master)));
        if let Some(output) = self.waiting.take() {
            self.copying.spawn(&self.reactor, Rc::clone(&master), output);
        }
        if let Some(stdin) = &self.stdin {
            stdin.connect(master);
        }
        Ok(())
    }

    /// Sets the size of the terminal, if there is one.
    pub(crate) fn resize(&self, width: u16, height: u16) -> rustix::io::Result<()> {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        self.console.borrow().as_ref().map_or(Ok(()), |master| rustix::termios::tcsetwinsize(master, size))
    }

    /// Closes the process's stdin once what came before is written.
    pub(crate) fn close_stdin(&self) {
        if let Some(stdin) = &self.stdin {
            stdin.close();
        }
    }

    /// Waits until all output has been copied, but no longer than `limit`; whether it has.
    pub(crate) async fn drained(&self, limit: Duration) -> bool {
        let done = self.copying.changed.until(|| (self.copying.count.get() == 0).then_some(()));
        self.reactor.within(limit, done).await.is_some()
    }

    /// Waits until all output has been copied, as long as it moves: what stands still is held by somebody else.
    pub(crate) async fn settled(&self) {
        for _ in 0..SETTLE_ROUNDS {
            let before = self.copying.progress.get();
            if self.drained(SETTLE).await || self.copying.progress.get() == before {
                return;
            }
        }
    }

    /// Tells everyone attached that the process is over: at once when its output was copied, or after `grace` when
    /// something that it left behind still holds its stdout.
    pub(crate) fn end(self: &Rc<Self>, grace: Duration) {
        if let Some(stdin) = &self.stdin {
            stdin.abandon();
        }
        if !self.hubs.is_empty() {
            let io = Rc::clone(self);
            self.reactor.spawn(async move {
                io.drained(grace).await;
                io.hubs.iter().for_each(|hub| hub.end());
            });
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(stdin) = &self.stdin {
            stdin.abandon();
        }
        self.hubs.iter().for_each(|hub| hub.close());
    }
}

impl Copying {
    fn spawn(self: &Rc<Self>, reactor: &Reactor, source: Rc<Watched<OwnedFd>>, output: Output) {
        self.count.set(self.count.get() + 1);
        let (copying, counting) = (Rc::clone(self), Rc::clone(self));
        let progress = move || counting.progress.set(counting.progress.get().wrapping_add(1));
        let pump = pump::copy(reactor.clone(), source, output, progress);
        reactor.spawn(async move {
            pump.await;
            copying.count.set(copying.count.get() - 1);
            copying.changed.notify();
        });
    }
}
