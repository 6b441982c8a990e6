//! Bodies of requests that are read from files as they are sent.

use std::io::{self, Read};

use bytes::Bytes;
use futures_util::Stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;

use crate::client::Body;
use crate::error::Failure;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// Pieces read ahead of the connection.
const AHEAD: usize = 4;

/// What comes from standard input.
pub(super) fn stdin() -> Body {
    reader(io::stdin())
}

/// What is in a file.
pub(super) fn file(path: &str) -> Result<Body, Failure> {
    let file = std::fs::File::open(path).map_err(|error| Failure::io(format!("open {path}"), &error))?;
    Ok(reader(file))
}

/// What `source` gives; it is read by a thread of its own.
pub(super) fn reader(mut source: impl Read + Send + 'static) -> Body {
    produce(move |sink| {
        let mut buffer = vec![0; CHUNK];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => sink(&buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
}

/// What `work` hands to its sink, on a thread of its own.
pub(super) fn produce<F>(work: F) -> Body
where
    F: FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    // Whoever sends the request sees the end of the channel when the thread cannot be started.
    drop(std::thread::Builder::new().name("upload".into()).spawn(move || {
        let mut sink = |bytes: &[u8]| {
            sender
                .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        };
        if let Err(error) = work(&mut sink) {
            drop(sender.blocking_send(Err(error)));
        }
    }));
    StreamBody::new(frames(receiver)).boxed_unsync()
}

fn frames(
    receiver: mpsc::Receiver<io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((bytes.map(Frame::data), receiver))
    })
}
