//! `start`: from a record to a running process, each step taken back when a later one fails.
//!
//! ```text
//! network, files ─> spec ─> Containers.Create ─> Tasks.Create ─> connect who attached early ─> Tasks.Start
//!          mounts of the root file system ┘
//! ```

use std::sync::Arc;

use dhow_linux::file::PathError;
use dhow_proto::any;
use dhow_proto::containerd::runc::v1::Options as RuntimeOptions;
use dhow_proto::containerd::services::containers::v1::container::Runtime;
use dhow_proto::containerd::services::containers::v1::{Container as Below, CreateContainerRequest};
use dhow_proto::containerd::services::snapshots::v1::MountsRequest;
use dhow_proto::containerd::services::tasks::v1::{CreateTaskRequest, StartRequest};
use dhow_proto::containerd::types::Mount;
use dhow_proto::error::Kind;
use tokio::net::UnixStream;

use super::failure::StateError;
use super::record::{Record, RecordError};
use super::spec::device::DeviceError;
use super::spec::user::UserError;
use super::spec::{self, HostFacts, SpecError, SpecInput};
use super::state::{Container, Phase, Until};
use super::stdio::{LogOptionError, Stdio};
use super::stop::Changed;
use super::surroundings::{self, Surroundings, SurroundingsError};
use super::{exit, rootfs};
use crate::daemon::Daemon;
use crate::error::Failure;
use crate::undo::Undo;

/// The snapshotter that holds root file systems.
pub(crate) const SNAPSHOTTER: &str = "overlayfs";

