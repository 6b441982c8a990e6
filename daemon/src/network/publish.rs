//! Published ports: what was asked for, which host ports that means, and holding them.
//!
//! A port is held by really binding it: another program that has it is found out, and none can take it later. The
//! rules of the firewall take packets before they reach these sockets; whatever they do not catch (IPv6 to a container
//! without an IPv6 address, or a host whose rules were flushed) arrives here and is passed on by [`super::proxy`].

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

use dhow_engine_api::endpoint::{PortBinding, PortMap};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};

use super::firewall::Protocol;
use super::record::PortRecord;

const BACKLOG: i32 = 128;

/// One port of a container, and where it is wanted on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    protocol: Protocol,
    container: u16,
    /// Addresses of the host; both families' unspecified ones when the user named none.
    host: Vec<IpAddr>,
    ports: RangeInclusive<u16>,
}

/// A port that is held.
#[derive(Debug)]
pub(super) struct Held {
    /// What it is for.
    pub(super) record: PortRecord,
    /// The socket; none for SCTP.
    pub(super) socket: Option<OwnedFd>,
}

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// Not `80/tcp`.
    #[error("invalid port specification: {0:?}")]
    Port(String),
    /// Not an address.
    #[error("invalid IP address in port bindings: {0:?}")]
    Address(String),
    /// Another container has it.
    #[error("Bind for {0} failed: port is already allocated")]
    Allocated(SocketAddr),
    /// Another program has it, or the kernel refuses.
    #[error("failed to bind host port {address}/{protocol}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No free port in the range.
    #[error("all ports are allocated")]
    None,
}

impl Protocol {
    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Reads `80/tcp` or `80`.
pub(crate) fn parse_port(text: &str) -> Result<(u16, Protocol), PublishError> {
    let wrong = || PublishError::Port(text.to_owned());
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(wrong()),
    };
    Ok((port.parse().map_err(|_| wrong())?, protocol))
}

/// What a container's bindings, and its exposed ports when all are to be published, mean.
pub(super) fn wanted(
    bindings: &PortMap,
    exposed: &[String],
    publish_all: bool,
) -> Result<Vec<Wanted>, PublishError> {
    let mut all: BTreeMap<String, Vec<PortBinding>> =
        bindings.iter().map(|(port, list)| (port.clone(), list.clone().unwrap_or_default())).collect();
    if publish_all {
        for port in exposed {
            let list = all.entry(port.clone()).or_default();
            if list.is_empty() {
                list.push(PortBinding::default());
            }
        }
    }
    let mut wanted = Vec::new();
    for (port, bindings) in &all {
        let (container, protocol) = parse_port(port)?;
        for binding in bindings {
            wanted.push(Wanted {
                protocol,
                container,
                host: addresses(&binding.host_ip)?,
                ports: range(&binding.host_port)?,
            });
        }
    }
    Ok(wanted)
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, PublishError> {
    if text.is_empty() {
        return Ok(vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    Ok(vec![bare.parse().map_err(|_| PublishError::Address(text.to_owned()))?])
}

/// A port or a range of ports; 0 and nothing mean any.
fn range(text: &str) -> Result<RangeInclusive<u16>, PublishError> {
    let wrong = |_| PublishError::Port(text.to_owned());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if first.is_empty() {
        return Ok(0..=0);
    }
    let (first, last) = (first.parse().map_err(wrong)?, last.parse().map_err(wrong)?);
    if last < first { Err(PublishError::Port(text.to_owned())) } else { Ok(first..=last) }
}

/// The ports that the kernel gives out by itself, from which any port is chosen.
fn ephemeral() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (words.next(), words.next()) {
        (Some(first), Some(last)) if first < last => first..=last,
        _ => 32768..=60999,
    }
}

impl Wanted {
    /// Holds a port on every wanted address, the same one on all. `taken` are the ports of other containers.
    pub(super) fn hold(&self, inside: Inside, taken: &[PortRecord]) -> Result<Vec<Held>, PublishError> {
        let any = *self.ports.start() == 0;
        let single = self.ports.start() == self.ports.end() && !any;
        let candidates = if any { ephemeral() } else { self.ports.clone() };
        for port in candidates {
            match self.hold_port(port, inside, taken) {
                Err(PublishError::Allocated(_) | PublishError::Bind { .. }) if !single => {}
                result => return result,
            }
        }
        Err(PublishError::None)
    }

    fn hold_port(&self, port: u16, inside: Inside, taken: &[PortRecord]) -> Result<Vec<Held>, PublishError> {
        let mut held = Vec::new();
        for ip in &self.host {
            let host = SocketAddr::new(*ip, port);
            if taken.iter().any(|other| other.protocol == self.protocol && collide(other.host, host)) {
                return Err(PublishError::Allocated(host));
            }
            let Some(address) = inside.for_host(*ip) else { continue };
            let record = PortRecord {
                protocol: self.protocol,
                host,
                container: SocketAddr::new(address, self.container),
            };
            match hold(&record) {
                Ok(socket) => held.push(Held { record, socket }),
                // A host without IPv6 publishes on IPv4 alone, unless IPv6 was asked for.
                Err(error) if ip.is_ipv6() && self.host.len() > 1 && without_ipv6(&error) => {}
                Err(source) => {
                    return Err(PublishError::Bind { address: host, protocol: self.protocol.name(), source });
                }
            }
        }
        Ok(held)
    }
}

/// The addresses of a container that ports can lead to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside {
    pub(super) v4: Option<IpAddr>,
    pub(super) v6: Option<IpAddr>,
}

impl Inside {
    /// Where packets to `host` go: to the same family when the container has it, else by the proxy to the other.
    fn for_host(self, host: IpAddr) -> Option<IpAddr> {
        if host.is_ipv6() { self.v6.or(self.v4) } else { self.v4 }
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlapping = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && overlapping
}

fn without_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    const EADDRNOTAVAIL: i32 = 99;
    matches!(error.raw_os_error(), Some(EAFNOSUPPORT | EADDRNOTAVAIL))
}

/// Binds the host's side of a port, and listens there when it is TCP.
pub(super) fn hold(record: &PortRecord) -> io::Result<Option<OwnedFd>> {
    let (kind, protocol) = match record.protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => return Ok(None),
    };
    let family = if record.host.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(protocol))?;
    if record.host.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if record.protocol == Protocol::Tcp {
        // Connections of the last container that are still in TIME_WAIT do not hold the port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &record.host)?;
    if record.protocol == Protocol::Tcp {
        listen(&socket, BACKLOG)?;
    }
    Ok(Some(socket))
}

