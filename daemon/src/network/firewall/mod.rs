//! The firewall: one table of our own in nf_tables, written over netlink in atomic batches.
//!
//! ```text
//! table inet dhow-BRIDGE
//!   set bridges                                     names of this daemon's bridges
//!   map publish-host4  address . protocol . port  → address . port      published at one address of the host
//!   map publish-any4   protocol . port            → address . port      published at all of them
//!   map publish-host6, publish-any6                                     the same for IPv6
//! ```
//! A published port is one element of a map, whatever the number of ports; the rules ([`rule`]) never change but when
//! a network comes or goes. Rules of others are left alone: a packet that they drop stays dropped.

mod expression;
mod redirect;
mod rule;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use nix::errno::Errno;

pub(super) use self::redirect::redirect;
use self::rule::{CHAINS, interface};
use super::link::octets;
use super::netlink::{Family, Message, NetlinkError, Socket, flag};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;
const NFPROTO_INET: u8 = 1;

const SET_IS_MAP: u32 = 8;
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;
const TYPE_INTERFACE: u32 = 41;

const BRIDGES: &str = "bridges";
const PUBLISH_HOST4: &str = "publish-host4";
const PUBLISH_ANY4: &str = "publish-any4";
const PUBLISH_HOST6: &str = "publish-host6";
const PUBLISH_ANY6: &str = "publish-any6";

/// What the rules need to know of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bridge {
    /// Its interface.
    pub(super) name: String,
    /// Its subnets.
    pub(super) subnets: Vec<IpNet>,
    /// Nothing gets in or out.
    pub(super) internal: bool,
    /// Its containers may talk to each other.
    pub(super) talk: bool,
    /// What leaves takes the host's address.
    pub(super) masquerade: bool,
}

/// TCP, UDP or SCTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// A port of the host that leads to a port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Publication {
    /// Protocol of both.
    pub(super) protocol: Protocol,
    /// Where on the host; an unspecified address means all of that family.
    pub(super) host: SocketAddr,
    /// The container.
    pub(super) container: SocketAddr,
}

/// The table of one daemon. Every call opens its own socket: batches are few and the daemon holds nothing open.
#[derive(Debug, Clone)]
pub(super) struct Firewall {
    table: String,
}

impl Firewall {
    /// The table of the daemon whose default bridge is `bridge`; nothing is made yet.
    pub(super) fn new(bridge: &str) -> Self {
        Self { table: format!("dhow-{bridge}") }
    }

    /// Makes the table say exactly this, in one step: there is no moment without rules.
    pub(super) fn replace(
        &self,
        bridges: &[Bridge],
        publications: &[Publication],
    ) -> Result<(), NetlinkError> {
        // Adding before deleting makes the deletion succeed whether or not the table was there.
        let mut batch = vec![self.table(NEWTABLE), self.table(DELTABLE), self.table(NEWTABLE)];
        batch.extend(self.sets());
        batch.extend(CHAINS.iter().map(|chain| self.chain(*chain)));
        batch.extend(rule::rules(bridges).iter().map(|(chain, list)| self.rule(chain, list)));
        if !bridges.is_empty() {
            let names: Vec<_> = bridges.iter().map(|bridge| (interface(&bridge.name), None)).collect();
            batch.push(self.elements(NEWSETELEM, BRIDGES, &names));
        }
        batch.extend(publications.iter().filter_map(|publication| self.publication(NEWSETELEM, publication)));
        commit(batch)
    }

    /// Adds published ports.
    pub(super) fn publish(&self, publications: &[Publication]) -> Result<(), NetlinkError> {
        commit(publications.iter().filter_map(|one| self.publication(NEWSETELEM, one)).collect())
    }

