//! One log entry as JSON, byte for byte as Docker's json-file driver writes it.

use std::rc::Rc;
use std::time::SystemTime;

use serde_json::value::RawValue;

use super::super::Stream;
use crate::clock;

/// What stands after the text of an entry: stream, attributes and time. Made once for everything read at one time.
#[derive(Debug, Clone)]
pub(super) struct Tail(Rc<[u8]>);

impl Tail {
    pub(super) fn new(stream: Stream, attrs: Option<&RawValue>, time: SystemTime) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(b"\",\"stream\":\"");
        bytes.extend_from_slice(stream.name().as_bytes());
        if let Some(attrs) = attrs {
            bytes.extend_from_slice(b"\",\"attrs\":");
            bytes.extend_from_slice(attrs.get().as_bytes());
            bytes.extend_from_slice(b",\"time\":\"");
        } else {
            bytes.extend_from_slice(b"\",\"time\":\"");
        }
        clock::write_rfc3339_nano(&mut bytes, time);
        bytes.extend_from_slice(b"\"}\n");
        Self(bytes.into())
    }
}

/// Appends the entry of `line` to `output`; `ends` says whether the line's newline came.
pub(super) fn entry(output: &mut Vec<u8>, line: &[u8], ends: bool, tail: &Tail) {
    output.reserve(line.len() + tail.0.len() + 16);
    output.extend_from_slice(b"{\"log\":\"");
    escape(output, line);
    if ends {
        output.extend_from_slice(b"\\n");
    }
    output.extend_from_slice(&tail.0);
}

/// Whether a byte can stand in the JSON text as it is. Docker escapes HTML's characters too.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

fn escape(output: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some(special) = bytes.iter().position(|&byte| !PLAIN[usize::from(byte)]) {
        output.extend_from_slice(&bytes[..special]);
        bytes = &bytes[special..];
        bytes = if bytes[0] < 0x80 { escape_byte(output, bytes) } else { escape_run(output, bytes) };
    }
    output.extend_from_slice(bytes);
}

fn escape_byte<'a>(output: &mut Vec<u8>, bytes: &'a [u8]) -> &'a [u8] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match bytes[0] {
        byte @ (b'"' | b'\\') => output.extend_from_slice(&[b'\\', byte]),
        b'\n' => output.extend_from_slice(b"\\n"),
        b'\r' => output.extend_from_slice(b"\\r"),
        byte => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            output.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
    &bytes[1..]
}

/// Escapes the non-ASCII bytes at the start of `bytes`: what is no UTF-8 becomes U+FFFD, a byte at a time as in Go.
fn escape_run<'a>(output: &mut Vec<u8>, bytes: &'a [u8]) -> &'a [u8] {
    let end = bytes.iter().position(u8::is_ascii).unwrap_or(bytes.len());
    let (run, rest) = bytes.split_at(end);
    for chunk in run.utf8_chunks() {
        for part in chunk.valid().split_inclusive(['\u{2028}', '\u{2029}']) {
            match part.strip_suffix('\u{2028}').map(|text| (text, "\\u2028")) {
                Some((text, escaped)) => output.extend_from_slice([text, escaped].concat().as_bytes()),
                None => match part.strip_suffix('\u{2029}') {
                    Some(text) => output.extend_from_slice([text, "\\u2029"].concat().as_bytes()),
                    None => output.extend_from_slice(part.as_bytes()),
                },
            }
        }
        for _ in chunk.invalid() {
            output.extend_from_slice(b"\\ufffd");
        }
    }
    rest
}
