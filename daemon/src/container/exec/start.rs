//! Starting an exec: its process, and the client that is joined to it before it runs.

use std::sync::Arc;
use std::time::Duration;

use dhow_proto::any;
use dhow_proto::containerd::services::tasks::v1::{DeleteProcessRequest, ExecProcessRequest, StartRequest};
use dhow_proto::error::Kind;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::attach::{self, Ended, Process, Streams};
use super::super::detach::Scanner;
use super::super::failure::StateError;
use super::super::spec::{self, SpecError};
use super::super::state::Phase;
use super::super::stdio::Stdio;
use super::super::{frame, resize, rootfs, start};
use super::{Exec, Progress};
use crate::daemon::Daemon;
use crate::error::Failure;

/// How long the report of an exit may be behind the end of the output.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);

/// The exit code of a process that could not be run.
const CANNOT_RUN: i64 = 126;

/// Why an exec could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartExecError {
    #[error("exec {0} has already run")]
    Ran(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("unable to find user or group")]
    User(#[from] spec::user::UserError),
    #[error("encode the process")]
    Encode(#[from] serde_json::Error),
    #[error("failed to {0}")]
    Supervisor(&'static str, #[source] Box<tonic::Status>),
    #[error("attach to the exec's streams")]
    Attach(#[source] std::io::Error),
}

impl Failure for StartExecError {
    fn kind(&self) -> Kind {
        match self {
            Self::Ran(_) => Kind::FailedPrecondition,
            Self::State(error) => error.kind(),
            Self::Spec(error) => error.kind(),
            Self::User(_) => Kind::InvalidArgument,
            Self::Supervisor(_, status) => match status.code() {
                tonic::Code::NotFound => Kind::NotFound,
                tonic::Code::Unavailable => Kind::Unavailable,
                _ => Kind::Internal,
            },
            Self::Encode(_) | Self::Attach(_) => Kind::Internal,
        }
    }
}

/// Begins the one start that an exec has.
pub(crate) fn begin(exec: &Exec) -> Result<(), StartExecError> {
    match exec.container.state().phase {
        Phase::Running { paused: false, .. } => {}
        Phase::Running { paused: true, .. } => {
            return Err(StateError::Paused(exec.container.id.clone(), "exec").into());
        }
        Phase::Idle | Phase::Restarting { .. } | Phase::Removing => {
            return Err(StateError::NotRunning(exec.container.id.clone()).into());
        }
    }
    let begun = exec.progress.send_if_modified(|progress| {
        let fresh = *progress == Progress::Created;
        if fresh {
            *progress = Progress::Starting;
        }
        fresh
    });
    if begun { Ok(()) } else { Err(StartExecError::Ran(exec.id.clone())) }
}

/// Runs an exec that has begun, with nobody attached.
pub(crate) async fn detached(daemon: &Arc<Daemon>, exec: &Arc<Exec>) -> Result<(), StartExecError> {
    open(daemon, exec, false).await?;
    run(daemon, exec, None).await
}

/// Runs an exec that has begun for a client whose connection is taken over: what fails is told there.
pub(crate) async fn attached(
    daemon: &Arc<Daemon>,
    exec: &Arc<Exec>,
    size: Option<[u32; 2]>,
    mut client: impl AsyncRead + AsyncWrite + Unpin,
) {
    let started = async {
        let stream = open(daemon, exec, true).await?;
        run(daemon, exec, size).await?;
        Ok::<_, StartExecError>(stream)
    };
    match started.await {
        Ok(Some(stream)) => attend(daemon, exec, stream, &mut client).await,
        Ok(None) => {}
        Err(error) => {
            let text = format!("{}\r\n", crate::http::error::HttpError::from(error).into_message());
            let terminal = exec.request.tty;
            let bytes =
                if terminal { text.into() } else { frame::framed(frame::Source::Stdout, text.as_bytes()) };
            drop(client.write_all(&bytes).await);
        }
    }
    drop(client.shutdown().await);
}

/// Makes the process without running it, and connects to its streams when a client will want them.
async fn open(
    daemon: &Arc<Daemon>,
    exec: &Arc<Exec>,
    attached: bool,
) -> Result<Option<UnixStream>, StartExecError> {
    let opened = make(daemon, exec, attached).await;
    if opened.is_err() {
        fail(exec, CANNOT_RUN);
    }
    opened
}

async fn make(
    daemon: &Arc<Daemon>,
    exec: &Exec,
    attached: bool,
) -> Result<Option<UnixStream>, StartExecError> {
    let request = &exec.request;
    let process = process(daemon, exec).await?;
    let socket = exec.socket(&daemon.options.exec_root);
    let stdio = Stdio::of_exec(
        &socket,
        request.tty,
        attached && request.attach_stdin,
        attached && request.attach_stdout,
        attached && request.attach_stderr,
    );
    let listens = [&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().any(|address| !address.is_empty());
    let asked = ExecProcessRequest {
        container_id: exec.container.id.clone(),
        exec_id: exec.id.clone(),
        stdin: stdio.stdin,
        stdout: stdio.stdout,
        stderr: stdio.stderr,
        terminal: request.tty,
        spec: Some(any::pack_json(any::PROCESS_URL, process)),
    };
    let made = daemon.supervisor.tasks().exec(asked).await;
    made.map_err(|status| StartExecError::Supervisor("create exec", Box::new(status)))?;
    if !(attached && listens) {
        return Ok(None);
    }
    UnixStream::connect(&socket).await.map(Some).map_err(StartExecError::Attach)
}

async fn process(daemon: &Arc<Daemon>, exec: &Exec) -> Result<Vec<u8>, StartExecError> {
    let record = exec.container.record();
    let mounts = start::root_mounts(daemon, &record.id).await;
    let mounts =
        mounts.map_err(|status| StartExecError::Supervisor("find the root file system", Box::new(status)))?;
    let (daemon, request) = (Arc::clone(daemon), exec.request.clone());
    let building = tokio::task::spawn_blocking(move || {
        let user = if request.user.is_empty() { &record.config.user } else { &request.user };
        let groups = record.host.group_add.clone().unwrap_or_default();
        let identity = rootfs::users(&mounts).resolve(user, &groups)?;
        let process = spec::exec_process(&record.config, &record.host, &request, &identity, &daemon.machine)?;
        Ok::<_, StartExecError>(serde_json::to_vec(&process)?)
    });
    building.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Runs the process of an exec.
pub(crate) async fn run(
    daemon: &Arc<Daemon>,
    exec: &Arc<Exec>,
    size: Option<[u32; 2]>,
) -> Result<(), StartExecError> {
    let (container_id, exec_id) = (exec.container.id.clone(), exec.id.clone());
    let started = daemon.supervisor.tasks().start(StartRequest { container_id, exec_id }).await;
    let pid = match started {
        Ok(answer) => answer.into_inner().pid,
        Err(status) => {
            let code = start::command_code(status.message()).unwrap_or(CANNOT_RUN);
            fail(exec, code);
            clear_away(daemon, exec).await;
            return Err(StartExecError::Supervisor("start exec", Box::new(status)));
        }
    };
    exec.progress.send_replace(Progress::Running { pid });
    if let (true, Some([height, width])) = (exec.request.tty, size.or(exec.request.console_size)) {
        drop(resize::resize_task(daemon, &exec.container.id, &exec.id, height, width).await);
    }
    let line = exec.request.cmd.as_deref().unwrap_or_default().join(" ");
    exec.container.tell_event(daemon, &format!("exec_start: {line}"), &[("execID", &exec.id)]);
    Ok(())
}

/// Joins a client to an exec until its process ends, the client leaves, or detaches.
async fn attend(
    daemon: &Arc<Daemon>,
    exec: &Arc<Exec>,
    stream: UnixStream,
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    let request = &exec.request;
    let wanted =
        Streams { stdin: request.attach_stdin, stdout: request.attach_stdout, stderr: request.attach_stderr };
    let process = Process::new(request.tty, true);
    let scanner = Scanner::new(exec.keys.clone());
    if attach::join(stream, client, wanted, scanner, process).await == Ended::Detached {
        exec.container.tell_event(daemon, "exec_detach", &[("execID", &exec.id)]);
    } else {
        // The client asks for the exit code as soon as it sees the end: it must be there.
        let mut progress = exec.progress.subscribe();
        let known = progress.wait_for(|progress| matches!(progress, Progress::Ended { .. }));
        drop(tokio::time::timeout(EXIT_PATIENCE, known).await);
    }
}

fn fail(exec: &Exec, code: i64) {
    exec.progress.send_replace(Progress::Ended { pid: 0, code });
}

async fn clear_away(daemon: &Daemon, exec: &Exec) {
    let (container_id, exec_id) = (exec.container.id.clone(), exec.id.clone());
    drop(daemon.supervisor.tasks().delete_process(DeleteProcessRequest { container_id, exec_id }).await);
}
