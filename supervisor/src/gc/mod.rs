//! Garbage collection: what nothing refers to any more goes.
//!
//! Owns: which objects are reachable ([`graph`], [`label`]), and taking away the others. Does not own: how an object
//! is taken away; its store does that.
//!
//! ```text
//! watch:  the store notes every key that is written from now on
//! mark:   in a read snapshot, from the roots; writers go on meanwhile
//! sweep:  in small transactions: first mark, in the newest state, from what was written since; then remove some of
//!         what is still unmarked
//! after:  sync the metadata, then delete files: blobs that no namespace sees, directories, unfinished writes
//! ```
//! Whatever became reachable after the snapshot did so through a record that was written after it, so the second
//! mark finds it: nothing reachable is removed, and no writer ever waits for more than one small transaction.
//!
//! What was made without a lease less than a minute ago is spared, with all that it refers to, unless a client asks
//! and waits: some clients make an object first and refer to it a moment later.
//!
//! A collection runs soon after something was deleted, when a root expires, and when a client asks and waits. It
//! leaves the processor alone for fifty times as long as it took.

mod collector;
mod condition;
mod graph;
mod history;
pub(crate) mod label;
mod mark;
mod node;
mod question;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use collector::Collector;
use dhow_proto::error::Kind;
pub(crate) use history::{COLLECTED, Collected};
pub(crate) use node::{Node, Subject};
pub(crate) use question::{Answer, QUESTION_URL, Question};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::content::ContentError;
use crate::fault::Fault;
use crate::metadata::StoreError;

/// A collection that did not come to its end; what it removed stays removed, the rest waits for the next one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error("collect garbage")]
    Store(#[from] StoreError),
    #[error("delete collected content")]
    Content(#[from] ContentError),
    #[error(transparent)]
    Failed(Arc<Self>),
    #[error("the collector has ended")]
    Ended,
}

impl Fault for CollectError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Failed(error) => error.kind(),
            Self::Ended => Kind::Unavailable,
        }
    }
}

/// The way to the collector; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    soon: Arc<Notify>,
    now: mpsc::UnboundedSender<Request>,
}

type Request = oneshot::Sender<Result<(), CollectError>>;

/// The collector's end of a [`Trigger`].
#[derive(Debug)]
pub(crate) struct Requests {
    soon: Arc<Notify>,
    now: mpsc::UnboundedReceiver<Request>,
}

impl Trigger {
    /// A trigger, and what [`Collector::run`] takes.
    pub(crate) fn new() -> (Self, Requests) {
        let soon = Arc::new(Notify::new());
        let (now, requests) = mpsc::unbounded_channel();
        (Self { soon: soon.clone(), now }, Requests { soon, now: requests })
    }

    /// Something may have become garbage.
    pub(crate) fn pull(&self) {
        self.soon.notify_one();
    }

    /// Collects all that is garbage now, and returns when it is gone.
    pub(crate) async fn collect(&self) -> Result<(), CollectError> {
        let (done, collected) = oneshot::channel();
        // Without a collector the answer says so.
        drop(self.now.send(done));
        collected.await.unwrap_or(Err(CollectError::Ended))
    }
}
