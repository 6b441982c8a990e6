//! The attach socket: live copies of a process's output to any number of clients, and their input to it.
//!
//! ```text
//! to the client:   terminal: bytes as they are; else [1|2, 0, 0, 0, length: u32 BE] and at most 32 KiB, repeated
//! from the client: bytes for stdin; its half-close ends stdin when the request said `once`
//! ```
//! A client may be [`QUEUE_LIMIT`] bytes behind; then the process waits. The end of the stream means that the process
//! is over and that all its output was delivered.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};

use super::Stream;
use super::stdin::Stdin;
use crate::reactor::{Changed, Reactor, Watched, either};
use crate::socket::{self, SocketError};

/// How far a client may fall behind before the process must wait for it.
const QUEUE_LIMIT: usize = 1 << 20;
/// The most payload of one frame.
const FRAME_LIMIT: usize = 32 << 10;

/// One attach socket and its clients.
pub(crate) struct Hub {
    path: PathBuf,
    listener: Rc<Watched<OwnedFd>>,
    terminal: bool,
    clients: RefCell<Vec<Rc<Client>>>,
    state: Cell<State>,
    changed: Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The process is over: clients get the rest, new ones an end at once.
    Ended,
    /// The socket is gone.
    Closed,
}

struct Client {
    socket: Watched<OwnedFd>,
    queue: RefCell<VecDeque<Rc<[u8]>>>,
    queued: Cell<usize>,
    gone: Cell<bool>,
    changed: Changed,
}

