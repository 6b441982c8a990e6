//! The parent's half of [`crate::init::sync`].

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::LinuxSeccomp;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{WaitOptions, WaitStatus};
use serde_json::{Value, json};

use super::LaunchError;
use super::spawn::Child;
use crate::cgroup::Manager;
use crate::container::{OciState, Status};
use crate::init::send_descriptor;
use crate::init::sync::Message;
use crate::log;
use crate::spec::VERSION;

/// What the dialogue needs to know of the two sides.
pub(super) struct Dialogue<'a> {
    pub(super) child: &'a Child,
    pub(super) cgroups: &'a Manager,
    pub(super) listener: Option<&'a LinuxSeccomp>,
    /// Whether nothing is to be done when the child is ready, so that it need not wait: it is told to go on before it
    /// asks, and it asks nothing before that.
    pub(super) ahead: bool,
}

/// What the parent does at the stations of the way.
pub(super) trait Partner {
    /// A tree wants the owners of a mount.
    fn map_owners(&mut self, place: usize, tree: &OwnedFd) -> Result<(), LaunchError>;
    /// The mounts are made.
    fn mounted(&mut self) -> Result<(), LaunchError>;
    /// The process is ready to become its program.
    fn ready(&mut self) -> Result<(), LaunchError>;
    /// The container's state, for a seccomp agent.
    fn oci_state(&self, status: Status) -> OciState<'_>;
}

impl Dialogue<'_> {
    /// Talks until the child waits for `start` or has become its program.
    pub(super) fn hold(&self, partner: &mut impl Partner) -> Result<(), LaunchError> {
        let mut ready = false;
        if self.ahead {
            self.go()?;
        }
        loop {
            let message =
                self.child.channel.receive().map_err(LaunchError::call("sync with the container"))?;
            match message {
                Some(Message::Map(place, number)) => {
                    let tree = dhow_linux::descriptor::copy_from(&self.child.handle, number)
                        .map_err(LaunchError::call("pidfd_getfd"))?;
                    partner.map_owners(place, &tree)?;
                }
                Some(Message::Mounted) => partner.mounted()?,
                Some(Message::Ready) => {
                    partner.ready()?;
                    ready = true;
                    if self.ahead {
                        continue;
                    }
                }
                Some(Message::Listener(number)) => self.pass_listener(number, partner)?,
                Some(Message::Warning(text)) => {
                    log::warn(&text);
                    continue;
                }
                Some(Message::Failed(text)) => return Err(self.failure(text)),
                Some(Message::Waiting) => return Ok(()),
                None if ready => return Ok(()),
                Some(Message::Pid(_)) | None => return Err(self.failure(self.death())),
            }
            self.go()?;
        }
    }

    fn go(&self) -> Result<(), LaunchError> {
        match self.child.channel.go() {
            // A child that died in between says so in the next message.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(LaunchError::call("sync with the container")),
        }
    }

    /// The cause behind a failure: an init killed for memory can say anything, or nothing.
    fn failure(&self, text: String) -> LaunchError {
        if self.cgroups.oom_kills().is_ok_and(|kills| kills > 0) {
            let text = "container init was OOM-killed (memory limit too low?)".to_owned();
            return LaunchError::Usage(format!("unable to start container process: {text}"));
        }
        LaunchError::Init(text)
    }

    /// How a child ended that said nothing.
    fn death(&self) -> String {
        match rustix::process::waitpid(Some(self.child.pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => format!("the process ended before it was ready: {}", describe(status)),
            _ => "the process ended before it was ready".to_owned(),
        }
    }

    /// Copies the listener and hands it to the agent that the profile names.
    fn pass_listener(&self, number: i32, partner: &impl Partner) -> Result<(), LaunchError> {
        let failed = |text: &str| LaunchError::Usage(text.to_owned());
        let profile = self.listener.ok_or_else(|| failed("seccomp listener without a profile"))?;
        let path =
            profile.listener_path().as_ref().ok_or_else(|| failed("seccomp listenerPath is not set"))?;
        let listener = dhow_linux::descriptor::copy_from(&self.child.handle, number)
            .map_err(LaunchError::call("pidfd_getfd"))?;
        let state = partner.oci_state(Status::Creating).to_json();
        let message = json!({
            "ociVersion": VERSION,
            "fds": ["seccompFd"],
            "pid": self.child.pid.as_raw_nonzero().get(),
            "metadata": profile.listener_metadata().as_deref().unwrap_or_default(),
            "state": serde_json::from_slice::<Value>(&state).unwrap_or_default(),
        });
        let socket = connect(path).map_err(LaunchError::call(
            "failed to connect with seccomp agent specified in the seccomp profile",
        ))?;
        send_descriptor(socket.as_fd(), message.to_string().as_bytes(), listener.as_fd())
            .map_err(LaunchError::call("cannot send seccomp fd"))
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

/// Connects to a Unix socket.
pub(super) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let address = SocketAddrUnix::new(path)?;
    // Between bind and listen the file is there already, and callers wait for the file.
    for _ in 0..50 {
        match rustix::net::connect(&socket, &address) {
            Err(rustix::io::Errno::CONNREFUSED) => std::thread::sleep(Duration::from_millis(1)),
            other => return other.map(|()| socket).map_err(Into::into),
        }
    }
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// Receives one descriptor.
pub(super) fn receive_descriptor(socket: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0_u8; 256];
    let mut parts = [io::IoSliceMut::new(&mut text)];
    rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
