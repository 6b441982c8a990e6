//! Overwrites the `:authority` of HTTP/2 requests in a stream of bytes.
//!
//! ```text
//! preface (24) | frame: length (3) type (1) flags (1) stream (4) payload (length) | frame ...
//! HEADERS, CONTINUATION: [padding length] [priority (5)] a piece of the header block [padding]
//! header block (RFC 7541): 1xxxxxxx            a field of the table
//!                          01xxxxxx, 0000xxxx, 0001xxxx   [index of the name | 0, then the name] value
//!                          001xxxxx            a new size of the table
//! ```
//! The value gets as many letters as it had bytes, without Huffman coding, so that nothing moves. Such an entry is
//! never larger in our table than in the client's: what the client still refers to is there.

/// What every HTTP/2 connection begins with.
const PREFACE: usize = 24;
/// Frames with pieces of header blocks.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// Flags of a HEADERS frame.
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// `:authority`, and its index in HPACK's static table. The C core writes the name out nevertheless.
const NAME: &[u8] = b":authority";
const AUTHORITY: usize = 1;

/// Where in the stream we are.
#[derive(Debug)]
pub(super) struct Eraser {
    frame: Frame,
    block: Block,
}

#[derive(Debug)]
enum Frame {
    /// This much of the preface or of a payload that is none of our business.
    Skip(usize),
    /// The bytes of a frame's header so far.
    Head([u8; 9], usize),
    /// The length of the padding comes next; then this much of other things before the block, in a payload this long.
    Padding { before: usize, left: usize },
    /// This much before the block, in a payload this long that ends with this much padding.
    Before { before: usize, left: usize, padding: usize },
    /// A piece of the block, this long, and the padding after it.
    Block { left: usize, padding: usize },
}

/// Where in a header block we are.
#[derive(Debug, Clone, Copy)]
enum Block {
    /// Before a field.
    Field,
    /// In a number that says this, and is this far along.
    Number { of: Number, value: usize, shift: u32 },
    /// Before the length of a string.
    Length(Text),
    /// In the letters of one.
    Letters(Text, usize),
}

#[derive(Debug, Clone, Copy)]
enum Number {
    /// A field of the table, or a size of it.
    Nothing,
    /// The name of a field with a value.
    Name,
    /// The length of a string.
    Length(Text),
}

#[derive(Debug, Clone, Copy)]
enum Text {
    /// A name, of which so many letters were those of `:authority`; none once another was there.
    Name(Option<usize>),
    Value,
    Authority,
}

impl Default for Eraser {
    fn default() -> Self {
        Self { frame: Frame::Skip(PREFACE), block: Block::Field }
    }
}

impl Eraser {
    /// Looks at the next `bytes` of the stream, and overwrites those of an authority.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let used = self.step(bytes);
            bytes = &mut bytes[used..];
        }
    }

    /// Takes one step into `bytes`, which are not empty; how many it used.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        let (used, next) = match &mut self.frame {
            Frame::Skip(left) => {
                let used = bytes.len().min(*left);
                (used, Frame::Skip(*left - used))
            }
            Frame::Head(head, filled) => {
                head[*filled] = bytes[0];
                (1, if *filled == 8 { payload(head) } else { Frame::Head(*head, *filled + 1) })
            }
            Frame::Padding { before, left } => {
                let padding = usize::from(bytes[0]);
                (1, Frame::Before { before: *before, left: left.saturating_sub(1), padding })
            }
            Frame::Before { before: 0, left, padding } => {
                // Padding longer than the frame is an error that the library will find.
                let left = left.saturating_sub(*padding);
                (0, Frame::Block { left, padding: *padding })
            }
            Frame::Before { before, left, padding } => {
                let used = bytes.len().min(*before);
                let (before, left) = (*before - used, left.saturating_sub(used));
                (used, Frame::Before { before, left, padding: *padding })
            }
            Frame::Block { left: 0, padding } => (0, Frame::Skip(*padding)),
            Frame::Block { left, padding } => {
                let here = bytes.len().min(*left);
                let used = self.block.step(&mut bytes[..here]);
                (used, Frame::Block { left: *left - used, padding: *padding })
            }
        };
        self.frame = match next {
            Frame::Skip(0) => Frame::Head([0; 9], 0),
            next => next,
        };
        used
    }
}

/// What follows the header of a frame.
fn payload(head: &[u8; 9]) -> Frame {
    let left = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let flags = head[4];
    let before = if flags & PRIORITY == 0 { 0 } else { 5 };
    match head[3] {
        HEADERS if flags & PADDED != 0 => Frame::Padding { before, left },
        HEADERS => Frame::Before { before, left, padding: 0 },
        CONTINUATION => Frame::Block { left, padding: 0 },
        _ => Frame::Skip(left),
    }
}

