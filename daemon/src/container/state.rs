//! A container in memory: its record, what it does now, and who waits for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dhow_engine_api::container::Health;
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::record::{Record, RecordError};
use crate::daemon::Daemon;

/// What a container does now.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing: created, exited or dead, as its history says.
    Idle,
    /// Has a process.
    Running { pid: u32, paused: bool },
    /// Waits for its restart policy to start it again; the handle calls that off.
    Restarting { timer: AbortHandle },
    /// Is being removed.
    Removing,
}

impl Phase {
    /// Its process, when it has one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid, .. } => Some(*pid),
            Self::Idle | Self::Restarting { .. } | Self::Removing => None,
        }
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i64,
    /// Why it could not be started, or removed.
    pub(crate) error: String,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    NextExit,
    Removed,
}

/// What can change about a container.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) record: Record,
    pub(crate) phase: Phase,
    pub(crate) health: Option<Health>,
    /// Its next end is not followed by a restart.
    pub(crate) stays_down: bool,
    /// It is being restarted by a person: its end is not followed by its removal.
    pub(crate) restarted_by_hand: bool,
    /// The last pause before a restart.
    pub(crate) pause: Option<Duration>,
    /// Clients that attached before the start; each gets a connection to the shim before the process runs.
    pub(crate) early: Vec<oneshot::Sender<UnixStream>>,
    /// The process of its health checks.
    pub(crate) checks: Option<AbortHandle>,
    waiters: Vec<(Until, oneshot::Sender<Exit>)>,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    /// Held by whatever changes the phase, from its first look to its last word.
    pub(crate) action: tokio::sync::Mutex<()>,
    /// How many clients read its output.
    pub(crate) readers: watch::Sender<usize>,
    state: Mutex<State>,
}

impl Container {
    /// A container that does nothing.
    pub(crate) fn new(record: Record, folder: PathBuf) -> Self {
        let state = State {
            phase: Phase::Idle,
            health: None,
            stays_down: false,
            restarted_by_hand: false,
            pause: None,
            early: Vec::new(),
            checks: None,
            waiters: Vec::new(),
            record,
        };
        Self {
            id: state.record.id.clone(),
            folder,
            action: tokio::sync::Mutex::default(),
            readers: watch::Sender::new(0),
            state: Mutex::new(state),
        }
    }

    /// Its state; not to be held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of its record.
    pub(crate) fn record(&self) -> Record {
        self.state().record.clone()
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.state().record.name.clone()
    }

    /// Writes the record as it is now, off the threads that serve requests.
    pub(crate) async fn save(self: &Arc<Self>) -> Result<(), RecordError> {
        let container = Arc::clone(self);
        let saved = tokio::task::spawn_blocking(move || {
            // Under the lock: the newest record is the one that stays.
            let state = container.state();
            state.record.save(&container.folder)
        });
        saved.await.unwrap_or(Ok(()))
    }

    /// Notes that its processes are frozen, or go on.
    pub(crate) fn set_paused(&self, now: bool) {
        if let Phase::Running { paused, .. } = &mut self.state().phase {
            *paused = now;
        }
    }

    /// Tells that something happened to it: its labels, its image and its name go along.
    pub(crate) fn tell_event(&self, daemon: &Daemon, action: &str, more: &[(&str, &str)]) {
        let attributes = {
            let state = self.state();
            let config = &state.record.config;
            let mut attributes = config.labels.clone().unwrap_or_default();
            attributes.insert("image".to_owned(), config.image.clone());
            attributes.insert("name".to_owned(), state.record.name.clone());
            attributes
        };
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        daemon.events.publish("container", action, &self.id, attributes.into_iter().chain(more).collect());
    }

    /// The socket of its first process.
    pub(crate) fn socket(&self, exec_root: &Path) -> PathBuf {
        exec_root.join("attach").join(format!("{}.sock", crate::identifier::short(&self.id)))
    }

    /// Counts a reader of its output until the returned value is dropped.
    pub(crate) fn reader(self: &Arc<Self>) -> Reader {
        self.readers.send_modify(|count| *count += 1);
        Reader(Arc::clone(self))
    }
}

/// A client that reads a container's output.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Container>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.send_modify(|count| *count -= 1);
    }
}

impl State {
    /// Whether it has a process, or will have one again: what the API calls running.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Restarting { .. })
    }

    /// Its state in the API's words.
    pub(crate) fn status(&self) -> &'static str {
        match self.phase {
            Phase::Running { paused: true, .. } => "paused",
            Phase::Running { paused: false, .. } => "running",
            Phase::Restarting { .. } => "restarting",
            Phase::Removing => "removing",
            Phase::Idle if self.record.history.dead => "dead",
            Phase::Idle if self.record.history.was_started() => "exited",
            Phase::Idle => "created",
        }
    }

    /// How it ended last.
    pub(crate) fn exit(&self) -> Exit {
        Exit { code: self.record.history.exit_code, error: self.record.history.error.clone() }
    }

    /// Waits for something that has not happened yet.
    pub(crate) fn wait(&mut self, until: Until) -> oneshot::Receiver<Exit> {
        self.waiters.retain(|(_, waiter)| !waiter.is_closed());
        let (sender, receiver) = oneshot::channel();
        self.waiters.push((until, sender));
        receiver
    }

    /// Tells those who wait for `happened`. A removed container will not end any more either.
    pub(crate) fn tell(&mut self, happened: Until, exit: &Exit) {
        for (until, waiter) in std::mem::take(&mut self.waiters) {
            if until == happened || happened == Until::Removed {
                drop(waiter.send(exit.clone()));
            } else {
                self.waiters.push((until, waiter));
            }
        }
    }
}
