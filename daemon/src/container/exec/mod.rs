//! Execs: further processes in a running container.
//!
//! They live in memory only: what is known of an exec ends with the daemon, as clients expect. Its process goes on in
//! its shim, and its exit is cleared away when it is reported.

mod start;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhow_engine_api::exec::{ExecCreateRequest, ExecInspect, ExecProcessConfig};
use dhow_proto::containerd::services::tasks::v1::DeleteProcessRequest;
use dhow_proto::error::Kind;
use tokio::sync::watch;

use super::detach::{self, DetachKeysError};
use super::failure::StateError;
use super::state::{Container, Phase};
use crate::daemon::Daemon;
use crate::error::Failure;
use crate::identifier;

pub(crate) use start::{attached, begin, detached};

/// How many execs are remembered before those that ended are forgotten.
const REMEMBERED: usize = 1024;

/// Why there is no exec.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error("No such exec instance: {0}")]
    Missing(String),
    #[error("No exec command specified")]
    NoCommand,
    #[error(transparent)]
    Keys(#[from] DetachKeysError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("get random bytes")]
    Random(#[from] getrandom::Error),
    #[error("exec {0} is not running")]
    NotRunning(String),
    #[error("resize the terminal of exec {0}")]
    Resize(String, #[source] Box<tonic::Status>),
}

impl Failure for ExecError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::NoCommand => Kind::InvalidArgument,
            Self::Keys(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::NotRunning(_) => Kind::FailedPrecondition,
            Self::Random(_) => Kind::Internal,
            Self::Resize(_, status) => status.code().into(),
        }
    }
}

/// How far an exec is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Created,
    Starting,
    Running { pid: u32 },
    Ended { pid: u32, code: i64 },
}

/// One exec.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: String,
    pub(crate) container: Arc<Container>,
    pub(crate) request: ExecCreateRequest,
    pub(crate) keys: Vec<u8>,
    pub(crate) progress: watch::Sender<Progress>,
}

impl Exec {
    /// The socket of its process.
    fn socket(&self, exec_root: &Path) -> PathBuf {
        exec_root.join("attach").join(format!("{}.sock", identifier::short(&self.id)))
    }

    fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// What clients are told.
    pub(crate) fn inspect(&self) -> ExecInspect {
        let (running, exit_code, pid) = match self.progress() {
            Progress::Created | Progress::Starting => (false, None, 0),
            Progress::Running { pid } => (true, None, pid),
            Progress::Ended { pid, code } => (false, Some(code), pid),
        };
        let request = &self.request;
        let mut words = request.cmd.clone().unwrap_or_default().into_iter();
        ExecInspect {
            id: self.id.clone(),
            running,
            exit_code,
            process_config: ExecProcessConfig {
                tty: request.tty,
                entrypoint: words.next().unwrap_or_default(),
                arguments: words.collect(),
                privileged: Some(request.privileged),
                user: request.user.clone(),
            },
            open_stdin: request.attach_stdin,
            open_stderr: request.attach_stderr,
            open_stdout: request.attach_stdout,
            can_remove: false,
            container_id: self.container.id.clone(),
            detach_keys: String::new(),
            pid,
        }
    }
}

/// All execs.
#[derive(Debug, Default)]
pub(crate) struct Execs(Mutex<HashMap<String, Arc<Exec>>>);

impl Execs {
    /// The exec with an ID.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Exec>, ExecError> {
        self.all().get(id).cloned().ok_or_else(|| ExecError::Missing(id.to_owned()))
    }

    /// Adds one; when there are very many, those that ended are forgotten.
    fn insert(&self, exec: Exec) {
        let mut all = self.all();
        if all.len() >= REMEMBERED {
            all.retain(|_, exec| !matches!(exec.progress(), Progress::Ended { .. }));
        }
        all.insert(exec.id.clone(), Arc::new(exec));
    }

    /// IDs of the execs of a container that have not ended.
    pub(crate) fn of(&self, container: &str) -> Vec<String> {
        let alive = |exec: &&Arc<Exec>| {
            exec.container.id == container
                && matches!(exec.progress(), Progress::Starting | Progress::Running { .. })
        };
        self.all().values().filter(alive).map(|exec| exec.id.clone()).collect()
    }

    /// Forgets the execs of a container that ended: nobody can start them any more.
    pub(crate) fn forget(&self, container: &str) {
        self.all().retain(|_, exec| {
            exec.container.id != container
                || matches!(exec.progress(), Progress::Ended { .. } | Progress::Running { .. })
        });
    }

    /// Forgets every exec of a container that is removed.
    pub(crate) fn forget_all(&self, container: &str) {
        self.all().retain(|_, exec| exec.container.id != container);
    }

    /// Notes the end of an exec and clears it away.
    pub(crate) async fn ended(&self, daemon: &Daemon, id: &str, code: i64) {
        let Ok(exec) = self.find(id) else { return };
        // Its start may not have been answered yet.
        let mut progress = exec.progress.subscribe();
        let running =
            progress.wait_for(|progress| !matches!(progress, Progress::Created | Progress::Starting));
        let pid = match running.await.as_deref() {
            Ok(Progress::Running { pid }) => *pid,
            _ => return,
        };
        let (container_id, exec_id) = (exec.container.id.clone(), id.to_owned());
        exec.progress.send_replace(Progress::Ended { pid, code });
        exec.container.tell_event(daemon, "exec_die", &[("execID", id), ("exitCode", &code.to_string())]);
        let request = DeleteProcessRequest { container_id, exec_id };
        if let Err(status) = daemon.supervisor.tasks().delete_process(request).await {
            tracing::debug!(exec = id, %status, "not cleared away");
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prepares an exec; nothing runs yet.
pub(crate) fn create(
    daemon: &Daemon,
    container: &Arc<Container>,
    request: ExecCreateRequest,
) -> Result<String, ExecError> {
    match container.state().phase {
        Phase::Running { paused: false, .. } => {}
        Phase::Running { paused: true, .. } => {
            return Err(StateError::Paused(container.id.clone(), "exec").into());
        }
        Phase::Restarting { .. } => return Err(StateError::Restarting(container.id.clone()).into()),
        Phase::Idle | Phase::Removing => return Err(StateError::NotRunning(container.id.clone()).into()),
    }
    if request.cmd.iter().flatten().next().is_none() {
        return Err(ExecError::NoCommand);
    }
    let keys = detach::parse(&request.detach_keys)?;
    let id = identifier::random()?;
    let line = request.cmd.as_deref().unwrap_or_default().join(" ");
    let progress = watch::Sender::new(Progress::Created);
    let exec = Exec { id: id.clone(), container: Arc::clone(container), request, keys, progress };
    daemon.execs.insert(exec);
    container.tell_event(daemon, &format!("exec_create: {line}"), &[("execID", &id)]);
    Ok(id)
}

/// Resizes the terminal of an exec.
pub(crate) async fn resize(daemon: &Daemon, exec: &Exec, height: u32, width: u32) -> Result<(), ExecError> {
    if !matches!(exec.progress(), Progress::Running { .. }) {
        return Err(ExecError::NotRunning(exec.id.clone()));
    }
    super::resize::resize_task(daemon, &exec.container.id, &exec.id, height, width)
        .await
        .map_err(|status| ExecError::Resize(exec.id.clone(), Box::new(status)))
}
