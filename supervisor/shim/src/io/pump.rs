//! Copying output.
//!
//! A pipe into a FIFO is spliced: its bytes never come up here. Everything else goes through one buffer that all
//! pumps of the process share, since none keeps it across a wait.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::attach::Hub;
use super::log::LogStream;
use super::{IoError, Stream};
use crate::journal;
use crate::reactor::{Reactor, Watched};

const CHUNK: usize = 64 << 10;
/// How many chunks are copied before other futures get their turn.
const TURN: usize = 16;

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

/// Copies a pipe until all its writers are gone.
pub(super) async fn pipe(reactor: Reactor, source: Watched<OwnedFd>, output: Output) {
    match output {
        Output::Fifo { sink, _keeper } => splice(&reactor, &source, &sink).await,
        output => copy(&reactor, &source, output).await,
    }
}

/// Copies a terminal until its other side is closed, which reads as an error.
pub(super) async fn terminal(reactor: Reactor, master: Rc<Watched<OwnedFd>>, output: Output) {
    copy(&reactor, &master, output).await;
}

async fn copy(reactor: &Reactor, source: &Watched<OwnedFd>, mut output: Output) {
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
        turn += 1;
        if turn % TURN == 0 {
            reactor.pause().await;
        }
    }
    output.finish();
}

async fn splice(reactor: &Reactor, source: &Watched<OwnedFd>, sink: &Watched<OwnedFd>) {
    let mut turn = 0;
    loop {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let moved = rustix::pipe::splice(source, None, sink, None, CHUNK * TURN, flags);
        match moved {
            Ok(0) => return,
            Ok(_) => {
                turn += 1;
                if turn % TURN == 0 {
                    reactor.pause().await;
                }
            }
            Err(Errno::INTR) => {}
            // Either end can be the reason. With input waiting before a second try, it is the sink that is full.
            Err(Errno::AGAIN) => {
                if !is_readable(source) {
                    let waited =
                        source.reading(|fd| if is_readable(fd) { Ok(()) } else { Err(Errno::AGAIN) });
                    let _ = waited.await;
                } else {
                    let retried =
                        sink.writing(|fd| rustix::pipe::splice(source, None, fd, None, CHUNK * TURN, flags));
                    if matches!(retried.await, Ok(0) | Err(_)) {
                        return;
                    }
                }
            }
            Err(error) => {
                journal::warn_once("copy output", &error);
                return;
            }
        }
    }
}

/// Whether a read would not wait: there is input, or the end of it.
fn is_readable(fd: impl std::os::fd::AsFd) -> bool {
    let mut polled = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut polled, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0)
}