/// Why a container could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("unable to find user or group")]
    User(#[from] UserError),
    #[error(transparent)]
    Log(#[from] LogOptionError),
    #[error("encode the container's spec")]
    Encode(#[from] serde_json::Error),
    #[error("prepare the container's folder")]
    Folder(#[from] PathError),
    #[error(transparent)]
    Surroundings(#[from] SurroundingsError),
    #[error("failed to {action}")]
    Supervisor { action: &'static str, source: Box<tonic::Status> },
    /// The command cannot be run: the container's own doing.
    #[error("failed to create task for container: {message}")]
    Command { code: i64, message: String },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("attach to the container's streams")]
    Attach(#[source] std::io::Error),
}

impl Failure for StartError {
    fn kind(&self) -> Kind {
        match self {
            Self::State(error) => error.kind(),
            Self::Spec(error) => error.kind(),
            Self::Device(_) | Self::User(_) | Self::Command { .. } => Kind::InvalidArgument,
            Self::Log(error) => error.kind(),
            Self::Surroundings(error) => error.kind(),
            Self::Supervisor { source, .. } if source.code() == tonic::Code::Unavailable => Kind::Unavailable,
            Self::Encode(_)
            | Self::Folder(_)
            | Self::Supervisor { .. }
            | Self::Record(_)
            | Self::Attach(_) => Kind::Internal,
        }
    }
}

impl StartError {
    /// What a shell would have answered: 126 cannot be run, 127 not found, 128 for the rest.
    fn exit_code(&self) -> i64 {
        match self {
            Self::Command { code, .. } => *code,
            _ => 128,
        }
    }
}

/// Starts a container that does not run.
pub(crate) async fn start(daemon: &Arc<Daemon>, container: &Arc<Container>) -> Result<Changed, StartError> {
    let action = container.action.lock().await;
    {
        let mut state = container.state();
        match &state.phase {
            Phase::Running { paused: true, .. } => return Err(StateError::StartPaused.into()),
            Phase::Running { .. } => return Ok(Changed::No),
            Phase::Removing => return Err(StateError::Removing("started").into()),
            Phase::Restarting { timer } => {
                timer.abort();
                state.phase = Phase::Idle;
            }
            Phase::Idle if state.record.history.dead => return Err(StateError::Removing("started").into()),
            Phase::Idle => {}
        }
        state.record.history.stopped_by_hand = false;
        state.record.history.restart_count = 0;
    }
    let launched = launch(daemon, container).await;
    drop(action);
    if launched.is_err() {
        exit::remove_automatically(daemon, container).await;
    }
    launched.map(|()| Changed::Yes)
}

/// Starts a container whose action lock the caller holds.
pub(crate) async fn launch(daemon: &Arc<Daemon>, container: &Arc<Container>) -> Result<(), StartError> {
    let mut undo = Undo::default();
    match try_launch(daemon, container, &mut undo).await {
        Ok(()) => {
            undo.disarm();
            container.tell_event(daemon, "start", &[]);
            super::health::watch(daemon, container);
            Ok(())
        }
        Err(error) => {
            undo.run().await;
            {
                let mut state = container.state();
                state.phase = Phase::Idle;
                state.record.history.exit_code = error.exit_code();
                state.record.history.error = dhow_proto::error::chain(&error);
                state.early.clear();
                let exit = state.exit();
                state.tell(Until::NextExit, &exit);
            }
            if let Err(error) = container.save().await {
                tracing::error!(container = %container.id, error = %dhow_proto::error::chain(&error), "record not kept");
            }
            Err(error)
        }
    }
}

async fn try_launch(
    daemon: &Arc<Daemon>,
    container: &Arc<Container>,
    undo: &mut Undo,
) -> Result<(), StartError> {
    let record = container.record();
    let log = record.log(&container.folder);
    let stdio = Stdio::of_container(&record, log.as_deref(), &container.socket(&daemon.options.exec_root))?;
    let (rootfs, surroundings) = tokio::join!(
        root_mounts(daemon, &record.id),
        surroundings::prepare(daemon, container, &record, undo)
    );
    let rootfs = rootfs.map_err(below("find the root file system"))?;
    let surroundings = surroundings?;
    let spec = build_spec(daemon, &record, &rootfs, surroundings).await?;
    create_container(daemon, &record, spec).await?;
    undo.push(exit::delete_container(Arc::clone(daemon), record.id.clone()));
    let pid = create_task(daemon, &record, rootfs, stdio).await?;
    undo.push(exit::delete_task(Arc::clone(daemon), record.id.clone()));
    connect_early(daemon, container).await?;
    resize_console(daemon, &record).await;
    {
        // Before the process runs: its exit must find its start.
        let mut state = container.state();
        state.phase = Phase::Running { pid, paused: false };
        state.stays_down = false;
        let history = &mut state.record.history;
        history.started_at = crate::time::now();
        history.exit_code = 0;
        history.error.clear();
        history.oom_killed = false;
    }
    let request = StartRequest { container_id: record.id.clone(), exec_id: String::new() };
    let mut tasks = daemon.supervisor.tasks();
    let (started, saved) = tokio::join!(tasks.start(request), container.save());
    if let Err(status) = started {
        container.state().record.history.started_at = record.history.started_at;
        return Err(classify("start task", status));
    }
    Ok(saved?)
}

/// The mounts that make up a container's root file system.
pub(crate) async fn root_mounts(daemon: &Daemon, key: &str) -> Result<Vec<Mount>, tonic::Status> {
    let request = MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
    Ok(daemon.supervisor.snapshots().mounts(request).await?.into_inner().mounts)
}

fn below(action: &'static str) -> impl FnOnce(tonic::Status) -> StartError {
    move |source| StartError::Supervisor { action, source: Box::new(source) }
}

async fn build_spec(
    daemon: &Arc<Daemon>,
    record: &Record,
    rootfs: &[Mount],
    surroundings: Surroundings,
) -> Result<Vec<u8>, StartError> {
    let (daemon, record, rootfs) = (Arc::clone(daemon), record.clone(), rootfs.to_vec());
    let building = tokio::task::spawn_blocking(move || {
        let users = rootfs::users(&rootfs);
        let groups = record.host.group_add.clone().unwrap_or_default();
        let identity = users.resolve(&record.config.user, &groups)?;
        let facts = HostFacts::gather(&record.host, &surroundings.mounts)?;
        let spec = spec::build(&SpecInput {
            config: &record.config,
            host: &record.host,
            rootfs: "rootfs".as_ref(),
            cgroup_path: &cgroup_path(&daemon, &record),
            identity: &identity,
            namespaces: &surroundings.namespaces,
            mounts: &surroundings.mounts,
            facts: &facts,
            machine: &daemon.machine,
        })?;
        Ok::<_, StartError>(serde_json::to_vec(&spec)?)
    });
    building.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// The cgroup of a container.
pub(crate) fn cgroup_path(daemon: &Daemon, record: &Record) -> String {
    let parent = &record.host.resources.cgroup_parent;
    let parent = if parent.is_empty() { &daemon.options.cgroup_parent } else { parent };
    format!("/{}/{}", parent.trim_matches('/'), record.id)
}

async fn create_container(daemon: &Daemon, record: &Record, spec: Vec<u8>) -> Result<(), StartError> {
    let options = RuntimeOptions {
        binary_name: daemon.runtime.binary.display().to_string(),
        root: daemon.runtime.root.display().to_string(),
        ..RuntimeOptions::default()
    };
    let container = Below {
        id: record.id.clone(),
        image: record.config.image.clone(),
        runtime: Some(Runtime { name: shim_name(&record.host.runtime), options: Some(any::pack(&options)) }),
        spec: Some(any::pack_json(any::SPEC_URL, spec)),
        snapshotter: SNAPSHOTTER.to_owned(),
        snapshot_key: record.id.clone(),
        ..Below::default()
    };
    let mut containers = daemon.supervisor.containers();
    let request = CreateContainerRequest { container: Some(container) };
    let created = containers.create(request.clone()).await;
    match created {
        Ok(_) => Ok(()),
        // Left over by a daemon that was killed at its work. Nothing of ours runs: the caller holds the action.
        Err(status) if status.code() == tonic::Code::AlreadyExists => {
            exit::clear(daemon, &record.id).await;
            containers.create(request).await.map(drop).map_err(below("create container"))
        }
        Err(status) => Err(below("create container")(status)),
    }
}

/// The shim of a runtime name: ours, unless the name is that of another shim.
pub(crate) fn shim_name(runtime: &str) -> String {
    if runtime.starts_with("io.containerd.") {
        runtime.to_owned()
    } else {
        "io.containerd.dhow.v2".to_owned()
    }
}

async fn create_task(
    daemon: &Daemon,
    record: &Record,
    rootfs: Vec<Mount>,
    stdio: Stdio,
) -> Result<u32, StartError> {
    let options = RuntimeOptions {
        binary_name: daemon.runtime.binary.display().to_string(),
        root: daemon.runtime.root.display().to_string(),
        ..RuntimeOptions::default()
    };
    let request = CreateTaskRequest {
        container_id: record.id.clone(),
        rootfs,
        stdin: stdio.stdin,
        stdout: stdio.stdout,
        stderr: stdio.stderr,
        terminal: record.config.tty,
        options: Some(any::pack(&options)),
        ..CreateTaskRequest::default()
    };
    let answer =
        daemon.supervisor.tasks().create(request).await.map_err(|status| classify("create task", status))?;
    Ok(answer.into_inner().pid)
}

/// Gives everybody who attached before the start a connection, before the process can say anything.
async fn connect_early(daemon: &Daemon, container: &Container) -> Result<(), StartError> {
    let early = std::mem::take(&mut container.state().early);
    for client in early.into_iter().filter(|client| !client.is_closed()) {
        let socket = container.socket(&daemon.options.exec_root);
        let stream = UnixStream::connect(&socket).await.map_err(StartError::Attach)?;
        drop(client.send(stream));
    }
    Ok(())
}

/// Gives the terminal the size that the client told at creation.
async fn resize_console(daemon: &Daemon, record: &Record) {
    let [height, width] = record.host.console_size;
    if record.config.tty
        && (height, width) != (0, 0)
        && let Err(status) = super::resize::resize_task(daemon, &record.id, "", height, width).await
    {
        tracing::debug!(container = %record.id, %status, "terminal keeps its size");
    }
}

/// Tells failures of the command from failures of the machinery: by their text, the only thing that every runtime has.
fn classify(action: &'static str, status: tonic::Status) -> StartError {
    match command_code(status.message()) {
        Some(code) => StartError::Command { code, message: status.message().to_owned() },
        None => below(action)(status),
    }
}

/// The exit code of a shell that could not run a command; `None` when the failure is not the command's.
pub(crate) fn command_code(message: &str) -> Option<i64> {
    let lower = message.to_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    if has(&["permission denied", "is a directory"]) {
        return Some(126);
    }
    has(&["executable file not found", "no such file or directory", "not a directory"]).then_some(127)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_run_is_told_by_its_text() {
        assert_eq!(command_code("exec: \"nosuch\": executable file not found in $PATH"), Some(127));
        assert_eq!(command_code("exec /etc: Permission denied (os error 13)"), Some(126));
        assert_eq!(command_code("exec /etc: Is a directory"), Some(126));
        assert_eq!(command_code("cgroup: device or resource busy"), None);
    }

    #[test]
    fn only_names_of_shims_choose_a_shim() {
        assert_eq!(shim_name(""), "io.containerd.dhow.v2");
        assert_eq!(shim_name("runc"), "io.containerd.dhow.v2");
        assert_eq!(shim_name("io.containerd.runc.v2"), "io.containerd.runc.v2");
    }
}
