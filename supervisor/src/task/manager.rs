//! The tasks that there are.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bundle::Bundle;
use super::error::TaskError;
use super::launch::Launcher;
use super::shim::Task;
use crate::event::Exchange;
use crate::namespace::Namespace;
use crate::slot::{Departure, Key, Slots};

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
    slots: Slots<Task>,
    /// Exits that subscribers were told of, by the ids and pids of processes, until their task is gone.
    told: Mutex<HashMap<Key, BTreeSet<(String, u32)>>>,
}

impl Manager {
    /// A manager of the bundles below `state`, with shims that `launcher` starts.
    pub(crate) fn new(state: &Path, launcher: Launcher, events: Exchange) -> Self {
        Self(Arc::new(Inner {
            folder: state.join(PLUGIN),
            launcher,
            events,
            slots: Slots::default(),
            told: Mutex::default(),
        }))
    }

    /// Where shims send their events.
    pub(crate) fn ttrpc_address(&self) -> &Path {
        &self.0.launcher.ttrpc_address
    }

    /// The task `id`.
    pub(crate) fn get(&self, namespace: &Namespace, id: &str) -> Result<Arc<Task>, TaskError> {
        self.0.slots.get(namespace, id).ok_or_else(|| TaskError::NotFound(id.to_owned()))
    }

    /// The tasks of a namespace, by id.
    pub(crate) fn tasks(&self, namespace: &Namespace) -> Vec<Arc<Task>> {
        let mut tasks = self.0.slots.all();
        tasks.retain(|task| task.namespace == *namespace);
        tasks.sort_by(|one, other| one.id.cmp(&other.id));
        tasks
    }

    /// Whether the shim of `task` serves another task as well.
    pub(super) fn is_shared(&self, task: &Task) -> bool {
        let all = self.0.slots.all();
        all.iter().any(|other| other.address == task.address && other.id != task.id)
    }

    /// How many tasks there are.
    pub(super) fn count(&self) -> usize {
        self.0.slots.all().len()
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

    /// The ids in use.
    pub(super) fn slots(&self) -> &Slots<Task> {
        &self.0.slots
    }

    pub(super) fn leave(&self, key: &Key) -> Departure {
        self.0.slots.leave(key)
    }

    /// Frees an id under which nothing is left.
    pub(super) fn free(&self, key: &Key) {
        self.told().remove(key);
        self.0.slots.free(key);
    }

    /// Notes that an exit is about to be told; whether it is for the first time.
    pub(super) fn tell(&self, key: &Key, id: &str, pid: u32) -> bool {
        let known = self.0.slots.contains(key);
        !known || self.told().entry(key.clone()).or_default().insert((id.to_owned(), pid))
    }

    fn told(&self) -> MutexGuard<'_, HashMap<Key, BTreeSet<(String, u32)>>> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
