//! Links, addresses and routes: the rtnetlink messages that a bridge and a sandbox need.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use nix::errno::Errno;

use super::netlink::flag;
use super::netlink::{Attributes, Message, NetlinkError, Socket};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_F_NODAD: u8 = 0x02;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const IFF_UP: u32 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;

/// Index of the loopback interface in every network namespace.
pub(super) const LOOPBACK: u32 = 1;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl Mac {
    /// Docker's rule: `02:42` and the four bytes of the IPv4 address.
    pub(crate) fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// Parses `aa:bb:cc:dd:ee:ff`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            *byte = parts
                .next()
                .filter(|part| part.len() == 2)
                .and_then(|part| u8::from_str_radix(part, 16).ok())?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// A link as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) master: Option<u32>,
    pub(super) kind: Option<String>,
}

/// struct ifinfomsg: family, type, index, flags, mask of the flags that change.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Makes a bridge, up.
pub(super) fn add_bridge(name: &str, mac: Mac, mtu: u32) -> Message {
    Message::new("make bridge", RTM_NEWLINK, flag::ACK | flag::CREATE | flag::EXCLUSIVE)
        .raw(&link_header(0, IFF_UP, IFF_UP))
        .text(IFLA_IFNAME, name)
        .attribute(IFLA_ADDRESS, &mac.0)
        .u32(IFLA_MTU, mtu)
        .nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"))
}

/// Makes a veth pair: `host` here, `inside` in the namespace of `netns`.
pub(super) fn add_veth(host: &str, inside: &str, netns: BorrowedFd<'_>) -> Message {
    let netns = u32::try_from(netns.as_raw_fd()).unwrap_or(u32::MAX);
    Message::new("make veth pair", RTM_NEWLINK, flag::ACK | flag::CREATE | flag::EXCLUSIVE)
        .raw(&link_header(0, 0, 0))
        .text(IFLA_IFNAME, host)
        .nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |peer| {
                    peer.raw(&link_header(0, 0, 0)).text(IFLA_IFNAME, inside).u32(IFLA_NET_NS_FD, netns)
                })
            })
        })
}

/// Puts a link into a bridge and brings it up.
pub(super) fn enslave(index: u32, bridge: u32, mtu: u32) -> Message {
    Message::new("attach to bridge", RTM_NEWLINK, flag::ACK)
        .raw(&link_header(index, IFF_UP, IFF_UP))
        .u32(IFLA_MTU, mtu)
        .u32(IFLA_MASTER, bridge)
}

/// Names a link, gives it its hardware address and MTU; it must be down.
pub(super) fn configure(index: u32, name: &str, mac: Mac, mtu: u32) -> Message {
    Message::new("configure link", RTM_NEWLINK, flag::ACK)
        .raw(&link_header(index, 0, 0))
        .text(IFLA_IFNAME, name)
        .attribute(IFLA_ADDRESS, &mac.0)
        .u32(IFLA_MTU, mtu)
}

/// Brings a link up.
pub(super) fn up(index: u32) -> Message {
    Message::new("bring link up", RTM_NEWLINK, flag::ACK).raw(&link_header(index, IFF_UP, IFF_UP))
}

/// Removes a link; the other end of a veth pair goes with it.
pub(super) fn delete(index: u32) -> Message {
    Message::new("remove link", RTM_DELLINK, flag::ACK).raw(&link_header(index, 0, 0))
}

/// Gives a link an address; IPv6 ones without duplicate detection, since IPAM gave them out.
pub(super) fn add_address(index: u32, address: IpNet) -> Message {
    let mut header = [family(address.addr()), address.prefix_len(), 0, RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    if address.addr().is_ipv6() {
        header[2] = IFA_F_NODAD;
    }
    let local = octets(address.addr());
    let message = Message::new("add address", RTM_NEWADDR, flag::ACK | flag::CREATE | flag::EXCLUSIVE)
        .raw(&header)
        .attribute(IFA_LOCAL, &local)
        .attribute(IFA_ADDRESS, &local);
    match address {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            message.attribute(IFA_BROADCAST, &net.broadcast().octets())
        }
        _ => message,
    }
}

/// Makes `gateway` the default route through a link.
pub(super) fn add_default_route(index: u32, gateway: IpAddr) -> Message {
    route("add default route", gateway, RT_SCOPE_UNIVERSE, 0)
        .attribute(RTA_GATEWAY, &octets(gateway))
        .u32(RTA_OIF, index)
}

fn route(what: &'static str, destination: IpAddr, scope: u8, prefix: u8) -> Message {
    let header =
        [family(destination), prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0];
    Message::new(what, RTM_NEWROUTE, flag::ACK | flag::CREATE | flag::EXCLUSIVE).raw(&header)
}

/// All links of the socket's namespace.
pub(super) fn list(socket: &Socket) -> Result<Vec<Link>, NetlinkError> {
    let request = Message::new("list links", RTM_GETLINK, flag::DUMP).raw(&link_header(0, 0, 0));
    Ok(socket.dump(&request)?.iter().filter_map(|reply| parse(&reply.body)).collect())
}

/// The link called `name`, when there is one.
pub(super) fn find(socket: &Socket, name: &str) -> Result<Option<Link>, NetlinkError> {
    let request =
        Message::new("look up link", RTM_GETLINK, 0).raw(&link_header(0, 0, 0)).text(IFLA_IFNAME, name);
    match socket.ask(&request) {
        Ok(reply) => Ok(parse(&reply.body)),
        Err(error) if error.is(Errno::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(body: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let attributes = Attributes(body.get(16..)?);
    let kind = attributes.find(IFLA_LINKINFO).and_then(|info| Attributes(info).text(IFLA_INFO_KIND));
    Some(Link { index, name: attributes.text(IFLA_IFNAME)?, master: attributes.u32(IFLA_MASTER), kind })
}

/// The addresses of a link, or of all links when `index` is `None`.
pub(super) fn addresses(socket: &Socket, index: Option<u32>) -> Result<Vec<IpNet>, NetlinkError> {
    let request = Message::new("list addresses", RTM_GETADDR, flag::DUMP).raw(&[0; 8]);
    let replies = socket.dump(&request)?;
    let parsed = replies.iter().filter_map(|reply| {
        let body = &reply.body;
        let owner = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
        let attributes = Attributes(body.get(8..)?);
        let address = attributes.find(IFA_LOCAL).or_else(|| attributes.find(IFA_ADDRESS))?;
        let net = IpNet::new(address_of(address)?, *body.get(1)?).ok()?;
        Some((owner, net))
    });
    Ok(parsed.filter(|(owner, _)| index.is_none_or(|index| index == *owner)).map(|(_, net)| net).collect())
}

/// Every destination that the main table routes, the default ones left out.
pub(super) fn routed(socket: &Socket) -> Result<Vec<IpNet>, NetlinkError> {
    let request = Message::new("list routes", RTM_GETROUTE, flag::DUMP).raw(&[0; 12]);
    let replies = socket.dump(&request)?;
    Ok(replies
        .iter()
        .filter_map(|reply| {
            let body = &reply.body;
            let prefix = *body.get(1)?;
            let destination = address_of(Attributes(body.get(12..)?).find(RTA_DST)?)?;
            (prefix > 0).then(|| IpNet::new(destination, prefix).ok())?
        })
        .collect())
}

fn family(address: IpAddr) -> u8 {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// The bytes of an address, in network order.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
