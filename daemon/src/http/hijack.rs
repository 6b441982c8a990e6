//! Connections that stop being HTTP: attach and exec.
//!
//! ```text
//! client: POST … Connection: Upgrade, Upgrade: tcp      -> 101 UPGRADED, then raw bytes both ways
//! client: POST … without Upgrade                        -> 200 OK, output as a chunked body; no input
//! ```
//! Bytes that the client sent right after its head are kept. Half-closing the connection ends the input only.

use http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;

use super::body::{self, Answer};
use super::call::Call;
use super::version::Version;

/// What the output of a process looks like on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A terminal: bytes as they are.
    Raw,
    /// Each piece with an eight-byte header that names its stream.
    Multiplexed,
}

impl Framing {
    /// The framing of a process with or without a terminal.
    pub(crate) fn of(terminal: bool) -> Self {
        if terminal { Self::Raw } else { Self::Multiplexed }
    }

    /// How it is announced: clients before 1.42 know one name only.
    pub(crate) fn content_type(self, version: Version) -> &'static str {
        match self {
            Self::Multiplexed if version >= Version::one(42) => "application/vnd.docker.multiplexed-stream",
            Self::Raw | Self::Multiplexed => "application/vnd.docker.raw-stream",
        }
    }
}

/// Takes the connection when the client asked for that.
pub(crate) fn take(call: &mut Call) -> Option<OnUpgrade> {
    let asked = call.headers().contains_key(header::UPGRADE);
    asked.then(|| call.head.extensions.remove::<OnUpgrade>()).flatten()
}

/// The answer after which the connection is the caller's.
pub(crate) fn upgraded(content_type: &'static str) -> Answer {
    let mut answer = body::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    answer.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    answer
}
