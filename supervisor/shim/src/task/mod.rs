//! The containers of this shim: one method of the Task service a file, and the Sandbox service, on one state.
//!
//! Owns: what exists ([`Shim`], [`Container`], [`Process`]), the order of what happens to it, and the promises about
//! events: create before start before exit, OOM before exit, the exits of execs before the exit of the container.
//! A method that waits keeps no borrow, and looks again at what it needs afterwards.

mod checkpoint;
mod conclude;
mod container;
mod create;
mod delete;
mod error;
mod exec;
mod kill;
mod pause;
mod pids;
mod process;
mod query;
mod sandbox;
mod start;
mod update;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use container::Container;
use dhow_proto::containerd::task::v3::ShutdownRequest;
pub(crate) use error::TaskError;
use process::Process;
use sandbox::Sandbox;

use crate::publisher::Publisher;
use crate::reactor::{Changed, Reactor};
use crate::reaper::Reaper;

/// The state of the shim.
#[derive(Debug)]
pub(crate) struct Shim {
    reactor: Reactor,
    reaper: Rc<Reaper>,
    publisher: Rc<Publisher>,
    namespace: String,
    /// Where sockets with short paths can be made.
    sockets: PathBuf,
    containers: RefCell<BTreeMap<String, Rc<Container>>>,
    /// Ids whose container is being created or deleted.
    reserved: RefCell<BTreeSet<String>>,
    /// The pod that the containers form, if a client made one.
    sandbox: RefCell<Option<Rc<Sandbox>>>,
    shutdown: Cell<Shutdown>,
    changed: Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    No,
    Requested,
    Now,
}

impl Shim {
    pub(crate) fn new(
        reactor: &Reactor,
        reaper: &Rc<Reaper>,
        publisher: &Rc<Publisher>,
        namespace: &str,
        sockets: PathBuf,
    ) -> Self {
        Self {
            reactor: reactor.clone(),
            reaper: Rc::clone(reaper),
            publisher: Rc::clone(publisher),
            namespace: namespace.to_owned(),
            sockets,
            containers: RefCell::default(),
            reserved: RefCell::default(),
            sandbox: RefCell::default(),
            shutdown: Cell::new(Shutdown::No),
            changed: Changed::default(),
        }
    }

    /// Somebody has connected: the supervisor is back, if it was away.
    pub(crate) fn supervisor_is_there(&self) {
        self.publisher.wake();
    }

    /// Ends the shim after the reply, unless it still has containers or a sandbox that wait for others.
    pub(crate) fn request_shutdown(&self, request: &ShutdownRequest) {
        let idle = self.containers.borrow().is_empty() && self.reserved.borrow().is_empty();
        if request.now || (idle && self.sandbox.borrow().is_none()) {
            self.shutdown.set(Shutdown::Requested);
        }
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutdown.get() != Shutdown::No
    }

    /// The reply is out.
    pub(crate) fn shut_down(&self) {
        self.shutdown.set(Shutdown::Now);
        self.changed.notify();
    }

    /// Waits for the request to end.
    pub(crate) async fn until_shutdown(&self) {
        self.changed.until(|| (self.shutdown.get() == Shutdown::Now).then_some(())).await;
    }

    /// Waits for the last events to be delivered, but not for long.
    pub(crate) async fn deliver_the_rest(&self) {
        self.publisher.flush(&self.reactor, Duration::from_secs(3)).await;
    }

    fn container(&self, id: &str) -> Result<Rc<Container>, TaskError> {
        self.containers.borrow().get(id).cloned().ok_or(TaskError::NoContainer)
    }

    fn process(&self, id: &str, exec_id: &str) -> Result<(Rc<Container>, Rc<Process>), TaskError> {
        let container = self.container(id)?;
        let process = container.process(exec_id)?;
        Ok((container, process))
    }
}
