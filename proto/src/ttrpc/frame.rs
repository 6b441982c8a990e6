//! Frames: the header, and the decoder that cuts a byte stream into them.

/// Length of the header before each payload.
pub const HEADER_LENGTH: usize = 10;
/// The longest payload that either side sends or takes.
pub const PAYLOAD_LIMIT: usize = 4 << 20;
/// What a decoder keeps allocated between frames.
const IDLE_CAPACITY: usize = 8 << 10;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A [`super::Request`].
    Request,
    /// A [`super::Response`].
    Response,
    /// A message of a stream; never part of a unary call.
    Data,
}

impl FrameKind {
    fn byte(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Data => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Request, Self::Response, Self::Data].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// One frame, borrowed from where it was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which call it belongs to.
    pub stream: u32,
    /// What it carries.
    pub kind: FrameKind,
    /// Flags of the kind; unary calls ignore them.
    pub flags: u8,
    /// The encoded message.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Appends the frame as bytes to `output`.
    ///
    /// # Errors
    /// When the payload is longer than [`PAYLOAD_LIMIT`].
    pub fn encode(&self, output: &mut Vec<u8>) -> Result<(), FrameError> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        if self.payload.len() > PAYLOAD_LIMIT {
            return Err(FrameError::TooLong(length));
        }
        output.reserve(HEADER_LENGTH + self.payload.len());
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(&self.stream.to_be_bytes());
        output.extend_from_slice(&[self.kind.byte(), self.flags]);
        output.extend_from_slice(self.payload);
        Ok(())
    }
}

/// What the decoder found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// A frame whose payload is over the limit; its bytes are skipped and the connection stays usable.
    TooLong {
        /// Which call it belongs to.
        stream: u32,
        /// The length that its header claims.
        length: u32,
    },
}

/// Why bytes are not frames, or a message no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A header with a kind that does not exist; the connection is of no use any more.
    #[error("ttrpc frame of unknown kind {0}")]
    UnknownKind(u8),
    /// A payload over [`PAYLOAD_LIMIT`].
    #[error("message length {0} exceed maximum message size of {PAYLOAD_LIMIT}")]
    TooLong(u32),
}

/// Cuts a stream of bytes into frames, holding no more than one incomplete frame.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    consumed: usize,
    skip: usize,
}

impl Decoder {
    /// Takes bytes as they came from the socket.
    pub fn feed(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        if self.consumed == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(IDLE_CAPACITY);
        } else if self.consumed > 0 {
            self.bytes.drain(..self.consumed);
        }
        self.consumed = 0;
        self.bytes.extend_from_slice(&bytes[skipped..]);
    }

    /// The next whole frame among the bytes fed so far, if there is one.
    ///
    /// # Errors
    /// When the bytes cannot be ttrpc.
    pub fn decode(&mut self) -> Result<Option<Incoming<'_>>, FrameError> {
        let rest = &self.bytes[self.consumed..];
        let Some((&[l0, l1, l2, l3, s0, s1, s2, s3, kind, flags], rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let kind = FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        let size = length as usize;
        if size > PAYLOAD_LIMIT {
            let present = size.min(rest.len());
            self.skip = size - present;
            self.consumed += HEADER_LENGTH + present;
            return Ok(Some(Incoming::TooLong { stream, length }));
        }
        let Some(payload) = rest.get(..size) else { return Ok(None) };
        self.consumed += HEADER_LENGTH + size;
        Ok(Some(Incoming::Frame(Frame { stream, kind, flags, payload })))
    }
}
