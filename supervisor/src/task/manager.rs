//! The tasks that there are.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::bundle::Bundle;
use super::error::TaskError;
use super::launch::Launcher;
use super::shim::Task;
use crate::event::Exchange;
use crate::namespace::Namespace;

/// The folder of bundles in the state folder, by containerd's name for what keeps them.
const PLUGIN: &str = "io.containerd.runtime.v2.task";

/// Creates and finds tasks; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Manager(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    launcher: Launcher,
    events: Exchange,
    slots: Mutex<HashMap<Key, Slot>>,
    /// Exits that subscribers were told of, by the ids and pids of processes, until their task is gone.
    told: Mutex<HashMap<Key, BTreeSet<(String, u32)>>>,
    changed: Notify,
}

/// Whose task it is, and its id.
pub(super) type Key = (Namespace, String);

/// What is known of an id.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// It is being created for a client that waits.
    Creating,
    /// What was there is being taken away; then the id is free again.
    Leaving,
    Ready(Arc<Task>),
}

impl Manager {
    /// A manager of the bundles below `state`, with shims that `launcher` starts.
    pub(crate) fn new(state: &Path, launcher: Launcher, events: Exchange) -> Self {
        Self(Arc::new(Inner {
            folder: state.join(PLUGIN),
            launcher,
            events,
            slots: Mutex::default(),
            told: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Where shims send their events.
    pub(crate) fn ttrpc_address(&self) -> &Path {
        &self.0.launcher.ttrpc_address
    }

    /// The task `id`.
    pub(crate) fn get(&self, namespace: &Namespace, id: &str) -> Result<Arc<Task>, TaskError> {
        match self.slots().get(&(namespace.clone(), id.to_owned())) {
            Some(Slot::Ready(task)) => Ok(Arc::clone(task)),
            Some(Slot::Creating | Slot::Leaving) | None => Err(TaskError::NotFound(id.to_owned())),
        }
    }

    /// The tasks of a namespace, by id.
    pub(crate) fn tasks(&self, namespace: &Namespace) -> Vec<Arc<Task>> {
        let mut tasks: Vec<_> = self
            .slots()
            .iter()
            .filter(|((owner, _), _)| owner == namespace)
            .filter_map(|(_, slot)| match slot {
                Slot::Ready(task) => Some(Arc::clone(task)),
                Slot::Creating | Slot::Leaving => None,
            })
            .collect();
        tasks.sort_by(|one, other| one.id.cmp(&other.id));
        tasks
    }

    /// Whether the shim of `task` serves another task as well.
    pub(super) fn is_shared(&self, task: &Task) -> bool {
        self.slots().values().any(|slot| match slot {
            Slot::Ready(other) => other.address == task.address && other.id != task.id,
            Slot::Creating | Slot::Leaving => false,
        })
    }

    /// How many tasks there are.
    pub(super) fn count(&self) -> usize {
        self.slots().values().filter(|slot| matches!(slot, Slot::Ready(_))).count()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Starts shims.
    pub(crate) fn launcher(&self) -> &Launcher {
        &self.0.launcher
    }

    pub(super) fn events(&self) -> &Exchange {
        &self.0.events
    }

    pub(super) fn bundle(&self, (namespace, id): &Key) -> Bundle {
        Bundle::at(self.0.folder.join(namespace.as_str()).join(id))
    }

    /// Takes a free id for a task to be created, waiting for what is on its way out.
    pub(super) async fn reserve(&self, key: &Key) -> Result<(), TaskError> {
        loop {
            let changed = self.0.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            {
                let mut slots = self.slots();
                match slots.get(key) {
                    None => {
                        slots.insert(key.clone(), Slot::Creating);
                        return Ok(());
                    }
                    Some(Slot::Leaving) => {}
                    Some(Slot::Creating | Slot::Ready(_)) => {
                        return Err(TaskError::AlreadyExists(key.1.clone()));
                    }
                }
            }
            changed.await;
        }
    }

    pub(super) fn set(&self, key: &Key, slot: Slot) {
        self.slots().insert(key.clone(), slot);
        self.0.changed.notify_waiters();
    }

    pub(super) fn free(&self, key: &Key) {
        self.slots().remove(key);
        self.told().remove(key);
        self.0.changed.notify_waiters();
    }

    /// Notes that an exit is about to be told; whether it is for the first time.
    pub(super) fn tell(&self, key: &Key, id: &str, pid: u32) -> bool {
        let known = self.slots().contains_key(key);
        !known || self.told().entry(key.clone()).or_default().insert((id.to_owned(), pid))
    }

    fn told(&self) -> MutexGuard<'_, HashMap<Key, BTreeSet<(String, u32)>>> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
