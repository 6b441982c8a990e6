//! Protocol buffers, as little of them as CRIU's RPC needs: numbers, texts, and messages in messages.

/// A message that is being written. Absent fields are simply not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A number, of any of the integer types and enumerations.
    pub(super) fn number(&mut self, field: u32, value: impl Into<i64>) -> &mut Self {
        self.key(field, 0);
        // A negative int32 takes the ten bytes of its 64 bits.
        self.varint(value.into().cast_unsigned());
        self
    }

    /// A flag, written only when it is set: CRIU's flags are all false by default.
    pub(super) fn flag(&mut self, field: u32, value: bool) -> &mut Self {
        if value {
            self.number(field, 1_i64);
        }
        self
    }

    /// A text.
    pub(super) fn text(&mut self, field: u32, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes());
        self
    }

    /// A message of its own.
    pub(super) fn message(&mut self, field: u32, value: &Self) -> &mut Self {
        self.bytes(field, &value.0);
        self
    }

    /// What goes over the wire.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.0
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Any number.
    Number(u64),
    /// A text or a message.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// As a number; 0 when it is none.
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) => 0,
        }
    }

    /// As a signed number: negative ones come with all of their 64 bits.
    pub(super) fn signed(self) -> i32 {
        i32::try_from(self.number().cast_signed()).unwrap_or_default()
    }

    /// As bytes; none when it is a number.
    pub(super) const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Number(_) => &[],
            Self::Bytes(bytes) => bytes,
        }
    }

    /// As a text.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// The fields of a message, in order; `None` when it is cut short or has a kind of field that CRIU does not use.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(take_varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Value::Bytes(value)
            }
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let mut message = Message::default();
        message.number(1, 150).text(2, "testing").flag(3, false).flag(4, true);
        assert_eq!(message.encoded(), b"\x08\x96\x01\x12\x07testing\x20\x01");
        let mut outer = Message::default();
        outer.message(3, &message);
        assert_eq!(outer.encoded()[..2], [0x1a, 14]);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut message = Message::default();
        message.number(49, -1).number(38, i64::from(u32::MAX)).text(13, "/root");
        let fields = fields(message.encoded()).expect("whole");
        let values: Vec<_> = fields.iter().map(|(field, _)| *field).collect();
        assert_eq!(values, [49, 38, 13]);
        assert_eq!(fields[0].1.signed(), -1);
        assert_eq!(fields[1].1.number(), u64::from(u32::MAX));
        assert_eq!(fields[2].1.text(), "/root");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            drop(fields(&bytes));
        }
    }
}
