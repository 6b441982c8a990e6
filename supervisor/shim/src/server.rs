//! The ttrpc server of the shim: connections in, calls to the service, replies out.
//!
//! Calls run beside each other. A client that goes away ends only those of its calls that merely wait.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use dhow_proto::error::{Kind, chain};
use dhow_proto::ttrpc::{self, Decoder, Frame, FrameKind, Incoming, Request};
use prost::Message;
use rustix::net::SocketFlags;

use crate::journal;
use crate::reactor::{Changed, Reactor, Watched, either};
use crate::service;
use crate::task::{Shim, TaskError};

/// How long a connection stays after the reply to `ShutdownSandbox`. When containerd's client sees both at once, reply and
/// end, it takes up either: the end is forgiven to `Shutdown`, but makes this call a failure.
const LINGER: Duration = Duration::from_millis(100);

/// One client.
struct Connection {
    socket: Watched<OwnedFd>,
    output: RefCell<Vec<u8>>,
    closed: Cell<bool>,
    changed: Changed,
}

/// Accepts clients for as long as the loop runs.
pub(crate) async fn accept(reactor: Reactor, listener: Watched<OwnedFd>, shim: Rc<Shim>) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    loop {
        let socket = listener.reading(|fd| rustix::net::accept_with(fd, flags)).await;
        match socket.and_then(|socket| Watched::new(&reactor, socket)) {
            Ok(socket) => serve(&reactor, socket, &shim),
            Err(error) => {
                journal::warn_once("accept connection", &error);
                reactor.sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn serve(reactor: &Reactor, socket: Watched<OwnedFd>, shim: &Rc<Shim>) {
    shim.supervisor_is_there();
    let connection = Rc::new(Connection {
        socket,
        output: RefCell::default(),
        closed: Cell::new(false),
        changed: Changed::default(),
    });
    reactor.spawn(Rc::clone(&connection).write());
    let (reader, shim, handle) = (connection, Rc::clone(shim), reactor.clone());
    reactor.spawn(async move {
        if let Err(error) = reader.read(&handle, &shim).await {
            journal::warn("serve connection", &error);
        }
        reader.close();
    });
}

impl Connection {
    async fn read(self: &Rc<Self>, reactor: &Reactor, shim: &Rc<Shim>) -> Result<(), ttrpc::FrameError> {
        let mut decoder = Decoder::default();
        let mut buffer = [0; 2048];
        loop {
            while let Some(incoming) = decoder.decode()? {
                self.handle(reactor, shim, incoming);
            }
            match self.socket.reading(|fd| rustix::io::read(fd, &mut buffer)).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(read) => decoder.feed(&buffer[..read]),
            }
        }
    }

    fn handle(self: &Rc<Self>, reactor: &Reactor, shim: &Rc<Shim>, incoming: Incoming<'_>) {
        let (stream, payload) = match incoming {
            Incoming::Frame(Frame { kind: FrameKind::Request, stream, payload, .. }) => (stream, payload),
            // A stream's data or a stray response: no call of ours has them.
            Incoming::Frame(_) => return,
            Incoming::TooLong { stream, length } => {
                let message = ttrpc::FrameError::TooLong(length).to_string();
                return self.send(|output| ttrpc::failure(output, stream, Kind::ResourceExhausted, &message));
            }
        };
        match Request::decode(payload) {
            Ok(request) => {
                let (connection, shim, reactor2) = (Rc::clone(self), Rc::clone(shim), reactor.clone());
                reactor.spawn(async move { connection.answer(&reactor2, &shim, stream, request).await });
            }
            Err(error) => {
                let message = format!("decode request: {error}");
                self.send(|output| ttrpc::failure(output, stream, Kind::InvalidArgument, &message));
            }
        }
    }

    async fn answer(&self, reactor: &Reactor, shim: &Rc<Shim>, stream: u32, request: Request) {
        let call = service::call(shim, &request);
        let result = if service::only_waits(&request) {
            either(call, self.given_up(reactor, request.timeout_nano)).await
        } else {
            call.await
        };
        self.send(|output| match result {
            Ok(payload) => ttrpc::reply(output, stream, payload),
            Err(error) => ttrpc::failure(output, stream, error.kind(), &chain(&error)),
        });
        if shim.is_shutting_down() {
            self.changed.until(|| (self.output.borrow().is_empty() || self.closed.get()).then_some(())).await;
            if request.method == "ShutdownSandbox" {
                let left = self.changed.until(|| self.closed.get().then_some(()));
                either(left, reactor.sleep(LINGER)).await;
            }
            // Our end may take a while, and nobody needs to wait for it.
            self.close();
            shim.shut_down();
        }
    }

    /// Ends when nobody waits for the answer any more.
    async fn given_up(&self, reactor: &Reactor, timeout_nano: i64) -> Result<Vec<u8>, TaskError> {
        let closed =
            async { self.changed.until(|| self.closed.get().then_some(Err(TaskError::Canceled))).await };
        match u64::try_from(timeout_nano) {
            Ok(nanos @ 1..) => {
                either(closed, async {
                    reactor.sleep(Duration::from_nanos(nanos)).await;
                    Err(TaskError::Deadline)
                })
                .await
            }
            _ => closed.await,
        }
    }

    fn send(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        if !self.closed.get() {
            encode(&mut self.output.borrow_mut());
            self.changed.notify();
        }
    }

    async fn write(self: Rc<Self>) {
        loop {
            let ready = self.changed.until(|| {
                let waiting = !self.output.borrow().is_empty();
                if self.closed.get() { Some(false) } else { waiting.then_some(true) }
            });
            if !ready.await {
                return;
            }
            let bytes = std::mem::take(&mut *self.output.borrow_mut());
            if self.socket.write_all(&bytes).await.is_err() {
                return self.close();
            }
            self.changed.notify();
        }
    }

    fn close(&self) {
        self.closed.set(true);
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        self.changed.notify();
    }
}
