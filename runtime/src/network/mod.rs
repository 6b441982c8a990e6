//! Network devices of the host that a container gets (`linux.netDevices`), with their addresses.
//!
//! ```text
//! look up and list addresses → down → move and rename in one step → addresses again → up
//! ```
//! A device that cannot be moved whole comes back as it was. Those that were moved before it stay: a namespace that ends
//! gives physical devices back by itself, and one that was only joined keeps them, as the runtime-spec wants it.

mod message;
mod netlink;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use dhow_linux::clone::{self, NamespaceFlags};
use dhow_linux::file::PathError;

use crate::log;
use crate::spec::{NetDevice, Spec};
use message::{Address, Link};
use netlink::Netlink;

/// A device could not be moved.
#[derive(Debug, thiserror::Error)]
#[error("move netDevice {name} to namespace {namespace}")]
pub(crate) struct NetDeviceError {
    name: String,
    namespace: String,
    source: MoveError,
}

/// The step at which it could not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    /// There is none of that name.
    #[error("link not found for interface {name} {place}")]
    NotFound { name: String, place: &'static str, source: io::Error },
    /// A namespace cannot be opened.
    #[error(transparent)]
    File(#[from] PathError),
    /// The kernel refuses.
    #[error("fail to {0}")]
    Refused(&'static str, #[source] io::Error),
}

fn refused(action: &'static str) -> impl FnOnce(io::Error) -> MoveError {
    move |source| MoveError::Refused(action, source)
}

/// Moves the devices of `spec` into the network namespace at `namespace`.
pub(crate) fn move_devices(spec: &Spec, namespace: &str) -> Result<(), NetDeviceError> {
    for (name, device) in &spec.linux.net_devices {
        log::debug(&format!("attaching network device {name} to network namespace {namespace}"));
        move_device(name, device, Path::new(namespace)).map_err(|source| NetDeviceError {
            name: name.clone(),
            namespace: namespace.to_owned(),
            source,
        })?;
    }
    Ok(())
}

fn move_device(name: &str, device: &NetDevice, namespace: &Path) -> Result<(), MoveError> {
    let own = open(Path::new("/proc/self/ns/net"))?;
    let target = open(namespace)?;
    let mut here = Netlink::open().map_err(refused("open a netlink socket"))?;
    let link = find(&mut here, name, "on runtime namespace")?;
    // Before it goes down: that takes its IPv6 addresses away.
    let addresses = here.addresses(link.index).map_err(refused("get ip addresses"))?;
    let mut there = inside(&own, &target)?;
    let new_name = free_name(&mut there, if device.name.is_empty() { name } else { &device.name });
    let new_name = new_name.as_str();
    here.set_up(link.index, false).map_err(refused("set link down"))?;
    let moved = Move { here, there, link, name, new_name, own: &own, target: &target };
    moved.run(&addresses)
}

/// The name that is meant: `%d` in it stands for the first number that nobody has there. The kernel would choose the same
/// one, and not tell.
fn free_name(there: &mut Netlink, wanted: &str) -> String {
    let Some((before, after)) = wanted.split_once("%d") else { return wanted.to_owned() };
    let mut names = (0..=u16::MAX).map(|number| format!("{before}{number}{after}"));
    names.find(|name| there.link(name).is_err()).unwrap_or_else(|| wanted.to_owned())
}

/// A device on its way.
struct Move<'a> {
    here: Netlink,
    there: Netlink,
    link: Link,
    name: &'a str,
    new_name: &'a str,
    own: &'a File,
    target: &'a File,
}

impl Move<'_> {
    fn run(mut self, addresses: &[Address]) -> Result<(), MoveError> {
        let done = self.go(addresses);
        if done.is_err() {
            self.come_back(addresses);
        }
        done
    }

    fn go(&mut self, addresses: &[Address]) -> Result<(), MoveError> {
        self.here
            .move_link(self.link.index, self.new_name, self.target.as_raw_fd())
            .map_err(refused("move network device"))?;
        let link = find(&mut self.there, self.new_name, "on container namespace")?;
        for address in addresses.iter().filter(|address| address.is_portable()) {
            self.there.add_address(link.index, address).map_err(refused("set up address"))?;
        }
        self.there.set_up(link.index, true).map_err(refused("set up interface"))
    }

    /// As it was, as far as that goes: the error that is about to be told is the one that matters.
    fn come_back(&mut self, addresses: &[Address]) {
        // The kernel moves first and renames then: a refused name leaves the device there, under its old one.
        if self.here.link(self.name).is_err() {
            for name in [self.name, self.new_name] {
                if let Ok(moved) = self.there.link(name)
                    && self.there.move_link(moved.index, self.name, self.own.as_raw_fd()).is_ok()
                {
                    break;
                }
            }
        }
        let Ok(link) = self.here.link(self.name) else { return };
        for address in addresses.iter().filter(|address| address.is_permanent()) {
            // Most may still be there.
            drop(self.here.add_address(link.index, address));
        }
        if self.link.is_up {
            drop(self.here.set_up(link.index, true));
        }
    }
}

fn find(netlink: &mut Netlink, name: &str, place: &'static str) -> Result<Link, MoveError> {
    netlink.link(name).map_err(|source| MoveError::NotFound { name: name.to_owned(), place, source })
}

fn open(path: &Path) -> Result<File, MoveError> {
    File::open(path).map_err(PathError::at("open", path)).map_err(Into::into)
}

/// A netlink socket of another namespace: a socket belongs to the namespace that its maker is in.
fn inside(own: &File, target: &File) -> Result<Netlink, MoveError> {
    clone::join(target.as_fd(), NamespaceFlags::NETWORK).map_err(refused("join the network namespace"))?;
    let opened = Netlink::open();
    clone::join(own.as_fd(), NamespaceFlags::NETWORK).map_err(refused("leave the network namespace"))?;
    opened.map_err(refused("open a netlink socket"))
}
