//! nf_tables expressions: the small machine that a rule is written for.
//!
//! A rule is a list of expressions over registers. Each loads, compares, looks up or acts; one that does not hold ends
//! the rule. Registers here are the 32-bit ones, so that keys of several parts lie in a row.

use super::super::netlink::Message;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFT_REG_VERDICT: u32 = 0;

/// A 32-bit register by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register(pub(super) u32);

impl Register {
    fn number(self) -> u32 {
        const NFT_REG32_00: u32 = 8;
        NFT_REG32_00 + self.0
    }
}

/// What a packet tells about itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    /// Version of IP.
    Protocol,
    /// TCP, UDP, …
    Transport,
    /// Name of the interface it came in by.
    Input,
    /// Name of the interface it leaves by.
    Output,
}

/// A part of a packet: base, offset, length.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    /// Where an IPv4 packet comes from.
    Source4,
    /// Where an IPv4 packet goes.
    Destination4,
    /// Where an IPv6 packet comes from.
    Source6,
    /// Where an IPv6 packet goes.
    Destination6,
    /// The port of TCP or UDP that it goes to.
    Port,
}

/// How a register compares.
#[derive(Debug, Clone, Copy)]
pub(super) enum Compare {
    Equal,
    Different,
}

/// What happens to a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    Drop,
    Accept,
    Jump(&'static str),
}

/// Version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    /// NFPROTO_IPV4 or NFPROTO_IPV6.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// One expression.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// Loads a fact about the packet.
    Meta(Meta, Register),
    /// Loads a part of the packet.
    Payload(Field, Register),
    /// Loads the states (`true`: the status bits) of its connection.
    Connection(ConnectionKey, Register),
    /// Loads the type of its destination address.
    AddressType(Register),
    /// Keeps the bits of a mask.
    Mask(Register, Vec<u8>),
    /// Goes on when the register compares with the value.
    Cmp(Register, Compare, Vec<u8>),
    /// Goes on when the key is in the set; with a second register, loads the value found there.
    Lookup(&'static str, Register, Option<Register>),
    /// Loads a value.
    Load(Register, Vec<u8>),
    /// Decides.
    Verdict(Verdict),
    /// Sends the connection to the address and port in two registers (IPv6 addresses fill four).
    Dnat(Version, Register, Register),
    /// Hides the connection's source behind the outgoing interface's address.
    Masquerade,
}

/// What connection tracking tells.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConnectionKey {
    /// Bits of its state.
    State,
    /// Bits of what was done to it.
    Status,
}

impl Expression {
    /// Appends this to the expressions of a rule.
    pub(super) fn write(&self, list: Message) -> Message {
        list.nested(NFTA_LIST_ELEM, |element| {
            let element = element.text(NFTA_EXPR_NAME, self.name());
            element.nested(NFTA_EXPR_DATA, |data| self.data(data))
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) => "meta",
            Self::Payload(..) => "payload",
            Self::Connection(..) => "ct",
            Self::AddressType(_) => "fib",
            Self::Mask(..) => "bitwise",
            Self::Cmp(..) => "cmp",
            Self::Lookup(..) => "lookup",
            Self::Load(..) | Self::Verdict(_) => "immediate",
            Self::Dnat(..) => "nat",
            Self::Masquerade => "masq",
        }
    }

    fn data(&self, data: Message) -> Message {
        match self {
            Self::Meta(key, into) => data.be32(1, into.number()).be32(2, key.number()),
            Self::Payload(field, into) => {
                let (base, offset, length) = field.place();
                data.be32(1, into.number()).be32(2, base).be32(3, offset).be32(4, length)
            }
            Self::Connection(key, into) => data.be32(1, into.number()).be32(2, key.number()),
            Self::AddressType(into) => {
                const RESULT_ADDRTYPE: u32 = 3;
                const F_DADDR: u32 = 2;
                data.be32(1, into.number()).be32(2, RESULT_ADDRTYPE).be32(3, F_DADDR)
            }
            Self::Mask(register, mask) => {
                let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                data.be32(1, register.number())
                    .be32(2, register.number())
                    .be32(3, length)
                    .nested(4, |value| value.attribute(NFTA_DATA_VALUE, mask))
                    .nested(5, |value| value.attribute(NFTA_DATA_VALUE, &vec![0; mask.len()]))
            }
            Self::Cmp(register, compare, value) => {
                let operator = match compare {
                    Compare::Equal => 0,
                    Compare::Different => 1,
                };
                data.be32(1, register.number())
                    .be32(2, operator)
                    .nested(3, |data| data.attribute(NFTA_DATA_VALUE, value))
            }
            Self::Lookup(set, key, value) => {
                let data = data.text(1, set).be32(2, key.number());
                value.iter().fold(data, |data, into| data.be32(3, into.number()))
            }
            Self::Load(into, value) => {
                data.be32(1, into.number()).nested(2, |data| data.attribute(NFTA_DATA_VALUE, value))
            }
            Self::Verdict(verdict) => data.be32(1, NFT_REG_VERDICT).nested(2, |value| {
                value.nested(NFTA_DATA_VERDICT, |inner| {
                    let inner = inner.be32(1, verdict.code());
                    if let Verdict::Jump(chain) = verdict { inner.text(2, chain) } else { inner }
                })
            }),
            Self::Dnat(version, address, port) => {
                const DNAT: u32 = 1;
                data.be32(1, DNAT)
                    .be32(2, version.number().into())
                    .be32(3, address.number())
                    .be32(5, port.number())
            }
            Self::Masquerade => data,
        }
    }
}

impl Meta {
    fn number(self) -> u32 {
        match self {
            Self::Input => 6,
            Self::Output => 7,
            Self::Protocol => 15,
            Self::Transport => 16,
        }
    }
}

impl ConnectionKey {
    fn number(self) -> u32 {
        match self {
            Self::State => 0,
            Self::Status => 2,
        }
    }
}

impl Field {
    fn place(self) -> (u32, u32, u32) {
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        match self {
            Self::Source4 => (NETWORK, 12, 4),
            Self::Destination4 => (NETWORK, 16, 4),
            Self::Source6 => (NETWORK, 8, 16),
            Self::Destination6 => (NETWORK, 24, 16),
            Self::Port => (TRANSPORT, 2, 2),
        }
    }
}

impl Verdict {
    fn code(self) -> u32 {
        const NFT_JUMP: i32 = -3;
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Jump(_) => NFT_JUMP.cast_unsigned(),
        }
    }
}