impl fmt::Debug for Hub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hub").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Hub {
    /// Makes the socket at `path`, for its owner alone.
    pub(super) fn bind(reactor: &Reactor, path: &Path, terminal: bool) -> Result<Self, super::IoError> {
        let opened = socket::listen(path).and_then(|listener| {
            let watched = Watched::new(reactor, listener);
            watched.map_err(|source| SocketError { action: "watch", path: path.to_owned(), source })
        });
        let listener = opened.map_err(|error| error.into_path_error())?;
        Ok(Self {
            path: path.to_owned(),
            listener: Rc::new(listener),
            terminal,
            clients: RefCell::default(),
            state: Cell::new(State::Open),
            changed: Changed::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets clients in; what they send goes to `stdin`.
    pub(super) fn serve(self: &Rc<Self>, reactor: &Reactor, stdin: Option<Rc<Stdin>>) {
        let (hub, reactor) = (Rc::clone(self), reactor.clone());
        let listener = Rc::clone(&self.listener);
        self.spawn_until_closed(&reactor.clone(), async move {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            loop {
                match listener.reading(|fd| rustix::net::accept_with(fd, flags)).await {
                    Ok(socket) => hub.admit(&reactor, socket, stdin.clone()),
                    // Out of descriptors or memory: clients can try again, the process goes on.
                    Err(_) => reactor.sleep(std::time::Duration::from_millis(100)).await,
                }
            }
        });
    }

    fn spawn_until_closed(self: &Rc<Self>, reactor: &Reactor, future: impl Future<Output = ()> + 'static) {
        let hub = Rc::clone(self);
        reactor.spawn(async move {
            let closed = hub.changed.until(|| (hub.state.get() == State::Closed).then_some(()));
            either(future, closed).await;
        });
    }

    fn admit(self: &Rc<Self>, reactor: &Reactor, socket: OwnedFd, stdin: Option<Rc<Stdin>>) {
        let Ok(socket) = Watched::new(reactor, socket) else { return };
        let client = Rc::new(Client {
            socket,
            queue: RefCell::default(),
            queued: Cell::new(0),
            gone: Cell::new(false),
            changed: Changed::default(),
        });
        self.clients.borrow_mut().push(Rc::clone(&client));
        let hub = Rc::clone(self);
        let writer = Rc::clone(&client);
        reactor.spawn(async move {
            writer.deliver(&hub).await;
            hub.drop_client(&writer);
        });
        self.spawn_until_closed(reactor, async move { client.listen(stdin).await });
    }

    fn drop_client(&self, client: &Rc<Client>) {
        client.leave();
        self.clients.borrow_mut().retain(|other| !Rc::ptr_eq(other, client));
        self.changed.notify();
    }

    /// Copies `bytes` to every client; a fast one gets them at once, the others find them in their queue.
    pub(super) fn send(&self, stream: Stream, bytes: &[u8]) {
        let clients = self.clients.borrow();
        if clients.is_empty() {
            return;
        }
        let mut framed = Vec::with_capacity(bytes.len() + 8 * (bytes.len() / FRAME_LIMIT + 1));
        for payload in bytes.chunks(FRAME_LIMIT) {
            if !self.terminal {
                let number = if stream == Stream::Stdout { 1 } else { 2 };
                let length = u32::try_from(payload.len()).unwrap_or(0);
                framed.extend_from_slice(&[number, 0, 0, 0]);
                framed.extend_from_slice(&length.to_be_bytes());
            }
            framed.extend_from_slice(payload);
        }
        let mut shared = None;
        for client in clients.iter() {
            let sent = client.try_send(&framed);
            if sent < framed.len() {
                let rest = if sent == 0 {
                    Rc::clone(shared.get_or_insert_with(|| Rc::from(framed.as_slice())))
                } else {
                    Rc::from(&framed[sent..])
                };
                client.enqueue(rest);
            }
        }
    }

    /// Waits until no client is too far behind.
    pub(super) async fn room(&self) {
        let behind = || self.clients.borrow().iter().any(|client| client.queued.get() > QUEUE_LIMIT);
        self.changed.until(|| (!behind()).then_some(())).await;
    }

    /// The process is over and its output is all here.
    pub(super) fn end(&self) {
        if self.state.get() == State::Open {
            self.state.set(State::Ended);
        }
        self.notify_all();
    }

    /// Takes the socket away; clients still get what is queued for them.
    pub(super) fn close(&self) {
        if self.state.replace(State::Closed) != State::Closed {
            socket::remove(&self.path);
        }
        self.notify_all();
    }

    fn notify_all(&self) {
        self.changed.notify();
        self.clients.borrow().iter().for_each(|client| client.changed.notify());
    }
}

impl Drop for Hub {
    /// One that never served goes without a word.
    fn drop(&mut self) {
        if self.state.replace(State::Closed) != State::Closed {
            socket::remove(&self.path);
        }
    }
}

impl Client {
    /// Sends from the queue until the process is over or the client has left.
    async fn deliver(&self, hub: &Hub) {
        loop {
            let next = self.changed.until(|| {
                let first = self.queue.borrow().front().cloned();
                match first {
                    _ if self.gone.get() => Some(None),
                    Some(bytes) => Some(Some(bytes)),
                    None => (hub.state.get() != State::Open).then_some(None),
                }
            });
            let Some(bytes) = next.await else { return };
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let sent = self.socket.writing(|fd| rustix::net::send(fd, rest, SendFlags::NOSIGNAL));
                let left = async {
                    self.changed.until(|| self.gone.get().then_some(())).await;
                    Err(Errno::PIPE)
                };
                let Ok(sent) = either(sent, left).await else { return };
                rest = &rest[sent..];
                self.queued.set(self.queued.get() - sent);
                hub.changed.notify();
            }
            drop(self.queue.borrow_mut().pop_front());
        }
    }

    /// Passes on what the client sends, until it has sent its last byte or is gone.
    async fn listen(&self, stdin: Option<Rc<Stdin>>) {
        let mut buffer = vec![0; 4 << 10];
        loop {
            match self.socket.reading(|fd| receive(fd, &mut buffer)).await {
                Ok(0) => break,
                Ok(read) => {
                    if let Some(stdin) = &stdin {
                        stdin.write(&buffer[..read]).await;
                    }
                }
                Err(_) => {
                    self.leave();
                    break;
                }
            }
        }
        // A client that closed one direction has said its last word; one that is gone altogether has only left, as who
        // detaches does, and the next one may go on.
        if let Some(stdin) = stdin
            && !self.gone.get()
            && !is_hung_up(&self.socket)
        {
            stdin.client_ended();
        }
        drop(buffer);
        while !self.gone.get() && !is_hung_up(&self.socket) {
            self.socket.event().await;
        }
        self.leave();
    }

    fn try_send(&self, bytes: &[u8]) -> usize {
        if !self.queue.borrow().is_empty() || self.gone.get() {
            return 0;
        }
        rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).unwrap_or(0)
    }

    fn enqueue(&self, bytes: Rc<[u8]>) {
        if !self.gone.get() {
            self.queued.set(self.queued.get() + bytes.len());
            self.queue.borrow_mut().push_back(bytes);
            self.changed.notify();
        }
    }

    fn leave(&self) {
        self.gone.set(true);
        self.queue.take();
        self.queued.set(0);
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        self.changed.notify();
    }
}

fn receive(fd: impl AsFd, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    rustix::net::recv(fd, buffer, RecvFlags::empty()).map(|(read, _)| read)
}

/// Whether the peer has closed both directions.
fn is_hung_up(fd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(&fd, PollFlags::empty())];
    let asked = poll(&mut polled, Some(&Timespec::default()));
    asked.is_err() || polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
