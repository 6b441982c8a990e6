//! One rule inside a container's namespace: port 53 of the resolver's address leads to where the resolver listens.

use std::net::Ipv4Addr;

use super::expression::{Compare, Expression, Field, Meta, Register, Version};
use super::{DELTABLE, NEWCHAIN, NEWRULE, NEWTABLE, Protocol, commit, padded};
use crate::network::netlink::{Message, NetlinkError, flag};

const TABLE: &str = "dhow-resolver";
const CHAIN: &str = "output";
const NFPROTO_IPV4: u8 = 2;
const OUTPUT: u32 = 3;
const DSTNAT: i32 = -100;

/// Leads `port` of `address` to other ports of it, in the calling thread's namespace.
pub(crate) fn redirect(address: Ipv4Addr, port: u16, udp: u16, tcp: u16) -> Result<(), NetlinkError> {
    let message = |what, kind: u16| {
        let (kind, flags) = (kind | super::SUBSYSTEM << 8, flag::ACK | flag::CREATE | flag::APPEND);
        Message::new(what, kind, flags).raw(&[NFPROTO_IPV4, 0, 0, 0])
    };
    let table = |kind| message("nftables table", kind).text(1, TABLE);
    let chain = message("nftables chain", NEWCHAIN)
        .text(1, TABLE)
        .text(3, CHAIN)
        .nested(4, |hook| hook.be32(1, OUTPUT).be32(2, DSTNAT.cast_unsigned()))
        .text(7, "nat");
    let rule = |protocol, to| {
        let list = expressions(address, port, protocol, to);
        let rule = message("nftables rule", NEWRULE).text(1, TABLE).text(2, CHAIN);
        rule.nested(4, |into| list.iter().fold(into, |into, one| one.write(into)))
    };
    let rules = [rule(Protocol::Udp, udp), rule(Protocol::Tcp, tcp)];
    let [for_udp, for_tcp] = rules;
    commit(vec![table(NEWTABLE), table(DELTABLE), table(NEWTABLE), chain, for_udp, for_tcp])
}

fn expressions(address: Ipv4Addr, port: u16, protocol: Protocol, to: u16) -> Vec<Expression> {
    let r0 = Register(0);
    vec![
        Expression::Payload(Field::Destination4, r0),
        Expression::Cmp(r0, Compare::Equal, address.octets().to_vec()),
        Expression::Meta(Meta::Transport, r0),
        Expression::Cmp(r0, Compare::Equal, vec![protocol.number()]),
        Expression::Payload(Field::Port, r0),
        Expression::Cmp(r0, Compare::Equal, port.to_be_bytes().to_vec()),
        Expression::Load(r0, address.octets().to_vec()),
        Expression::Load(Register(1), padded(to)),
        Expression::Dnat(Version::V4, r0, Register(1)),
    ]
}
