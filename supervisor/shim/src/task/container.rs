//! A container: its first process, its execs, and what they share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use dhow_linux::file::read_limited;
use dhow_proto::containerd::v1::types::Status;
use serde::Deserialize;

use super::TaskError;
use super::process::{Process, State};
use crate::cgroup::Cgroup;
use crate::io::Owner;
use crate::oci_runtime::OciRuntime;

/// The largest `config.json` that is read.
const SPEC_LIMIT: u64 = 16 << 20;

/// Whether the container's processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freezer {
    Thawed,
    Freezing,
    Frozen,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) owner: Owner,
    pub(super) runtime: OciRuntime,
    pub(super) init: Rc<Process>,
    execs: RefCell<BTreeMap<String, Rc<Process>>>,
    pub(super) freezer: Cell<Freezer>,
    /// Set as soon as the first process is known to be dead: no exec starts any more.
    pub(super) init_is_dead: Cell<bool>,
    deleting: Cell<bool>,
    pub(super) cgroup: Option<Rc<Cgroup>>,
    /// What a first process is restored from instead of being created.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) restore_flags: Vec<&'static str>,
}

/// While this lives, nobody else deletes the container.
#[derive(Debug)]
pub(super) struct Deleting<'a>(&'a Container);

/// A checkpoint to restore.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) image: String,
    pub(super) parent: String,
    pub(super) work: PathBuf,
}

/// What of a spec the shim must know.
#[derive(Debug, Deserialize)]
struct Spec {
    linux: Option<Linux>,
}

#[derive(Debug, Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Vec<Namespace>,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    r#type: String,
    #[serde(default)]
    path: String,
}

impl Container {
    pub(super) fn new(
        (id, bundle, owner): (String, PathBuf, Owner),
        runtime: OciRuntime,
        init: Rc<Process>,
        cgroup: Option<Rc<Cgroup>>,
        checkpoint: Option<Checkpoint>,
        restore_flags: Vec<&'static str>,
    ) -> Self {
        Self {
            id,
            bundle,
            owner,
            runtime,
            init,
            execs: RefCell::default(),
            freezer: Cell::new(Freezer::Thawed),
            init_is_dead: Cell::new(false),
            deleting: Cell::new(false),
            cgroup,
            checkpoint,
            restore_flags,
        }
    }

    pub(super) fn process(&self, exec_id: &str) -> Result<Rc<Process>, TaskError> {
        if exec_id.is_empty() {
            return Ok(Rc::clone(&self.init));
        }
        self.execs.borrow().get(exec_id).cloned().ok_or_else(|| TaskError::NoProcess(exec_id.to_owned()))
    }

    pub(super) fn execs(&self) -> Vec<Rc<Process>> {
        self.execs.borrow().values().cloned().collect()
    }

    pub(super) fn add_exec(&self, exec: Process) -> Result<(), TaskError> {
        let mut execs = self.execs.borrow_mut();
        if execs.contains_key(&exec.exec_id) {
            return Err(TaskError::Exists(format!("id {}", exec.exec_id)));
        }
        execs.insert(exec.exec_id.clone(), Rc::new(exec));
        Ok(())
    }

    pub(super) fn remove_exec(&self, exec_id: &str) {
        self.execs.borrow_mut().remove(exec_id);
    }

    /// Whether somebody is deleting it.
    pub(super) fn is_being_deleted(&self) -> bool {
        self.deleting.get()
    }

    /// Waits until nobody else deletes the container.
    pub(super) async fn keep_others_from_deleting(&self) -> Deleting<'_> {
        self.init.changed.until(|| (!self.deleting.replace(true)).then_some(())).await;
        Deleting(self)
    }

    /// The status of one of its processes: a frozen container freezes them all.
    pub(super) fn status(&self, process: &Process) -> Status {
        match (process.state(), self.freezer.get()) {
            (State::Created | State::Running, Freezer::Frozen) => Status::Paused,
            (State::Created | State::Running, Freezer::Freezing) => Status::Pausing,
            (state, _) => state.status(),
        }
    }

    /// Whether processes can outlive the first one, because it is not the init of a pid namespace.
    pub(super) fn shares_pids(&self) -> bool {
        let spec = read_limited(&self.bundle.join("config.json"), SPEC_LIMIT).ok();
        let spec: Option<Spec> = spec.and_then(|json| serde_json::from_slice(&json).ok());
        let namespaces = spec.and_then(|spec| spec.linux).map(|linux| linux.namespaces).unwrap_or_default();
        !namespaces.iter().any(|namespace| namespace.r#type == "pid" && namespace.path.is_empty())
    }
}

impl Drop for Deleting<'_> {
    fn drop(&mut self) {
        self.0.deleting.set(false);
        self.0.init.changed.notify();
    }
}
