//! Calls to a shim: any number at a time on one connection.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dhow_proto::error::Kind;
use dhow_proto::ttrpc::{self, Decoder, Frame, FrameError, FrameKind, Incoming};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

/// How many requests may wait to be written.
const OUTGOING: usize = 32;

/// A connection to a ttrpc server; clones share it, and the last one closes it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Vec<u8>>,
    closed: watch::Receiver<bool>,
    server: Option<i32>,
}

#[derive(Debug)]
struct Shared {
    last_stream: AtomicU32,
    waiting: Mutex<HashMap<u32, oneshot::Sender<Reply>>>,
}

type Reply = Result<Vec<u8>, ttrpc::CallError>;

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The server answered with a failure.
    #[error(transparent)]
    Remote(ttrpc::CallError),
    #[error("ttrpc: closed")]
    Closed,
    #[error("context deadline exceeded")]
    Deadline,
    #[error("encode request")]
    Encode(#[source] FrameError),
    #[error("decode reply")]
    Decode(#[source] prost::DecodeError),
}

impl CallError {
    /// What sort of failure this is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Remote(error) => error.kind,
            Self::Closed => Kind::Unavailable,
            Self::Deadline => Kind::DeadlineExceeded,
            Self::Encode(_) => Kind::ResourceExhausted,
            Self::Decode(_) => Kind::Internal,
        }
    }
}

impl Client {
    /// Connects to the server at `path`.
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path).await?;
        let server = socket.peer_cred().ok().and_then(|peer| peer.pid());
        let (reader, writer) = socket.into_split();
        let shared = Arc::new(Shared { last_stream: AtomicU32::new(u32::MAX), waiting: Mutex::default() });
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        let (close, closed) = watch::channel(false);
        tokio::spawn(run(Arc::clone(&shared), reader, writer, requests, close));
        Ok(Self { shared, outgoing, closed, server })
    }

    /// Calls `service.method` and waits for its reply, no longer than `timeout` if there is one.
    ///
    /// # Errors
    /// When the server fails the call, goes away, or the time is up.
    pub(crate) async fn call<Q: Message, R: Message + Default>(
        &self,
        target: (&str, &str),
        namespace: &str,
        timeout: Option<Duration>,
        request: &Q,
    ) -> Result<R, CallError> {
        // Starts at 1 and stays odd, also after it has wrapped around.
        let stream = self.shared.last_stream.fetch_add(2, Ordering::Relaxed).wrapping_add(2);
        let mut bytes = Vec::new();
        ttrpc::call(&mut bytes, stream, target, namespace, timeout, request).map_err(CallError::Encode)?;
        let (sender, reply) = oneshot::channel();
        self.shared.waiting().insert(stream, sender);
        let _forget = Forget { shared: &self.shared, stream };
        let answered = async {
            self.outgoing.send(bytes).await.map_err(|_| CallError::Closed)?;
            reply.await.map_err(|_| CallError::Closed)?.map_err(CallError::Remote)
        };
        let payload = match timeout {
            Some(timeout) => {
                tokio::time::timeout(timeout, answered).await.map_err(|_| CallError::Deadline)??
            }
            None => answered.await?,
        };
        R::decode(payload.as_slice()).map_err(CallError::Decode)
    }

    /// The pid of whoever began to listen there. It may have handed the socket on, and be another's pid by now.
    pub(crate) fn server(&self) -> Option<i32> {
        self.server
    }

    /// Waits until the connection is closed, by the server or by an error.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.clone();
        drop(closed.wait_for(|closed| *closed).await);
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a call whose caller has gone.
struct Forget<'a> {
    shared: &'a Shared,
    stream: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.waiting().remove(&self.stream);
    }
}

async fn run(
    shared: Arc<Shared>,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    requests: mpsc::Receiver<Vec<u8>>,
    close: watch::Sender<bool>,
) {
    let ended = tokio::select! {
        ended = read(&shared, reader) => ended,
        ended = write(writer, requests) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "shim connection ended");
    }
    shared.waiting().clear();
    close.send_replace(true);
}

async fn read(shared: &Shared, mut reader: OwnedReadHalf) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 4 << 10];
    loop {
        let read = reader.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        decoder.feed(&buffer[..read]);
        while let Some(incoming) = decoder.decode().map_err(io::Error::other)? {
            let (stream, reply) = match incoming {
                Incoming::Frame(Frame { kind: FrameKind::Response, stream, payload, .. }) => {
                    (stream, ttrpc::result(payload))
                }
                Incoming::Frame(_) => continue,
                Incoming::TooLong { stream, length } => {
                    let message = FrameError::TooLong(length).to_string();
                    (stream, Err(ttrpc::CallError { kind: Kind::ResourceExhausted, message }))
                }
            };
            if let Some(waiting) = shared.waiting().remove(&stream) {
                // Nobody may be there any more: the call was given up at this moment.
                drop(waiting.send(reply));
            }
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut requests: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(bytes) = requests.recv().await {
        writer.write_all(&bytes).await?;
    }
    Ok(())
}
