//! One process of a container: the first one, or an exec.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dhow_proto::containerd::v1::types::Status;

use super::TaskError;
use crate::io::{Hub, Io, Stdio};
use crate::reactor::Changed;
use crate::reaper::Exit;

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    Created,
    Running,
    Stopped(Exit),
    Deleted,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Stopped(_) => "stopped",
            Self::Deleted => "deleted",
        }
    }

    pub(super) fn status(self) -> Status {
        match self {
            Self::Created => Status::Created,
            Self::Running => Status::Running,
            Self::Stopped(_) | Self::Deleted => Status::Stopped,
        }
    }
}

/// A process and its stdio.
#[derive(Debug)]
pub(super) struct Process {
    /// Empty for the container's first process.
    pub(super) exec_id: String,
    pub(super) stdio: Stdio,
    /// The OCI process of an exec, as JSON.
    pub(super) spec: Vec<u8>,
    pub(super) pid: Cell<u32>,
    pub(super) io: RefCell<Option<Rc<Io>>>,
    /// Sockets made before the stdio that they belong to.
    pub(super) bound: RefCell<Vec<Rc<Hub>>>,
    /// Whether stdin was closed before it was open.
    stdin_closed: Cell<bool>,
    state: Cell<State>,
    /// Whether a command that starts or deletes it is under way.
    busy: Cell<bool>,
    pub(super) changed: Changed,
}

/// While this lives, no other command starts or deletes the process.
#[derive(Debug)]
pub(super) struct Busy(Rc<Process>);

impl Process {
    pub(super) fn new(exec_id: String, stdio: Stdio, spec: Vec<u8>) -> Self {
        Self {
            exec_id,
            stdio,
            spec,
            pid: Cell::new(0),
            io: RefCell::default(),
            bound: RefCell::default(),
            stdin_closed: Cell::new(false),
            state: Cell::new(State::Created),
            busy: Cell::new(false),
            changed: Changed::default(),
        }
    }

    pub(super) fn is_init(&self) -> bool {
        self.exec_id.is_empty()
    }

    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        match self.state.get() {
            State::Stopped(exit) => Some(exit),
            _ => None,
        }
    }

    pub(super) fn open_io(&self, io: &Rc<Io>) {
        if self.stdin_closed.get() {
            io.close_stdin();
        }
        self.io.replace(Some(Rc::clone(io)));
    }

    pub(super) fn start_stdin(&self) -> Result<(), TaskError> {
        self.io.borrow().as_ref().map_or(Ok(()), |io| io.start_stdin()).map_err(TaskError::Io)
    }

    pub(super) fn close_stdin(&self) {
        self.stdin_closed.set(true);
        if let Some(io) = &*self.io.borrow() {
            io.close_stdin();
        }
    }

    pub(super) fn enter(&self, state: State) {
        self.state.set(state);
        self.changed.notify();
    }

    /// Waits until no other command is under way, and keeps others out.
    pub(super) async fn occupy(self: &Rc<Self>) -> Busy {
        self.changed.until(|| (!self.busy.replace(true)).then_some(())).await;
        Busy(Rc::clone(self))
    }

    /// Waits until no command is under way.
    pub(super) async fn settled(&self) {
        self.changed.until(|| (!self.busy.get()).then_some(())).await;
    }

    /// Waits for the end; `None` when the process is deleted without ever having ended.
    pub(super) async fn ended(&self) -> Option<Exit> {
        self.changed
            .until(|| match self.state.get() {
                State::Stopped(exit) => Some(Some(exit)),
                State::Deleted => Some(None),
                State::Created | State::Running => None,
            })
            .await
    }

    /// The error of doing what this state does not allow.
    pub(super) fn refuse(&self, verb: &str) -> TaskError {
        TaskError::State(format!("cannot {verb} a {} process", self.state.get().name()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(false);
        self.0.changed.notify();
    }
}
