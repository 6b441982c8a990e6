//! FIFOs between a client and a process, opened as containerd's clients expect.
//!
//! Each is kept open at both ends: a client that leaves neither breaks the process's stdout nor closes its stdin, and
//! another one may come later. The first reader of an output must be there, though, before anything is written, or
//! what a short process printed would vanish with our end.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_linux::file::PathError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::IoError;
use crate::reactor::{Reactor, Watched};

/// How long a client may take to open its end, as in containerd.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens an output: the end to write to, and the reading end that keeps it alive.
pub(super) async fn open_write(
    reactor: &Reactor,
    path: &Path,
) -> Result<(Watched<OwnedFd>, OwnedFd), IoError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    let sink = loop {
        match open(path, OFlags::WRONLY) {
            Ok(sink) => break sink,
            Err(Errno::NXIO) if begun.elapsed() < PATIENCE => {
                reactor.sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(Errno::NXIO) => return Err(IoError::NoReader(path.to_owned())),
            Err(error) => return Err(PathError::at("open fifo", path)(error.into()).into()),
        }
    };
    // Not granted to everyone; the smaller buffer works too.
    let _ = rustix::pipe::fcntl_setpipe_size(&sink, super::PIPE_SIZE);
    let keeper =
        open(path, OFlags::RDONLY).map_err(|error| PathError::at("open fifo", path)(error.into()))?;
    Ok((Watched::new(reactor, sink).map_err(IoError::Pipe)?, keeper))
}

/// Opens an input: the end to read from, and the writing end without which a missing client would look like its end.
pub(super) fn open_read(reactor: &Reactor, path: &Path) -> Result<(Watched<OwnedFd>, OwnedFd), IoError> {
    let failed = |error: Errno| PathError::at("open fifo", path)(error.into());
    let source = open(path, OFlags::RDONLY).map_err(failed)?;
    let keeper = open(path, OFlags::WRONLY).map_err(failed)?;
    Ok((Watched::new(reactor, source).map_err(IoError::Pipe)?, keeper))
}

fn open(path: &Path, mode: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, mode | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}
