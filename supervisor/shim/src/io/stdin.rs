//! The way into a process: one pipe or terminal, fed by a FIFO or by attached clients.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::reactor::{Changed, Watched, either};

/// How much is read from a client at a time.
const CHUNK: usize = 8 << 10;

/// Where input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    Fifo,
    /// Attached clients; with `once` the end of the first that ends is the end of stdin.
    Clients {
        once: bool,
    },
}

/// The stdin of one process.
#[derive(Debug)]
pub(super) struct Stdin {
    /// The pipe or terminal; a terminal comes after the process.
    sink: RefCell<Option<Rc<Watched<OwnedFd>>>>,
    /// The writing end of a FIFO, which keeps it from ending when a client leaves.
    keeper: RefCell<Option<OwnedFd>>,
    feed: Feed,
    /// Whether its end was asked for.
    closing: Cell<bool>,
    closed: Cell<bool>,
    changed: Changed,
}

impl Stdin {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            sink: RefCell::default(),
            keeper: RefCell::default(),
            closing: Cell::new(false),
            feed,
            closed: Cell::new(false),
            changed: Changed::default(),
        }
    }

    /// Tells where to write to.
    pub(super) fn connect(&self, sink: Rc<Watched<OwnedFd>>) {
        self.sink.replace(Some(sink));
        self.changed.notify();
    }

    /// Ends stdin on request. With a FIFO it ends after what clients have written and once they have left.
    pub(super) fn close(&self) {
        self.closing.set(true);
        drop(self.keeper.take());
        if self.feed != Feed::Fifo {
            self.abandon();
        }
    }

    /// Keeps a FIFO from ending, unless its end was asked for already.
    pub(super) fn keep(&self, keeper: OwnedFd) {
        if !self.closing.get() {
            self.keeper.replace(Some(keeper));
        }
    }

    /// Ends stdin now: nobody reads it any more.
    pub(super) fn abandon(&self) {
        self.closed.set(true);
        drop(self.keeper.take());
        drop(self.sink.take());
        self.changed.notify();
    }

    /// What happens when a client has sent its last byte.
    pub(super) fn client_ended(&self) {
        if self.feed != (Feed::Clients { once: false }) {
            self.abandon();
        }
    }

    /// Writes to the process; whether anybody may still want more.
    pub(super) async fn write(&self, bytes: &[u8]) -> bool {
        let sink = self.changed.until(|| match (self.closed.get(), &*self.sink.borrow()) {
            (true, _) => Some(None),
            (false, Some(sink)) => Some(Some(Rc::clone(sink))),
            (false, None) => None,
        });
        let Some(sink) = sink.await else { return false };
        let written = async { sink.write_all(bytes).await.is_ok() };
        either(written, self.until_closed()).await
    }

    async fn until_closed(&self) -> bool {
        self.changed.until(|| self.closed.get().then_some(false)).await
    }

    /// Reads once from a client, unless stdin is closed first; the number of bytes, 0 at the end.
    pub(super) async fn read_from(&self, source: &Watched<OwnedFd>, buffer: &mut [u8]) -> usize {
        let read = async { source.reading(|fd| rustix::io::read(fd, &mut *buffer)).await.unwrap_or(0) };
        either(read, async {
            self.until_closed().await;
            0
        })
        .await
    }
}

/// Copies a FIFO into `stdin` until it ends.
pub(super) async fn copy_fifo(stdin: Rc<Stdin>, source: Watched<OwnedFd>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = stdin.read_from(&source, &mut buffer).await;
        if read == 0 || !stdin.write(&buffer[..read]).await {
            stdin.client_ended();
            return;
        }
    }
}
