//! How the bytes of a layer are compressed: recognised by their first bytes, never by what a manifest claims.

use std::io::{self, BufReader, Read, Write};

use flate2::bufread::MultiGzDecoder;

/// The compression of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// None.
    None,
    /// gzip, of one or several members.
    Gzip,
    /// Zstandard, of one or several frames, skippable ones (as in zstd:chunked) included.
    Zstd,
}

/// The bytes that a decoder reads at a time.
const BUFFER: usize = 128 << 10;
/// The largest window that a zstd stream may ask for, as a power of two: what `zstd --ultra` makes at most.
const WINDOW_LOG: u32 = 27;

impl Compression {
    /// The compression of a stream that begins with `head`.
    pub(crate) fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The compression that a layer's media type names.
    pub(crate) fn of_media_type(media_type: &str) -> Self {
        if media_type.ends_with("+gzip") || media_type.ends_with(".gzip") {
            Self::Gzip
        } else if media_type.ends_with("+zstd") || media_type.ends_with(".zstd") {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// Whether `media_type` is that of a layer that can be applied: a tar, compressed as its first bytes say.
pub(crate) fn is_layer(media_type: &str) -> bool {
    const BARE: [&str; 4] = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ];
    let tail = BARE.iter().find_map(|bare| media_type.strip_prefix(bare));
    matches!(tail, Some("" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
}

/// Reads what `input` holds, decompressed.
///
/// # Errors
/// When the first bytes cannot be read, or a decoder cannot be set up.
pub(crate) fn decode<'a>(mut input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut head = [0; 4];
    let mut filled = 0;
    while filled < head.len() {
        match input.read(&mut head[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    let whole = io::Cursor::new(head).take(filled as u64).chain(input);
    Ok(match Compression::detect(&head[..filled]) {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, whole))),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER, whole))?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// Compresses what is written into `output`.
pub(crate) enum Encoder<W: Write> {
    /// Not at all.
    None(W),
    /// As gzip.
    Gzip(flate2::write::GzEncoder<W>),
    /// As zstd.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// An encoder into `output`. The gzip level is 4: beyond it, time doubles for a hundredth of size.
    pub(crate) fn new(compression: Compression, output: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(output),
            Compression::Gzip => {
                Self::Gzip(flate2::GzBuilder::new().mtime(0).write(output, flate2::Compression::new(4)))
            }
            Compression::Zstd => Self::Zstd(zstd::Encoder::new(output, 3)?),
        })
    }

    /// Ends the stream and returns the output.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(output) => output.write(data),
            Self::Gzip(encoder) => encoder.write(data),
            Self::Zstd(encoder) => encoder.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(output) => output.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(compression: Compression, pieces: &[&[u8]]) -> Vec<u8> {
        let mut stream = Vec::new();
        for piece in pieces {
            let mut encoder = Encoder::new(compression, Vec::new()).expect("encoder");
            encoder.write_all(piece).expect("compress");
            stream.extend(encoder.finish().expect("finish"));
        }
        assert_eq!(Compression::detect(&stream), compression);
        let mut plain = Vec::new();
        decode(stream.as_slice()).expect("decoder").read_to_end(&mut plain).expect("decompress");
        plain
    }

    #[test]
    fn layers_are_tars_that_are_not_encrypted() {
        let oci = "application/vnd.oci.image.layer.v1.tar";
        let docker = "application/vnd.docker.image.rootfs.diff.tar";
        for good in [oci.to_owned(), format!("{oci}+zstd"), docker.to_owned(), format!("{docker}.gzip")] {
            assert!(is_layer(&good), "{good}");
        }
        for bad in ["", "application/x", "application/vnd.oci.image.layer.v1.tar+encrypted"] {
            assert!(!is_layer(bad), "{bad}");
        }
    }

    #[test]
    fn every_compression_reads_back_also_in_several_members() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(round_trip(compression, &[b"one ", b"two"]), b"one two");
        }
        assert_eq!(round_trip(Compression::None, &[b"abc"]), b"abc", "shorter than the magic numbers");
    }

    #[test]
    fn a_cut_off_stream_is_an_error() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut encoder = Encoder::new(compression, Vec::new()).expect("encoder");
            encoder.write_all(&[7; 10_000]).expect("compress");
            let stream = encoder.finish().expect("finish");
            let mut plain = Vec::new();
            let result =
                decode(&stream[..stream.len() - 5]).and_then(|mut reader| reader.read_to_end(&mut plain));
            assert!(result.is_err(), "{compression:?}");
        }
    }

    #[test]
    fn media_types_name_their_compression() {
        let of = Compression::of_media_type;
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar+gzip"), Compression::Gzip);
        assert_eq!(of("application/vnd.docker.image.rootfs.diff.tar.gzip"), Compression::Gzip);
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar+zstd"), Compression::Zstd);
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar"), Compression::None);
    }
}