    /// Takes published ports away; it is no error when they are gone.
    pub(super) fn withdraw(&self, publications: &[Publication]) -> Result<(), NetlinkError> {
        let batch: Vec<_> = publications.iter().filter_map(|one| self.publication(DELSETELEM, one)).collect();
        match commit(batch.clone()) {
            // A batch is all or nothing: one element that somebody removed must not keep the others.
            Err(error) if error.is(Errno::ENOENT) => {
                for one in batch {
                    match commit(vec![one]) {
                        Err(error) if !error.is(Errno::ENOENT) => return Err(error),
                        _ => {}
                    }
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Removes the table; it is no error when there is none.
    pub(super) fn remove(&self) -> Result<(), NetlinkError> {
        match commit(vec![self.table(DELTABLE)]) {
            Err(error) if error.is(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    fn message(&self, what: &'static str, kind: u16) -> Message {
        let (kind, flags) = (kind | SUBSYSTEM << 8, flag::ACK | flag::CREATE | flag::APPEND);
        Message::new(what, kind, flags).raw(&[NFPROTO_INET, 0, 0, 0])
    }

    fn table(&self, kind: u16) -> Message {
        self.message("nftables table", kind).text(1, &self.table)
    }

    fn chain(&self, chain: rule::Chain) -> Message {
        let message = self.message("nftables chain", NEWCHAIN).text(1, &self.table).text(3, chain.name);
        let Some((kind, hook, priority)) = chain.hook else { return message };
        message.nested(4, |data| data.be32(1, hook).be32(2, priority.cast_unsigned())).text(7, kind)
    }

    fn rule(&self, chain: &str, list: &[expression::Expression]) -> Message {
        let message = self.message("nftables rule", NEWRULE).text(1, &self.table).text(2, chain);
        message.nested(4, |expressions| list.iter().fold(expressions, |into, one| one.write(into)))
    }

    fn sets(&self) -> Vec<Message> {
        let (v4, v6) = ((TYPE_IPV4, 4), (TYPE_IPV6, 16));
        let (protocol, port) = ((TYPE_PROTOCOL, 4), (TYPE_PORT, 4));
        vec![
            self.set(BRIDGES, 1, &[(TYPE_INTERFACE, 16)], &[]),
            self.set(PUBLISH_HOST4, 2, &[v4, protocol, port], &[v4, port]),
            self.set(PUBLISH_ANY4, 3, &[protocol, port], &[v4, port]),
            self.set(PUBLISH_HOST6, 4, &[v6, protocol, port], &[v6, port]),
            self.set(PUBLISH_ANY6, 5, &[protocol, port], &[v6, port]),
        ]
    }

    /// A set, or a map when it has a value; keys and values are rows of (type, bytes).
    fn set(&self, name: &str, id: u32, key: &[(u32, u32)], value: &[(u32, u32)]) -> Message {
        // nft(8) names the parts of a row by six bits each.
        let kind = |row: &[(u32, u32)]| row.iter().fold(0, |kind, (part, _)| kind << 6 | part);
        let length = |row: &[(u32, u32)]| row.iter().map(|(_, length)| length).sum();
        let map = if value.is_empty() { 0 } else { SET_IS_MAP };
        let message = self
            .message("nftables set", NEWSET)
            .text(1, &self.table)
            .text(2, name)
            .be32(3, map)
            .be32(4, kind(key))
            .be32(5, length(key))
            .be32(10, id);
        if value.is_empty() { message } else { message.be32(6, kind(value)).be32(7, length(value)) }
    }

    fn elements(&self, kind: u16, set: &str, elements: &[(Vec<u8>, Option<Vec<u8>>)]) -> Message {
        let message = self.message("nftables element", kind).text(1, &self.table).text(2, set);
        message.nested(3, |list| {
            elements.iter().fold(list, |list, (key, value)| {
                list.nested(1, |element| {
                    let element = element.nested(1, |data| data.attribute(1, key));
                    value
                        .iter()
                        .fold(element, |element, value| element.nested(2, |data| data.attribute(1, value)))
                })
            })
        })
    }

    /// The element of a published port; `None` when the two ends are of different families.
    fn publication(&self, kind: u16, publication: &Publication) -> Option<Message> {
        let Publication { protocol, host, container } = publication;
        let (any, one) = match (host.ip(), container.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => (PUBLISH_ANY4, PUBLISH_HOST4),
            (IpAddr::V6(_), IpAddr::V6(_)) => (PUBLISH_ANY6, PUBLISH_HOST6),
            _ => return None,
        };
        let mut key = [&[protocol.number(), 0, 0, 0], padded(host.port()).as_slice()].concat();
        if !host.ip().is_unspecified() {
            key = [octets(host.ip()), key].concat();
        }
        let value = [octets(container.ip()), padded(container.port())].concat();
        let set = if host.ip().is_unspecified() { any } else { one };
        let value = (kind == NEWSETELEM).then_some(value);
        Some(self.elements(kind, set, &[(key, value)]))
    }
}

/// A port as it lies in a 32-bit register: network order, zeros behind.
fn padded(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![high, low, 0, 0]
}

/// Sends messages as one batch: all of them take effect, or none.
fn commit(messages: Vec<Message>) -> Result<(), NetlinkError> {
    if messages.is_empty() {
        return Ok(());
    }
    let [high, low] = SUBSYSTEM.to_be_bytes();
    let frame = |kind| Message::new("nftables batch", kind, 0).raw(&[0, 0, high, low]);
    let mut batch = vec![frame(BATCH_BEGIN)];
    batch.extend(messages);
    batch.push(frame(BATCH_END));
    Socket::open(Family::Netfilter)?.send(&batch)
}

#[cfg(test)]
mod tests;
