//! Bytes over a stream, with the flow control that keeps a fast sender from filling a slow receiver's memory.
//!
//! ```text
//! receiver -> sender   WindowUpdate { update }      the sender may send that many bytes more
//! sender -> receiver   Data { data }                at most 32 KiB
//! ```

use std::io::{self, Read, Write};
use std::time::Duration;

use ::bytes::{Buf, Bytes};
use dhow_proto::containerd::types::transfer::{Data, WindowUpdate};
use tokio::sync::mpsc;

use super::stream::{Stream, StreamError};

/// The most bytes of one message.
const PIECE: usize = 32 << 10;
/// How many bytes a client may send ahead.
const WINDOW: i32 = 1 << 20;
/// A client that asks for no more for so long has read what it was sent.
const QUIET: Duration = Duration::from_millis(100);
/// How many pieces may wait between a stream and a thread that blocks.
const DEPTH: usize = 16;

/// The bytes that a client sends, for a thread that may block.
#[derive(Debug)]
pub(super) struct Incoming {
    pieces: mpsc::Receiver<Result<Bytes, StreamError>>,
    current: Bytes,
}

impl Incoming {
    /// Receives from `stream` until the client closes its side.
    pub(super) fn new(stream: Stream) -> Self {
        let (sender, pieces) = mpsc::channel(DEPTH);
        tokio::spawn(async move {
            if let Err(error) = receive(&stream, &sender).await {
                drop(sender.send(Err(error)).await);
            }
        });
        Self { pieces, current: Bytes::new() }
    }
}

async fn receive(
    stream: &Stream,
    sender: &mpsc::Sender<Result<Bytes, StreamError>>,
) -> Result<(), StreamError> {
    let mut window = 0;
    loop {
        if window < WINDOW / 2 {
            // A client that has sent all it had is gone already, and wants no more window.
            let update = WindowUpdate { update: WINDOW };
            match stream.send(&update).await {
                Ok(()) | Err(StreamError::Closed(_)) => window += WINDOW,
                Err(error) => return Err(error),
            }
        }
        let Some(Data { data }) = stream.receive().await? else { return Ok(()) };
        window -= i32::try_from(data.len()).unwrap_or(i32::MAX);
        if sender.send(Ok(data.into())).await.is_err() {
            return Ok(());
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Bytes for a client, from a thread that may block.
#[derive(Debug)]
pub(super) struct Outgoing(mpsc::Sender<Bytes>);

impl Outgoing {
    /// Bytes that go to `stream`; the second part ends when all of them, or as many as the client wanted, are sent and,
    /// as far as one can tell, read: `ctr` does not wait for its own copy once it is told that a transfer is over.
    pub(super) fn new(stream: Stream) -> (Self, impl Future<Output = Result<(), StreamError>>) {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(DEPTH);
        let sending = async move {
            let mut window: i64 = 0;
            while let Some(mut piece) = pieces.recv().await {
                while !piece.is_empty() {
                    while window <= 0 {
                        match stream.receive::<WindowUpdate>().await? {
                            Some(WindowUpdate { update }) => window += i64::from(update),
                            None => return Ok(()),
                        }
                    }
                    let most = usize::try_from(window).unwrap_or(PIECE).min(PIECE).min(piece.len());
                    let data = piece.split_to(most);
                    stream.send(&Data { data: data.to_vec() }).await?;
                    window -= i64::try_from(most).unwrap_or_default();
                }
            }
            while let Ok(Ok(Some(_))) = tokio::time::timeout(QUIET, stream.receive::<WindowUpdate>()).await {}
            Ok(())
        };
        (Self(sender), sending)
    }
}

impl Write for Outgoing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(data));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