impl Block {
    /// Takes one step into `bytes`; how many it used.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        let first = bytes[0];
        let (used, next) = match *self {
            Self::Field => (1, Self::field(first)),
            Self::Number { of, value, shift } => {
                // A number that does not end is an error that the library will find.
                let part = usize::from(first & 0x7f).checked_shl(shift).unwrap_or(0);
                let value = value.saturating_add(part);
                let more = Self::Number { of, value, shift: shift.saturating_add(7) };
                (1, if first & 0x80 == 0 { Self::known(of, value) } else { more })
            }
            Self::Length(text) => {
                if matches!(text, Text::Authority) {
                    bytes[0] = first & 0x7f;
                }
                (1, Self::number(Number::Length(text), first, 7))
            }
            Self::Letters(text, left) => {
                let used = bytes.len().min(left);
                let text = match text {
                    Text::Name(same) => Text::Name(compare(same, &bytes[..used])),
                    Text::Authority => {
                        bytes[..used].fill(b'a');
                        text
                    }
                    Text::Value => text,
                };
                (used, Self::after(text, left - used))
            }
        };
        *self = next;
        used
    }

    /// What a field that begins with `first` goes on with.
    fn field(first: u8) -> Self {
        match first {
            0x80.. => Self::number(Number::Nothing, first, 7),
            0x40.. => Self::number(Number::Name, first, 6),
            0x20.. => Self::number(Number::Nothing, first, 5),
            _ => Self::number(Number::Name, first, 4),
        }
    }

    /// A number whose first `bits` are at the end of `first`.
    fn number(of: Number, first: u8, bits: u32) -> Self {
        let most = (1usize << bits) - 1;
        match usize::from(first) & most {
            value if value < most => Self::known(of, value),
            value => Self::Number { of, value, shift: 0 },
        }
    }

    /// What follows a number.
    fn known(of: Number, value: usize) -> Self {
        match (of, value) {
            (Number::Nothing, _) => Self::Field,
            (Number::Name, 0) => Self::Length(Text::Name(Some(0))),
            (Number::Name, AUTHORITY) => Self::Length(Text::Authority),
            (Number::Name, _) => Self::Length(Text::Value),
            (Number::Length(text), left) => Self::after(text, left),
        }
    }

    /// What follows when `left` letters of a string are still to come.
    fn after(text: Text, left: usize) -> Self {
        match (text, left) {
            (Text::Name(Some(same)), 0) if same == NAME.len() => Self::Length(Text::Authority),
            (Text::Name(_), 0) => Self::Length(Text::Value),
            (Text::Value | Text::Authority, 0) => Self::Field,
            _ => Self::Letters(text, left),
        }
    }
}

/// How many letters are those of `:authority`, after `same` were and `letters` have come.
fn compare(same: Option<usize>, letters: &[u8]) -> Option<usize> {
    let same = same?;
    NAME[same..].starts_with(letters).then_some(same + letters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of this type and flags.
    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    /// What a client sends that writes `name` for its authority `value`, Huffman coded or not: padded, with priority,
    /// in two pieces.
    fn stream(name: &[u8], value: &[u8], huffman: u8) -> Vec<u8> {
        let mut block = vec![0x83, 0x86, 0x3f, 0x61];
        block.extend([0x04, 0x02, b'/', b'x']);
        block.extend(name);
        match u8::try_from(value.len()) {
            Ok(length @ ..127) => block.push(huffman | length),
            _ => block.extend([huffman | 0x7f, u8::try_from(value.len() - 127).expect("below 255")]),
        }
        block.extend(value);
        block.extend([0x00, 0x02, b't', b'e', 0x01, b'%', 0xbf, 0x0f, 0x10, 0x01, b'%']);
        let (first, second) = block.split_at(15);
        let mut padded = vec![3, 0, 0, 0, 0, 16];
        padded.extend(first);
        padded.extend([0x41, 0x01, b'%']);
        let mut stream = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        stream.extend(frame(4, 0, &[0, 3, 0x41, 1, b'%', 9]));
        stream.extend(frame(HEADERS, PADDED | PRIORITY, &padded));
        stream.extend(frame(CONTINUATION, 4, second));
        stream.extend(frame(0, 1, &[0x41, 0x01, b'%']));
        stream
    }

    #[test]
    fn an_authority_is_overwritten_and_nothing_else() {
        for value in [b"%2Ftmp%2Fd.sock".to_vec(), vec![b'%'; 200]] {
            let letters = vec![b'a'; value.len()];
            for (name, huffman) in [(&[0x41][..], 0), (&[0x41], 0x80), (b"\x40\x0a:authority", 0)] {
                let whole = stream(name, &value, huffman);
                for pieces in 1..whole.len() {
                    let mut bytes = whole.clone();
                    let mut eraser = Eraser::default();
                    bytes.chunks_mut(pieces).for_each(|piece| eraser.pass(piece));
                    assert_eq!(bytes, stream(name, &letters, 0), "in pieces of {pieces}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn what_makes_no_sense_does_no_harm(mut bytes: Vec<u8>) {
            let length = bytes.len();
            let mut eraser = Eraser::default();
            bytes.splice(0..0, [0; PREFACE]);
            eraser.pass(&mut bytes);
            proptest::prop_assert_eq!(bytes.len(), length + PREFACE);
        }
    }
}
