//! Bridges: made when the first container needs them, found again after a restart, removed with their network.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use dhow_linux::file::PathError;
use ipnet::IpNet;
use nix::errno::Errno;

use super::definition::Definition;
use super::firewall;
use super::link::{self, Link, Mac};
use super::netlink::{Family, NetlinkError, Socket};

/// A bridge that could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    /// The kernel refused.
    #[error("bridge {name}")]
    Netlink {
        /// Its interface.
        name: String,
        /// What was refused.
        source: NetlinkError,
    },
    /// Somebody else has an interface of that name.
    #[error("interface {0} exists and is no bridge")]
    Foreign(String),
    /// A sysctl.
    #[error(transparent)]
    Sysctl(#[from] PathError),
}

/// Makes sure that the bridge of `network` is there, up, with its addresses: its index.
pub(super) fn ensure(network: &Definition) -> Result<u32, BridgeError> {
    let name = &network.bridge;
    let fail = |source| BridgeError::Netlink { name: name.clone(), source };
    let socket = Socket::open(Family::Route).map_err(fail)?;
    let link = match link::find(&socket, name).map_err(fail)? {
        Some(link) if link.kind.as_deref() == Some("bridge") => link,
        Some(_) => return Err(BridgeError::Foreign(name.clone())),
        None => make(&socket, network).map_err(fail)?,
    };
    let has = link::addresses(&socket, Some(link.index)).map_err(fail)?;
    let missing: Vec<_> = gateways(network)
        .into_iter()
        .filter(|wanted| !has.contains(wanted))
        .map(|wanted| link::add_address(link.index, wanted))
        .collect();
    socket.send(&missing).map_err(fail)?;
    socket.send(&[link::up(link.index)]).map_err(fail)?;
    // Publishing on 127.0.0.1: answers to the host's loopback come in by the bridge.
    sysctl(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    sysctl("ipv4/ip_forward", "1")?;
    if network.ipv6 {
        sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(link.index)
}

fn make(socket: &Socket, network: &Definition) -> Result<Link, NetlinkError> {
    let mut mac = [0x02, 0x42, 0, 0, 0, 0];
    mac[2..].copy_from_slice(&super::random_bytes::<4>());
    match socket.send(&[link::add_bridge(&network.bridge, Mac(mac), network.mtu())]) {
        Err(error) if error.is(Errno::EEXIST) => {}
        other => other?,
    }
    link::find(socket, &network.bridge)?.ok_or_else(|| NetlinkError::missing("find the bridge just made"))
}

/// The addresses of the bridge itself. An internal network has them too: containers may ask the host's resolver.
fn gateways(network: &Definition) -> Vec<IpNet> {
    let subnets = network.pools.iter().map(|pool| pool.subnet());
    subnets.map(|subnet| subnet.with_prefix(subnet.gateway)).collect()
}

/// Removes the bridge called `name`, when there is one.
pub(super) fn remove(name: &str) -> Result<(), BridgeError> {
    let fail = |source| BridgeError::Netlink { name: name.to_owned(), source };
    let socket = Socket::open(Family::Route).map_err(fail)?;
    match link::find(&socket, name).map_err(fail)? {
        Some(found) if found.kind.as_deref() == Some("bridge") => {
            socket.send(&[link::delete(found.index)]).map_err(fail)
        }
        _ => Ok(()),
    }
}

/// What the firewall must know of a network.
pub(super) fn policy(network: &Definition) -> firewall::Bridge {
    firewall::Bridge {
        name: network.bridge.clone(),
        subnets: network.pools.iter().map(|pool| pool.subnet).collect(),
        internal: network.internal,
        talk: network.flag("enable_icc", true),
        masquerade: network.flag("enable_ip_masquerade", true),
    }
}

/// Every subnet that this host routes or has an address in: no pool may overlap with these.
pub(super) fn used_subnets() -> Result<Vec<IpNet>, NetlinkError> {
    let socket = Socket::open(Family::Route)?;
    let mut used = link::routed(&socket)?;
    used.extend(link::addresses(&socket, None)?);
    used.extend(name_servers().into_iter().map(IpNet::from));
    Ok(used)
}

/// Name servers of this host: a subnet that hides one would leave containers without names.
pub(super) fn name_servers() -> Vec<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|rest| rest.trim().parse().ok()).collect()
}

/// Writes a sysctl of the network, unless it says so already.
fn sysctl(name: &str, value: &str) -> Result<(), PathError> {
    let path = Path::new("/proc/sys/net").join(name);
    if std::fs::read_to_string(&path).is_ok_and(|text| text.trim() == value) {
        return Ok(());
    }
    match std::fs::write(&path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(PathError::at("write", &path)),
    }
}
