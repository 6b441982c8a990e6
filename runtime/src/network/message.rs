//! rtnetlink messages: the few that moving a device takes, as bytes.
//!
//! ```text
//! length u32, type u16, flags u16, sequence u32, port u32     header
//! ifinfomsg or ifaddrmsg                                       fixed part
//! length u16, type u16, value, padding to 4 bytes              attributes
//! ```

/// Length of the header.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const IFF_UP: u32 = 1;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    NewLink = 16,
    GetLink = 18,
    NewAddress = 20,
    GetAddress = 22,
}

/// Flags of a request.
pub(super) const REQUEST: u16 = 0x1;
pub(super) const ACKNOWLEDGE: u16 = 0x4;
pub(super) const CREATE: u16 = 0x400 | 0x200;
pub(super) const DUMP: u16 = 0x300;

/// Attributes of links.
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_NET_NS_FD: u16 = 28;
/// Attributes of addresses.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;

/// A request that is being written.
#[derive(Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    fn new(kind: Kind, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend((kind as u16).to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend([0; 8]);
        Self(bytes)
    }

    /// About link number `index` (0: the one that an attribute names).
    pub(super) fn link(kind: Kind, flags: u16, index: i32, up: Option<bool>) -> Self {
        let mut request = Self::new(kind, flags);
        request.0.extend([0; 4]);
        request.0.extend(index.to_ne_bytes());
        let bits = if up == Some(true) { IFF_UP } else { 0 };
        request.0.extend(bits.to_ne_bytes());
        let changed = if up.is_some() { IFF_UP } else { 0 };
        request.0.extend(changed.to_ne_bytes());
        request
    }

    /// All addresses.
    pub(super) fn all_addresses() -> Self {
        let mut request = Self::new(Kind::GetAddress, DUMP);
        request.0.extend([0; 8]);
        request
    }

    /// A new address of link number `index`.
    pub(super) fn address(index: i32, address: &Address) -> Self {
        let mut request = Self::new(Kind::NewAddress, ACKNOWLEDGE | CREATE);
        request.0.extend([address.family, address.prefix, 0, address.scope]);
        request.0.extend(index.to_ne_bytes());
        for (kind, value) in &address.parts {
            request = request.attribute(*kind, value);
        }
        request
    }

    /// With an attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// The bytes, with the request's number in them.
    pub(super) fn encoded(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// A link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: i32,
    pub(super) is_up: bool,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    family: u8,
    prefix: u8,
    scope: u8,
    flags: u32,
    /// The link.
    pub(super) index: i32,
    /// The attributes that make up the address itself.
    parts: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// Whether it means the same elsewhere: set by somebody for good, and not just for this host or link.
    pub(super) const fn is_portable(&self) -> bool {
        self.is_permanent() && self.scope == 0
    }

    /// Whether it has no lifetime: somebody set it for good.
    pub(super) const fn is_permanent(&self) -> bool {
        const IFA_F_PERMANENT: u32 = 0x80;
        self.flags & IFA_F_PERMANENT != 0
    }
}

/// What the kernel answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Link(Link),
    Address(Address),
    /// The end of a list, or (0) done, or a negated errno.
    End(i32),
    /// Nothing that was asked for.
    Other,
}

/// The answers to request number `sequence` in what was received; `None` when it is cut short.
pub(super) fn answers(mut bytes: &[u8], sequence: u32) -> Option<Vec<Answer>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
        let kind = u16_at(message, 4)?;
        let body = &message[HEADER..];
        let ours = u32_at(message, 8)? == sequence;
        answers.push(match kind {
            _ if !ours => Answer::Other,
            NLMSG_DONE => Answer::End(0),
            NLMSG_ERROR => Answer::End(u32_at(body, 0)?.cast_signed()),
            kind if kind == Kind::NewLink as u16 => {
                let (index, flags) = (u32_at(body, 4)?.cast_signed(), u32_at(body, 8)?);
                Answer::Link(Link { index, is_up: flags & IFF_UP != 0 })
            }
            kind if kind == Kind::NewAddress as u16 => Answer::Address(address(body)?),
            _ => Answer::Other,
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(answers)
}

fn address(body: &[u8]) -> Option<Address> {
    let [family, prefix, flags, scope] = *body.first_chunk::<4>()?;
    let index = u32_at(body, 4)?.cast_signed();
    let mut address = Address { family, prefix, scope, flags: flags.into(), index, parts: Vec::new() };
    let mut rest = body.get(8..)?;
    while rest.len() >= 4 {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length)?;
        match u16_at(rest, 2)? {
            IFA_FLAGS => address.flags = u32_at(value, 0)?,
            kind @ (IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST) => address.parts.push((kind, value.to_vec())),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(address)
}

fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(place..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(place..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was_sent() {
        let parts = vec![(IFA_LOCAL, vec![10, 0, 0, 1]), (IFA_ADDRESS, vec![10, 0, 0, 1])];
        let mut address = Address { family: 2, prefix: 24, scope: 0, flags: 0, index: 5, parts };
        let bytes = Request::address(5, &address).attribute(IFA_FLAGS, &0x80_u32.to_ne_bytes()).encoded(7);
        address.flags = 0x80;
        assert!(address.is_portable());
        assert_eq!(answers(&bytes, 7), Some(vec![Answer::Address(address)]));
        assert_eq!(answers(&bytes, 8), Some(vec![Answer::Other]), "somebody else's");
    }

    #[test]
    fn a_link_is_read() {
        let bytes = Request::link(Kind::NewLink, 0, 3, Some(true)).encoded(1);
        assert_eq!(answers(&bytes, 1), Some(vec![Answer::Link(Link { index: 3, is_up: true })]));
        assert_eq!(answers(&bytes[..20], 1), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            drop(answers(&bytes, 0));
        }
    }
}
