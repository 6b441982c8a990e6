//! A logging process (`binary://`): it reads a container's output from descriptors 3 and 4.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pipe::{PipeFlags, pipe_with};

use super::uri::Logger;
use super::{IoError, Owner, Stream};
use crate::reactor::{Reactor, Watched};

/// How long it may take to be ready.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The ends to write to.
#[derive(Debug)]
pub(super) struct Inputs {
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Inputs {
    pub(super) fn take(&mut self, stream: Stream) -> Option<OwnedFd> {
        match stream {
            Stream::Stdout => self.stdout.take(),
            Stream::Stderr => self.stderr.take(),
        }
    }
}

/// Starts the process and waits until it says that it is ready.
///
/// It ends by itself when the container has: the container holds the only other ends of its pipes.
pub(super) async fn start(reactor: &Reactor, logger: &Logger, owner: &Owner) -> Result<Inputs, IoError> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(IoError::Pipe);
    let (out_read, stdout) = pipe()?;
    let (err_read, stderr) = pipe()?;
    let (ready, ready_write) = pipe()?;
    let mut command = Command::new(&logger.program);
    command
        .args(&logger.args)
        .env_clear()
        .env("CONTAINER_ID", &owner.container)
        .env("CONTAINER_NAMESPACE", &owner.namespace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started =
        dhow_linux::spawn::pass_fds(&mut command, vec![(out_read, 3), (err_read, 4), (ready_write, 5)])
            .and_then(Command::spawn);
    drop(started.map_err(|source| IoError::Logger { program: logger.program.clone(), source })?);
    drop(command);

    rustix::io::ioctl_fionbio(&ready, true).map_err(IoError::Pipe)?;
    let ready = Watched::new(reactor, ready).map_err(IoError::Pipe)?;
    let mut byte = [0];
    let answer = ready.reading(|fd| rustix::io::read(fd, &mut byte));
    let answer = reactor.within(PATIENCE, answer).await;
    let said = matches!(answer, Some(Ok(1..)));
    if answer.is_none() || (logger.strict && !said) {
        return Err(IoError::LoggerNotReady(logger.program.clone()));
    }
    Ok(Inputs { stdout: Some(stdout), stderr: Some(stderr) })
}
