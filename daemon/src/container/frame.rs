//! Frames: how the output of a process without a terminal crosses a wire.
//!
//! ```text
//! [stream: 1 stdout, 2 stderr][0][0][0][length: u32 BE][payload]
//! ```

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest payload that is believed; a shim sends at most 32 KiB.
const LIMIT: usize = 1 << 20;

/// A stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

impl Source {
    fn number(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }
}

/// A payload with its header.
pub(crate) fn framed(source: Source, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + payload.len());
    frame.put_slice(&[source.number(), 0, 0, 0]);
    frame.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    frame.put_slice(payload);
    frame.freeze()
}

/// Passes on the frames of the wanted streams only.
pub(crate) async fn copy_chosen(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    stdout: bool,
    stderr: bool,
) -> io::Result<()> {
    let mut header = [0; 8];
    loop {
        match from.read_exact(&mut header).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return to.flush().await,
            Err(error) => return Err(error),
        }
        let [number, _, _, _, length @ ..] = header;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let mut frame = vec![0; header.len() + length];
        frame[..header.len()].copy_from_slice(&header);
        from.read_exact(&mut frame[header.len()..]).await?;
        if number == Source::Stdout.number() && stdout || number == Source::Stderr.number() && stderr {
            to.write_all(&frame).await?;
            to.flush().await?;
        }
    }
}

/// The payloads of whole frames, one after the other.
pub(crate) fn payloads(mut frames: &[u8]) -> Vec<u8> {
    let mut payloads = Vec::new();
    while let Some((header, rest)) = frames.split_at_checked(8) {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        payloads.extend_from_slice(&rest[..length]);
        frames = &rest[length..];
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_wanted_stream_passes() {
        let whole =
            [framed(Source::Stdout, b"out"), framed(Source::Stderr, b"err"), framed(Source::Stdout, b"")]
                .concat();
        let mut passed = Vec::new();
        copy_chosen(&mut whole.as_slice(), &mut passed, false, true).await.expect("copy");
        assert_eq!(passed, framed(Source::Stderr, b"err"));
        assert_eq!(payloads(&whole), b"outerr");
        assert_eq!(payloads(&whole[..9]), b"o", "a cut frame gives what it has");
    }

    #[tokio::test]
    async fn a_length_that_no_shim_sends_is_refused() {
        let hostile = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert!(copy_chosen(&mut hostile.as_slice(), &mut Vec::new(), true, false).await.is_err());
    }
}
