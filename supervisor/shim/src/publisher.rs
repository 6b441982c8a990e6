//! Events to the supervisor, in order, each until the supervisor has taken it.
//!
//! Owns: the queue and the ttrpc connection to the supervisor's events service. The supervisor may be away for any
//! time; its return shows by a connection that it opens to us, or by the next try.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use dhow_proto::any;
use dhow_proto::containerd::services::events::ttrpc::v1::ForwardRequest;
use dhow_proto::containerd::types::Envelope;
use dhow_proto::ttrpc::{self, Decoder, Frame, FrameKind, Incoming};
use prost::{Message, Name};

use crate::clock;
use crate::journal;
use crate::reactor::{Changed, Reactor, Watched, either};
use crate::socket;

const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";
/// How long the supervisor may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);
/// How many events may wait. Only a flood of OOM events could come near.
const QUEUE_LIMIT: usize = 4096;

/// Publishes what happens to the containers of this shim.
#[derive(Debug)]
pub(crate) struct Publisher {
    namespace: String,
    address: Option<PathBuf>,
    queue: RefCell<VecDeque<Envelope>>,
    changed: Changed,
    connection: RefCell<Option<Rc<Connection>>>,
    woken: Cell<bool>,
}

#[derive(Debug)]
struct Connection {
    socket: Watched<OwnedFd>,
    decoder: RefCell<Decoder>,
    last_stream: Cell<u32>,
}

/// Why an event was not taken this time.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error(transparent)]
    Socket(#[from] socket::SocketError),
    #[error("talk to the events service")]
    Io(#[from] rustix::io::Errno),
    #[error("the events service closed the connection")]
    Closed,
    #[error("the events service did not answer in time")]
    Timeout,
    #[error("talk ttrpc to the events service")]
    Frame(#[from] ttrpc::FrameError),
}

impl Publisher {
    /// A publisher to the ttrpc server at `address`; without one, events go nowhere.
    pub(crate) fn new(namespace: &str, address: Option<PathBuf>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            address,
            queue: RefCell::default(),
            changed: Changed::default(),
            connection: RefCell::default(),
            woken: Cell::new(false),
        }
    }

    /// Queues an event that happens now.
    pub(crate) fn publish<M: Message + Name>(&self, topic: &str, event: &M) {
        if self.address.is_none() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        if queue.len() >= QUEUE_LIMIT {
            let oom = queue.iter().position(|envelope| envelope.topic == "/tasks/oom");
            drop(queue.remove(oom.unwrap_or(0)));
        }
        queue.push_back(Envelope {
            timestamp: Some(clock::now()),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: Some(any::pack(event)),
        });
        drop(queue);
        self.changed.notify();
    }

    /// The supervisor seems to be there: tries again at once.
    pub(crate) fn wake(&self) {
        self.woken.set(true);
        self.changed.notify();
    }

    /// Waits until everything is delivered, but no longer than `limit`.
    pub(crate) async fn flush(&self, reactor: &Reactor, limit: Duration) {
        let empty = self.changed.until(|| self.queue.borrow().is_empty().then_some(()));
        reactor.within(limit, empty).await;
    }

    /// Delivers for as long as the loop runs.
    pub(crate) async fn deliver(self: Rc<Self>, reactor: Reactor) {
        let mut pause = Duration::from_millis(50);
        loop {
            let envelope = self.changed.until(|| self.queue.borrow().front().cloned()).await;
            let answered = reactor.within(ANSWER, self.forward(&reactor, &envelope)).await;
            match answered.unwrap_or(Err(ForwardError::Timeout)) {
                Ok(()) => {
                    drop(self.queue.borrow_mut().pop_front());
                    self.changed.notify();
                    pause = Duration::from_millis(50);
                }
                Err(error) => {
                    journal::debug(&format!(
                        "event {} waits: {}",
                        envelope.topic,
                        dhow_proto::error::chain(&error)
                    ));
                    self.connection.take();
                    self.woken.set(false);
                    let woken = self.changed.until(|| self.woken.get().then_some(()));
                    either(reactor.sleep(pause), woken).await;
                    pause = (pause * 2).min(PAUSE);
                }
            }
        }
    }

    async fn forward(&self, reactor: &Reactor, envelope: &Envelope) -> Result<(), ForwardError> {
        let connection = self.connect(reactor)?;
        let stream = connection.last_stream.get() + 2;
        connection.last_stream.set(stream);
        let mut bytes = Vec::new();
        let request = ForwardRequest { envelope: Some(envelope.clone()) };
        ttrpc::call(&mut bytes, stream, (SERVICE, "Forward"), &self.namespace, Some(ANSWER), &request)?;
        connection.socket.write_all(&bytes).await?;
        match connection.answer(stream).await? {
            Ok(_) => {}
            // It was heard, and will not be wanted more when said again.
            Err(error) => journal::warn("publish event", &error),
        }
        Ok(())
    }

    fn connect(&self, reactor: &Reactor) -> Result<Rc<Connection>, ForwardError> {
        if let Some(connection) = &*self.connection.borrow() {
            return Ok(Rc::clone(connection));
        }
        let address = self.address.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        let socket = Watched::new(reactor, socket::connect(address)?)?;
        // Clients number their calls with odd streams.
        let connection =
            Rc::new(Connection { socket, decoder: RefCell::default(), last_stream: Cell::new(1) });
        self.connection.replace(Some(Rc::clone(&connection)));
        Ok(connection)
    }
}

impl Connection {
    async fn answer(&self, stream: u32) -> Result<Result<Vec<u8>, ttrpc::CallError>, ForwardError> {
        let mut buffer = [0; 512];
        loop {
            if let Some(result) = self.decode(stream)? {
                return Ok(result);
            }
            let read = self.socket.reading(|fd| rustix::io::read(fd, &mut buffer)).await?;
            if read == 0 {
                return Err(ForwardError::Closed);
            }
            self.decoder.borrow_mut().feed(&buffer[..read]);
        }
    }

    fn decode(&self, stream: u32) -> Result<Option<Result<Vec<u8>, ttrpc::CallError>>, ForwardError> {
        let mut decoder = self.decoder.borrow_mut();
        while let Some(incoming) = decoder.decode()? {
            if let Incoming::Frame(Frame { kind: FrameKind::Response, payload, stream: answered, .. }) =
                incoming
                && answered == stream
            {
                return Ok(Some(ttrpc::result(payload)));
            }
        }
        Ok(None)
    }
}
