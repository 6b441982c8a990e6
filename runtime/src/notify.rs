//! systemd's readiness protocol for the program of a container (`NOTIFY_SOCKET`): a socket of its own, whose `READY=1`
//! is passed on together with the pid that the service manager is to watch.
//!
//! ```text
//! ROOT/ID/notify/notify.sock   bound by `run` and `start`, seen by the container as /run/notify/notify.sock
//! ```
//! Nothing else of the protocol is passed on: what a container says must not speak for the whole service.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use dhow_linux::clone::{self, Side};
use dhow_linux::file::PathError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

use crate::log;
use crate::spec::{self, Spec};

const VARIABLE: &str = "NOTIFY_SOCKET";
const INSIDE: &str = "/run/notify";
const NAME: &str = "notify.sock";
/// How long systemd may take to say that it has read everything.
const BARRIER: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// The container's socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotifyError {
    /// Below the root.
    #[error(transparent)]
    File(#[from] PathError),
    /// The configuration cannot take the mount.
    #[error("add the notify socket to the configuration")]
    Configuration(#[from] serde_json::Error),
}

/// A service manager that waits for the container.
#[derive(Debug)]
pub(crate) struct Notify {
    host: OsString,
    folder: PathBuf,
}

impl Notify {
    /// The manager that the environment names, for the container in `folder` below the root.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let host = std::env::var_os(VARIABLE).filter(|host| !host.is_empty())?;
        Some(Self { host, folder: folder.join("notify") })
    }

    /// Makes the folder that the container sees, and gives the configuration with it, and its text.
    pub(crate) fn prepare(&self, config: &[u8]) -> Result<(Spec, Vec<u8>), NotifyError> {
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(&self.folder)
            .map_err(PathError::at("mkdir", &self.folder))?;
        let config = with_socket(serde_json::from_slice(config)?, &self.folder);
        Ok(spec::parse(serde_json::to_vec(&config)?)?)
    }

    /// Binds the socket; none when the container was created for nobody who waits.
    pub(crate) fn listen(self) -> Result<Option<Listener>, NotifyError> {
        let failed = |error: io::Error| PathError::at("bind", self.folder.join(NAME))(error);
        let folder = match rustix::fs::open(&self.folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(|error| failed(error.into()))?,
        };
        // Through the descriptor: the path may be longer than an address can be.
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()));
        let socket = UnixDatagram::bind(&path).map_err(failed)?;
        // Whoever the container's program is: it is alone with it.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).map_err(failed)?;
        Ok(Some(Listener { socket, host: self.host }))
    }
}

/// The configuration with the mount and the variable.
fn with_socket(mut config: Value, folder: &Path) -> Value {
    let mount = json!({
        "destination": INSIDE,
        "source": folder.to_string_lossy(),
        "options": ["bind", "nosuid", "noexec", "nodev", "ro"],
    });
    let variable = json!(format!("{VARIABLE}={INSIDE}/{NAME}"));
    add(&mut config["mounts"], mount);
    if let Some(process) = config.get_mut("process").filter(|process| process.is_object()) {
        add(&mut process["env"], variable);
    }
    config
}

fn add(list: &mut Value, value: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(value),
        None => *list = json!([value]),
    }
}

/// The container's socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixDatagram,
    host: OsString,
}

impl Listener {
    /// Waits until the container says that it is ready, or its first process ends; tells the manager, with `main` as
    /// the process to watch.
    pub(crate) fn forward(&self, container: Pid, main: i32) {
        let done = self.wait(container).and_then(|ready| match ready {
            Some(line) => tell(&self.host, &line, main),
            None => Ok(()),
        });
        if let Err(error) = done {
            log::warn(&format!("notify {}: {error}", self.host.display()));
        }
    }

    /// The same from a process of its own, while this one waits for the container.
    pub(crate) fn forward_meanwhile(&self, container: Pid) {
        let main = rustix::process::getpid().as_raw_nonzero().get();
        match clone::clone3(&clone::Options::default()) {
            Ok(Side::Child) => {
                self.forward(container, main);
                dhow_linux::exec::exit_now(0)
            }
            Ok(Side::Parent { .. }) => {}
            Err(error) => log::warn(&format!("notify {}: {error}", self.host.display())),
        }
    }

    fn wait(&self, container: Pid) -> io::Result<Option<Vec<u8>>> {
        let ended = match pidfd_open(container, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(None),
            other => other?,
        };
        let mut datagram = [0_u8; 4096];
        loop {
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)];
            match poll(&mut polled, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let [spoke, over] = polled.map(|one| !one.revents().is_empty());
            if spoke {
                let length = self.socket.recv(&mut datagram)?;
                if let Some(line) = ready_line(&datagram[..length]) {
                    return Ok(Some(line.to_vec()));
                }
            } else if over {
                return Ok(None);
            }
        }
    }
}

/// The line that says so, when there is one.
fn ready_line(datagram: &[u8]) -> Option<&[u8]> {
    datagram.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="))
}

fn tell(host: &OsStr, ready: &[u8], main: i32) -> io::Result<()> {
    let manager = UnixDatagram::unbound()?;
    match host.as_bytes() {
        [b'@', name @ ..] => manager.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => manager.connect(host)?,
    }
    manager.send(&[ready, b"\n"].concat())?;
    manager.send(format!("MAINPID={main}\n").as_bytes())?;
    barrier(&manager)
}

/// Waits until the manager has handled what was sent: it closes the pipe that comes with `BARRIER=1`.
fn barrier(manager: &UnixDatagram) -> io::Result<()> {
    let (read, write) = io::pipe()?;
    let write = OwnedFd::from(write);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [write.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(manager, &[IoSlice::new(b"BARRIER=1")], &mut ancillary, SendFlags::NOSIGNAL)?;
    drop(write);
    match poll(&mut [PollFd::new(&read, PollFlags::IN)], Some(&BARRIER)) {
        Ok(0) => log::warn("Timeout after waiting 30s for barrier. Ignored."),
        other => drop(other?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readiness_is_passed_on() {
        assert_eq!(ready_line(b"READY=1"), Some(&b"READY=1"[..]));
        assert_eq!(ready_line(b"STATUS=up\nREADY=1\n"), Some(&b"READY=1"[..]));
        assert_eq!(ready_line(b"MAINPID=1\nSTATUS=READY=1"), None);
    }

    #[test]
    fn the_configuration_gets_a_mount_and_a_variable() {
        let config =
            with_socket(json!({"process": {"env": ["A=B"]}, "mounts": null}), Path::new("/r/c/notify"));
        assert_eq!(config["mounts"][0]["destination"], "/run/notify");
        assert_eq!(config["process"]["env"], json!(["A=B", "NOTIFY_SOCKET=/run/notify/notify.sock"]));
        assert!(with_socket(json!({}), Path::new("/")).get("process").is_none());
    }
}
