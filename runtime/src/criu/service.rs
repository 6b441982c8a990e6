//! One `criu swrk` process: a request, what it tells on the way, an answer.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
};

use super::CriuError;
use super::request::{Feature, Kind, Options, Response, feature_check, notified, request};
use super::wire::Message;
use crate::log;

/// Where CRIU finds its socket: the argument of `swrk`.
const SOCKET: i32 = 3;
/// CRIU's own limit.
const LONGEST: usize = 10 * 4096;

/// What CRIU tells, and waits for an answer to.
#[derive(Debug)]
pub(crate) struct Notification {
    /// Where it is: `setup-namespaces`, `post-restore` …
    pub(crate) script: String,
    /// The first process.
    pub(crate) pid: i32,
    /// The master of a terminal, with `orphan-pts-master`.
    pub(crate) descriptor: Option<OwnedFd>,
}

/// A running `criu swrk`.
#[derive(Debug)]
pub(super) struct Service {
    socket: Option<OwnedFd>,
    child: Child,
}

impl Service {
    /// Starts CRIU; it finds `extra` from descriptor 4 on. Its standard streams are the caller's when it is to restore
    /// a process with these.
    pub(super) fn start(streams: bool, extra: Vec<OwnedFd>) -> Result<Self, CriuError> {
        let kind = SocketType::SEQPACKET;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(CriuError::call("socketpair"))?;
        let mut command = Command::new("criu");
        command.arg("swrk").arg(SOCKET.to_string());
        if !streams {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        }
        let passed = std::iter::once(theirs).chain(extra).zip(SOCKET..).collect();
        let command = dhow_linux::spawn::pass_fds(&mut command, passed).map_err(CriuError::call("dup"))?;
        let child =
            dhow_linux::spawn::unblock_signals(command).spawn().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => CriuError::Missing,
                _ => CriuError::Call { action: "start criu", source: error },
            })?;
        Ok(Self { socket: Some(ours), child })
    }

    /// Its pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request and waits for its answer; `heard` gets every notification on the way.
    pub(super) fn call<E: From<CriuError>>(
        self,
        kind: Kind,
        message: &Message,
        mut heard: impl FnMut(Notification) -> Result<(), E>,
    ) -> Result<Response, E> {
        log::debug(&format!("Using CRIU in {kind} mode"));
        self.send(message)?;
        loop {
            let (response, descriptor) = self.receive()?;
            if !response.success {
                return Err(failure(&response).into());
            }
            match (response.kind, response.notify) {
                (Some(Kind::Notify), Some((script, pid))) => {
                    log::debug(&format!("notify: {script}"));
                    let done = heard(Notification { script, pid, descriptor });
                    self.send(&notified(done.is_ok()))?;
                    done?;
                }
                (Some(answered), notify) if answered == kind => {
                    self.finish(kind)?;
                    return Ok(Response { notify, ..response });
                }
                _ => return Err(CriuError::Answer.into()),
            }
        }
    }

    /// Closes the conversation and waits for CRIU's end.
    fn finish(mut self, kind: Kind) -> Result<(), CriuError> {
        drop(self.socket.take());
        let status = self.child.wait().map_err(CriuError::call("wait for criu"))?;
        // A CRIU that made a pre-dump waits for another one, and takes the end of the conversation for an error.
        if status.success() || kind == Kind::PreDump { Ok(()) } else { Err(CriuError::Ended(status)) }
    }

    fn send(&self, message: &Message) -> Result<(), CriuError> {
        let socket = self.socket.as_ref().ok_or(CriuError::Answer)?;
        match rustix::io::write(socket, message.encoded()) {
            Ok(_) => Ok(()),
            Err(error) => Err(CriuError::call("write to criu")(error)),
        }
    }

    fn receive(&self) -> Result<(Response, Option<OwnedFd>), CriuError> {
        let socket = self.socket.as_ref().ok_or(CriuError::Answer)?;
        let mut bytes = vec![0_u8; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(CriuError::call("read from criu")(error)),
                Ok(received) => break received.bytes,
            }
        };
        let mut descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptor = descriptors.next().and_then(|mut descriptors| descriptors.next());
        if length == 0 {
            return Err(CriuError::Call {
                action: "read from criu",
                source: io::ErrorKind::UnexpectedEof.into(),
            });
        }
        let response = Response::decode(&bytes[..length]).ok_or(CriuError::Answer)?;
        Ok((response, descriptor))
    }
}

impl Drop for Service {
    /// An unfinished CRIU sees the end of the conversation, undoes what it began, and ends.
    fn drop(&mut self) {
        if self.socket.take().is_some() {
            drop(self.child.wait());
        }
    }
}

fn failure(response: &Response) -> CriuError {
    let kind = response.kind.map_or_else(String::new, |kind| kind.to_string());
    CriuError::Failed { kind, errno: response.errno, message: response.message.clone() }
}

/// Notifications that nobody waits for.
fn deaf(_: Notification) -> Result<(), CriuError> {
    Ok(())
}

/// The version of the CRIU that is installed.
pub(super) fn version() -> Result<u32, CriuError> {
    let ask = || Service::start(false, Vec::new())?.call(Kind::Version, &request(Kind::Version, None), deaf);
    let response = ask().map_err(|error| CriuError::Version(Box::new(error)))?;
    log::debug(&format!("Using CRIU {}", response.version));
    Ok(response.version)
}

/// Refuses when CRIU, or the kernel, lacks `feature`.
pub(super) fn require(feature: Feature) -> Result<(), CriuError> {
    let response =
        Service::start(false, Vec::new())?.call(Kind::FeatureCheck, &feature_check(feature), deaf)?;
    if response.features.contains(&(feature as u64)) {
        return Ok(());
    }
    Err(CriuError::Feature(feature.name()))
}

/// One whole request with options.
pub(super) fn ask<E: From<CriuError>>(
    service: Service,
    kind: Kind,
    options: &Options,
    heard: impl FnMut(Notification) -> Result<(), E>,
) -> Result<(), E> {
    service.call(kind, &request(kind, Some(options)), heard).map(drop)
}
