//! The rules of our table, written once for all networks.
//!
//! ```text
//! raw          what claims to come for this host's loopback, and does not come from it, is dropped
//! prerouting   ┐ to an address of this host → publish: looked up by (address, protocol, port), then by
//! output       ┘ (protocol, port), and sent to the container found there
//! forward      answers and published ports pass; internal networks stay alone; networks do not meet; the way out
//!              is open; the way in is shut
//! postrouting  what leaves a network for elsewhere, or comes back into it, takes the host's address
//! ```

use ipnet::IpNet;

use super::super::link::octets;
use super::expression::{Compare, ConnectionKey, Expression, Field, Meta, Register, Verdict, Version};
use super::{BRIDGES, Bridge, PUBLISH_ANY4, PUBLISH_ANY6, PUBLISH_HOST4, PUBLISH_HOST6};

const LOCAL: u32 = 2;
const STATE_RELATED_OR_ESTABLISHED: u32 = 2 | 4;
const STATUS_DNAT: u32 = 1 << 5;
const R0: Register = Register(0);

/// A chain of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// Kind, hook and priority of a base chain.
    pub(super) hook: Option<(&'static str, u32, i32)>,
}

const PREROUTING: u32 = 0;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;

/// All chains, in the order that they are made.
pub(super) const CHAINS: [Chain; 6] = [
    Chain { name: "publish", hook: None },
    Chain { name: "raw", hook: Some(("filter", PREROUTING, -300)) },
    Chain { name: "prerouting", hook: Some(("nat", PREROUTING, -100)) },
    Chain { name: "output", hook: Some(("nat", OUTPUT, -100)) },
    Chain { name: "forward", hook: Some(("filter", FORWARD, 0)) },
    Chain { name: "postrouting", hook: Some(("nat", POSTROUTING, 100)) },
];

