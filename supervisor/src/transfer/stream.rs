//! Streams that clients open by name, to be used by a later request: messages both ways until one side closes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dhow_proto::any;
use dhow_proto::error::Kind;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use prost::{Message, Name};
use prost_types::Any;
use tokio::sync::{Mutex as Lock, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::fault::Fault;
use crate::namespace::Namespace;

/// How many messages may wait to be sent.
const DEPTH: usize = 16;
/// How many streams a namespace may have open.
const LIMIT: usize = 10_000;

/// A failure around streams.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// No stream of that name.
    #[error("stream {0:?}")]
    NotFound(String),
    /// One of that name is open.
    #[error("stream {0:?}")]
    AlreadyExists(String),
    /// The other side closed it.
    #[error("stream {0:?} is closed")]
    Closed(String),
    /// The connection broke.
    #[error("receive from stream {id:?}")]
    Broken {
        /// Which stream.
        id: String,
        /// Why.
        source: Status,
    },
    /// A message that does not belong there.
    #[error("unexpected message {message:?} on stream {id:?}")]
    Message {
        /// Which stream.
        id: String,
        /// Its type.
        message: String,
    },
    /// Too many are open.
    #[error("more than {LIMIT} streams are open")]
    Many,
}

impl Fault for StreamError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::Closed(_) | Self::Broken { .. } => Kind::Unavailable,
            Self::Message { .. } => Kind::InvalidArgument,
            Self::Many => Kind::ResourceExhausted,
        }
    }
}

type Key = (Namespace, String);

/// The open streams, by namespace and name; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<Key, Stream>>>);

/// One stream; clones are the same one.
#[derive(Clone)]
pub(crate) struct Stream {
    id: String,
    incoming: Arc<Lock<BoxStream<'static, Result<Any, Status>>>>,
    outgoing: mpsc::Sender<Outgoing>,
}

/// What goes to the client.
#[derive(Debug)]
enum Outgoing {
    Message(Any),
    /// Nothing more: the stream ends.
    End,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stream").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Streams {
    /// Opens a stream called `id`, of which the client sends `incoming`; returns what goes to the client.
    pub(crate) fn open(
        &self,
        namespace: Namespace,
        id: String,
        incoming: BoxStream<'static, Result<Any, Status>>,
    ) -> Result<BoxStream<'static, Result<Any, Status>>, StreamError> {
        let (outgoing, receiver) = mpsc::channel(DEPTH);
        let incoming = Arc::new(Lock::new(incoming));
        let stream = Stream { id: id.clone(), incoming, outgoing: outgoing.clone() };
        let key = (namespace, id);
        {
            let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if streams.contains_key(&key) {
                return Err(StreamError::AlreadyExists(key.1));
            }
            if streams.len() >= LIMIT {
                return Err(StreamError::Many);
            }
            streams.insert(key.clone(), stream);
        }
        // Ended by us or left by the client, the stream is forgotten.
        let streams = self.clone();
        tokio::spawn(async move {
            outgoing.closed().await;
            streams.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        });
        let messages =
            tokio_stream::StreamExt::map_while(ReceiverStream::new(receiver), |outgoing| match outgoing {
                Outgoing::Message(message) => Some(Ok(message)),
                Outgoing::End => None,
            });
        // A client may wait for the first message before it goes on: that the stream is there.
        let ready = Any { type_url: "google.protobuf.Empty".to_owned(), value: Vec::new() };
        Ok(futures_util::stream::iter([Ok(ready)]).chain(messages).boxed())
    }

    /// The open stream called `id`.
    pub(crate) fn find(&self, namespace: &Namespace, id: &str) -> Result<Stream, StreamError> {
        let streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = streams.get(&(namespace.clone(), id.to_owned())).cloned();
        stream.ok_or_else(|| StreamError::NotFound(id.to_owned()))
    }
}

impl Stream {
    /// Sends `message` to the client.
    pub(super) async fn send<M: Message + Name>(&self, message: &M) -> Result<(), StreamError> {
        let message = Outgoing::Message(any::pack(message));
        self.outgoing.send(message).await.map_err(|_| StreamError::Closed(self.id.clone()))
    }

    /// The client's next message; `None` when it sends no more.
    pub(super) async fn receive<M: Message + Name + Default>(&self) -> Result<Option<M>, StreamError> {
        let message = match self.incoming.lock().await.next().await {
            None => return Ok(None),
            // The way a client leaves that has nothing more to say.
            Some(Err(status)) if status.code() == Code::Cancelled => return Ok(None),
            Some(message) => message.map_err(|source| StreamError::Broken { id: self.id.clone(), source })?,
        };
        match any::unpack(&message) {
            Some(Ok(message)) => Ok(Some(message)),
            _ => Err(StreamError::Message { id: self.id.clone(), message: message.type_url }),
        }
    }

    /// Ends the stream from our side, after what was sent.
    pub(super) async fn close(&self) {
        drop(self.outgoing.send(Outgoing::End).await);
    }
}

/// A stream that ends when this is dropped, however the work that used it ended.
#[derive(Debug)]
pub(crate) struct Closing(pub(super) Stream);

impl Drop for Closing {
    fn drop(&mut self) {
        let stream = self.0.clone();
        tokio::spawn(async move { stream.close().await });
    }
}