/// The bindings of a container as the API shows them: exposed ports that are not published are `null`.
pub(crate) fn port_map(ports: &[PortRecord], exposed: &[String]) -> PortMap {
    let mut map: PortMap = exposed.iter().map(|port| (port.clone(), None)).collect();
    for port in ports {
        let key = format!("{}/{}", port.container.port(), port.protocol.name());
        let binding =
            PortBinding { host_ip: port.host.ip().to_string(), host_port: port.host.port().to_string() };
        map.entry(key).or_default().get_or_insert_default().push(binding);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(port: &str, ip: &str, host: &str) -> PortMap {
        let binding = PortBinding { host_ip: ip.into(), host_port: host.into() };
        [(port.to_owned(), Some(vec![binding]))].into()
    }

    const INSIDE: Inside = Inside { v4: Some(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2))), v6: None };

    #[test]
    fn specifications_are_read() {
        assert_eq!(parse_port("80").expect("tcp"), (80, Protocol::Tcp));
        assert_eq!(parse_port("53/UDP").expect("udp"), (53, Protocol::Udp));
        for wrong in ["", "x/tcp", "80/icmp", "70000"] {
            assert!(parse_port(wrong).is_err(), "{wrong}");
        }
        let all = wanted(&PortMap::new(), &["80/tcp".into()], true).expect("published");
        assert_eq!((all[0].host.len(), all[0].ports.clone()), (2, 0..=0));
        assert!(wanted(&bindings("80/tcp", "nowhere", ""), &[], false).is_err());
        assert!(wanted(&bindings("80/tcp", "", "9-8"), &[], false).is_err());
    }

    #[test]
    fn a_port_is_held_once() {
        let any = wanted(&bindings("80/tcp", "127.0.0.1", ""), &[], false).expect("wanted");
        let held = any[0].hold(INSIDE, &[]).expect("some port is free");
        let record = held[0].record;
        let again = wanted(&bindings("80/tcp", "127.0.0.1", &record.host.port().to_string()), &[], false);
        let again = &again.expect("wanted")[0];
        assert!(matches!(again.hold(INSIDE, &[record]), Err(PublishError::Allocated(_))));
        assert!(matches!(again.hold(INSIDE, &[]), Err(PublishError::Bind { .. })));
        drop(held);
        assert!(again.hold(INSIDE, &[]).is_ok());
    }

    #[test]
    fn the_map_shows_exposed_ports_too() {
        let record = PortRecord {
            protocol: Protocol::Tcp,
            host: "0.0.0.0:8080".parse().expect("an address"),
            container: "172.17.0.2:80".parse().expect("an address"),
        };
        let map = port_map(&[record], &["80/tcp".into(), "81/udp".into()]);
        assert_eq!(map["81/udp"], None);
        assert_eq!(map["80/tcp"].as_ref().expect("published")[0].host_port, "8080");
    }
}
