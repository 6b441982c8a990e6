//! Copying output.
//!
//! All pumps of the process share one buffer, since none keeps it across a wait.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::attach::Hub;
use super::log::LogStream;
use super::{IoError, Stream};
use crate::journal;
use crate::reactor::{Reactor, Watched};

const CHUNK: usize = 64 << 10;
/// How many chunks are copied before other futures get their turn.
const TURN: usize = 16;
/// How often a FIFO is looked at while its last bytes are read, and how long its reader may pause.
const READER_PAUSE: Duration = Duration::from_millis(2);
const READER_PATIENCE: Duration = Duration::from_millis(60);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where one stream goes.
#[derive(Debug)]
pub(super) enum Output {
    /// Nowhere.
    Discard,
    /// To whoever reads this pipe; the process itself holds the end to write to.
    Inherited(OwnedFd),
    /// Into a FIFO, which the reading end keeps open between two clients.
    Fifo { sink: Watched<OwnedFd>, _keeper: OwnedFd },
    /// To the end of a file.
    File(File),
    /// Into a json-file log, with live copies.
    Log { log: LogStream, hub: Option<(Rc<Hub>, Stream)> },
    /// Only live copies.
    Attach(Rc<Hub>, Stream),
}

impl Output {
    /// A pipe to another process as the output of a terminal.
    pub(super) fn fifo(reactor: &Reactor, sink: OwnedFd) -> Result<Self, IoError> {
        let keeper = rustix::io::fcntl_dupfd_cloexec(&sink, 0).map_err(IoError::Pipe)?;
        rustix::io::ioctl_fionbio(&sink, true).map_err(IoError::Pipe)?;
        Ok(Self::Fifo { sink: Watched::new(reactor, sink).map_err(IoError::Pipe)?, _keeper: keeper })
    }

    /// Takes `bytes`; what a full FIFO did not take comes back.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Discard | Self::Inherited(_) => {}
            Self::Fifo { sink, .. } => {
                let written = rustix::io::write(&*sink, bytes).unwrap_or(0);
                return bytes[written..].to_vec();
            }
            Self::File(file) => {
                if let Err(error) = file.write_all(bytes) {
                    journal::warn_once("write output to file", &error);
                }
            }
            Self::Log { log, hub } => {
                if let Err(error) = log.write(bytes, SystemTime::now()) {
                    journal::warn_once("write log", &error);
                }
                if let Some((hub, stream)) = hub {
                    hub.send(*stream, bytes);
                }
            }
            Self::Attach(hub, stream) => hub.send(*stream, bytes),
        }
        Vec::new()
    }

    /// Waits until there is room for more.
    async fn room(&self, rest: &[u8]) {
        match self {
            Self::Fifo { sink, .. } if !rest.is_empty() => drop(sink.write_all(rest).await),
            Self::Log { hub: Some((hub, _)), .. } | Self::Attach(hub, _) => hub.room().await,
            _ => {}
        }
    }

    fn finish(mut self) {
        if let Self::Log { log, .. } = &mut self
            && let Err(error) = log.finish()
        {
            journal::warn_once("write log", &error);
        }
    }
}

/// Copies `source` until all its writers are gone: a pipe then ends, and a terminal reads as an error.
pub(super) async fn copy(
    reactor: Reactor,
    source: Rc<Watched<OwnedFd>>,
    mut output: Output,
    progress: impl Fn() + 'static,
) {
    let mut turn = 0;
    loop {
        let taken = source.reading(|fd| {
            BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(CHUNK, 0);
                let read = rustix::io::read(fd, &mut *buffer)?;
                Ok((read, output.take(&buffer[..read])))
            })
        });
        let Ok((1.., rest)) = taken.await else { break };
        output.room(&rest).await;
        progress();
        turn += 1;
        if turn % TURN == 0 {
            reactor.pause().await;
        }
    }
    if let Output::Fifo { sink, .. } = &output {
        until_read(&reactor, sink, &progress).await;
    }
    output.finish();
}

/// Waits until the other side of a FIFO has read everything, as long as it reads at all: containerd's clients close
/// their end as soon as they hear of the exit, and would lose the rest.
async fn until_read(reactor: &Reactor, sink: &Watched<OwnedFd>, progress: &impl Fn()) {
    let mut last = u64::MAX;
    let mut idle = Duration::ZERO;
    while let Ok(unread @ 1..) = rustix::io::ioctl_fionread(sink)
        && idle < READER_PATIENCE
    {
        if unread == last {
            idle += READER_PAUSE;
        } else {
            (last, idle) = (unread, Duration::ZERO);
            progress();
        }
        reactor.sleep(READER_PAUSE).await;
    }
}