/// A rule: its chain and what it does.
pub(super) type Rule = (&'static str, Vec<Expression>);

/// Every rule for these bridges, in order.
pub(super) fn rules(bridges: &[Bridge]) -> Vec<Rule> {
    let mut rules = publishing();
    rules.push(("forward", [leaves_by_bridge(), answers(), accept()].concat()));
    for bridge in bridges.iter().filter(|bridge| bridge.internal) {
        rules.push((
            "forward",
            [from(bridge, Compare::Equal), to(bridge, Compare::Different), drop_it()].concat(),
        ));
        rules.push((
            "forward",
            [to(bridge, Compare::Equal), from(bridge, Compare::Different), drop_it()].concat(),
        ));
    }
    rules.push(("forward", [leaves_by_bridge(), sent_here(), accept()].concat()));
    for bridge in bridges {
        let verdict = if bridge.talk { accept() } else { drop_it() };
        rules.push(("forward", [from(bridge, Compare::Equal), to(bridge, Compare::Equal), verdict].concat()));
    }
    rules.push(("forward", [comes_by_bridge(), leaves_by_bridge(), drop_it()].concat()));
    rules.push(("forward", [comes_by_bridge(), accept()].concat()));
    rules.push(("forward", [leaves_by_bridge(), drop_it()].concat()));
    rules.extend(bridges.iter().flat_map(masquerading));
    rules
}

fn publishing() -> Vec<Rule> {
    let local =
        vec![Expression::AddressType(R0), Expression::Cmp(R0, Compare::Equal, LOCAL.to_ne_bytes().to_vec())];
    let publish = vec![Expression::Verdict(Verdict::Jump("publish"))];
    let foreign = [
        vec![Expression::Meta(Meta::Input, R0), Expression::Cmp(R0, Compare::Different, interface("lo"))],
        version(Version::V4),
        loopback(Field::Destination4),
    ]
    .concat();
    let on_loopback = lookup(Version::V4, PUBLISH_HOST4, true);
    vec![
        ("raw", [foreign.clone(), on_loopback, drop_it()].concat()),
        ("raw", [foreign, comes_by_bridge(), drop_it()].concat()),
        ("prerouting", [local.clone(), publish.clone()].concat()),
        ("output", [local, publish].concat()),
        ("publish", sending(Version::V4, PUBLISH_HOST4, true)),
        ("publish", sending(Version::V4, PUBLISH_ANY4, false)),
        ("publish", sending(Version::V6, PUBLISH_HOST6, true)),
        ("publish", sending(Version::V6, PUBLISH_ANY6, false)),
    ]
}

/// The register after an address of this version that starts in `from`.
fn after(version: Version, from: Register) -> Register {
    match version {
        Version::V4 => Register(from.0 + 1),
        Version::V6 => Register(from.0 + 4),
    }
}

/// Where a map's value is put: behind the longest key.
const TARGET: Register = Register(8);

fn lookup(ip: Version, map: &'static str, by_address: bool) -> Vec<Expression> {
    let mut list = version(ip);
    let mut next = R0;
    if by_address {
        let field = if ip == Version::V4 { Field::Destination4 } else { Field::Destination6 };
        list.push(Expression::Payload(field, R0));
        next = after(ip, R0);
    }
    list.push(Expression::Meta(Meta::Transport, next));
    list.push(Expression::Payload(Field::Port, Register(next.0 + 1)));
    list.push(Expression::Lookup(map, R0, Some(TARGET)));
    list
}

fn sending(ip: Version, map: &'static str, by_address: bool) -> Vec<Expression> {
    let mut list = lookup(ip, map, by_address);
    list.push(Expression::Dnat(ip, TARGET, after(ip, TARGET)));
    list
}

fn masquerading(bridge: &Bridge) -> Vec<Rule> {
    let masquerade = vec![Expression::Masquerade];
    let into = to(bridge, Compare::Equal);
    let mut rules = vec![(
        "postrouting",
        [into.clone(), version(Version::V4), loopback(Field::Source4), masquerade.clone()].concat(),
    )];
    for subnet in &bridge.subnets {
        let source = comes_from(*subnet);
        let hairpin = [into.clone(), source.clone(), sent_here(), masquerade.clone()].concat();
        rules.push(("postrouting", hairpin));
        if bridge.masquerade && !bridge.internal {
            let out = [to(bridge, Compare::Different), source, masquerade.clone()].concat();
            rules.push(("postrouting", out));
        }
    }
    rules
}

fn version(version: Version) -> Vec<Expression> {
    vec![Expression::Meta(Meta::Protocol, R0), Expression::Cmp(R0, Compare::Equal, vec![version.number()])]
}

fn comes_from(net: IpNet) -> Vec<Expression> {
    let (ip, field) = match net {
        IpNet::V4(_) => (Version::V4, Field::Source4),
        IpNet::V6(_) => (Version::V6, Field::Source6),
    };
    let mut list = version(ip);
    list.push(Expression::Payload(field, R0));
    list.push(Expression::Mask(R0, octets(net.netmask())));
    list.push(Expression::Cmp(R0, Compare::Equal, octets(net.network())));
    list
}

fn loopback(field: Field) -> Vec<Expression> {
    vec![
        Expression::Payload(field, R0),
        Expression::Mask(R0, vec![0xff, 0, 0, 0]),
        Expression::Cmp(R0, Compare::Equal, vec![127, 0, 0, 0]),
    ]
}

fn from(bridge: &Bridge, compare: Compare) -> Vec<Expression> {
    vec![Expression::Meta(Meta::Input, R0), Expression::Cmp(R0, compare, interface(&bridge.name))]
}

fn to(bridge: &Bridge, compare: Compare) -> Vec<Expression> {
    vec![Expression::Meta(Meta::Output, R0), Expression::Cmp(R0, compare, interface(&bridge.name))]
}

fn comes_by_bridge() -> Vec<Expression> {
    vec![Expression::Meta(Meta::Input, R0), Expression::Lookup(BRIDGES, R0, None)]
}

fn leaves_by_bridge() -> Vec<Expression> {
    vec![Expression::Meta(Meta::Output, R0), Expression::Lookup(BRIDGES, R0, None)]
}

fn answers() -> Vec<Expression> {
    bits(ConnectionKey::State, STATE_RELATED_OR_ESTABLISHED)
}

/// The connection was sent to a container because it asked for a published port.
fn sent_here() -> Vec<Expression> {
    bits(ConnectionKey::Status, STATUS_DNAT)
}

fn bits(key: ConnectionKey, mask: u32) -> Vec<Expression> {
    vec![
        Expression::Connection(key, R0),
        Expression::Mask(R0, mask.to_ne_bytes().to_vec()),
        Expression::Cmp(R0, Compare::Different, vec![0; 4]),
    ]
}

fn accept() -> Vec<Expression> {
    vec![Expression::Verdict(Verdict::Accept)]
}

fn drop_it() -> Vec<Expression> {
    vec![Expression::Verdict(Verdict::Drop)]
}

/// An interface's name as the kernel compares it: 16 bytes, zeros behind.
pub(super) fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
