//! A netlink message under construction, and attributes read back.
//!
//! ```text
//! nlmsghdr: len u32 | type u16 | flags u16 | seq u32 | port u32      (host byte order)
//! body:     a fixed header of the family, then attributes
//! attribute: len u16 (header included) | type u16 | value | padding to 4
//! ```

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// Set in the type of an attribute that holds attributes.
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// Flags of a request.
pub(crate) mod flag {
    pub(super) const REQUEST: u16 = 0x1;
    /// Answer also when all went well.
    pub(crate) const ACK: u16 = 0x4;
    /// Fail when it exists.
    pub(crate) const EXCLUSIVE: u16 = 0x200;
    /// Make it when it does not exist.
    pub(crate) const CREATE: u16 = 0x400;
    /// Put it behind what is there.
    pub(crate) const APPEND: u16 = 0x800;
    /// Everything there is: NLM_F_ROOT and NLM_F_MATCH.
    pub(crate) const DUMP: u16 = 0x300;
}

/// A message; the socket fills in its sequence number.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    what: &'static str,
}

impl Message {
    /// A request of `kind` that asks for an acknowledgement. `what` names it in errors.
    pub(crate) fn new(what: &'static str, kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | flag::REQUEST).to_ne_bytes());
        Self { bytes, what }
    }

    /// Appends raw bytes: the family's own header.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends an attribute.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// Appends text with the zero that ends it.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Appends a number in host byte order, as rtnetlink wants.
    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends a number in network byte order, as nf_tables wants.
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends an attribute made of what `fill` appends.
    pub(crate) fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        let mut filled = fill(self);
        let length = u16::try_from(filled.bytes.len() - start).unwrap_or(u16::MAX);
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    /// What this message is for.
    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    pub(super) fn wants_ack(&self) -> bool {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) & flag::ACK != 0
    }

    /// The bytes to send, with length and sequence number in place.
    pub(crate) fn finish(&self, sequence: u32, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(&self.bytes);
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        into[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        into[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The attributes in a piece of a message; what does not parse ends the walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes([*self.0.first()?, *self.0.get(1)?]));
        let kind = u16::from_ne_bytes([*self.0.get(2)?, *self.0.get(3)?]) & TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of `kind`.
    pub(crate) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// A number in host byte order.
    pub(crate) fn u32(self, kind: u16) -> Option<u32> {
        self.find(kind)?.first_chunk().copied().map(u32::from_ne_bytes)
    }

    /// Text up to its closing zero.
    pub(crate) fn text(self, kind: u16) -> Option<String> {
        let value = self.find(kind)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_written() {
        let message = Message::new("test", 7, flag::ACK)
            .raw(&[1, 2, 3, 4])
            .text(3, "eth0")
            .nested(5, |inner| inner.u32(1, 77).nested(2, |deep| deep.attribute(9, &[6])));
        let mut bytes = Vec::new();
        message.finish(42, &mut bytes);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
        assert_eq!(u32::from_ne_bytes(bytes[8..12].try_into().unwrap()), 42);
        let attributes = Attributes(&bytes[HEADER + 4..]);
        assert_eq!(attributes.text(3).as_deref(), Some("eth0"));
        let inner = Attributes(attributes.find(5).expect("nested"));
        assert_eq!(inner.u32(1), Some(77));
        assert_eq!(Attributes(inner.find(2).expect("deeper")).find(9), Some([6].as_slice()));
    }

    #[test]
    fn damaged_attributes_end_the_walk() {
        for bytes in [&[0u8; 2][..], &[3, 0, 1, 0], &[200, 0, 1, 0, 5], &[0; 8]] {
            assert_eq!(Attributes(bytes).find(1), None);
        }
    }
}
