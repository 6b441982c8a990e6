//! The sandbox: the pod that the containers of one shim form, as containerd's sandbox controller drives it.
//!
//! Nothing runs in it but its containers; it is there from Create to Shutdown, and keeps the shim alive meanwhile.
//! Stop ends every container; only Shutdown ends the shim.
//!
//! ```text
//! Create ──> created ── Start ──> ready ── Stop ──> stopped ── Shutdown ──> the shim ends
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use dhow_linux::file::PathError;
use dhow_proto::containerd::runtime::sandbox::v1::{
    CreateSandboxRequest, PlatformResponse, SandboxMetricsResponse, SandboxStatusRequest,
    SandboxStatusResponse, StartSandboxResponse, StopSandboxRequest, WaitSandboxResponse,
};
use dhow_proto::containerd::task::v3::{KillRequest, ShutdownRequest};
use dhow_proto::containerd::types::{Metric, Platform};
use prost_types::Timestamp;

use super::container::Container;
use super::process::State;
use super::{Shim, TaskError};
use crate::reactor::Changed;
use crate::{clock, journal, rootfs};

/// How long a killed container may take to be gone.
const DYING: Duration = Duration::from_secs(10);

const SIGTERM: u32 = 15;
const SIGKILL: u32 = 9;

/// Where a sandbox is in its life.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Created,
    Ready { since: Timestamp },
    Stopped { since: Option<Timestamp>, at: Timestamp },
}

/// A pod.
#[derive(Debug)]
pub(super) struct Sandbox {
    id: String,
    bundle: PathBuf,
    netns: String,
    annotations: BTreeMap<String, String>,
    has_rootfs: bool,
    phase: Cell<Phase>,
    changed: Changed,
}

impl Phase {
    /// In the words of Kubernetes' runtime interface, which containerd passes on.
    fn name(self) -> &'static str {
        if matches!(self, Self::Ready { .. }) { "SANDBOX_READY" } else { "SANDBOX_NOTREADY" }
    }
}

impl Shim {
    /// Makes this shim the shim of a sandbox.
    pub(crate) fn create_sandbox(&self, request: CreateSandboxRequest) -> Result<(), TaskError> {
        if let Some(sandbox) = &*self.sandbox.borrow() {
            return Err(TaskError::Exists(format!("sandbox {}", sandbox.id)));
        }
        let bundle = PathBuf::from(&request.bundle_path);
        if !request.rootfs.is_empty() {
            let folder = bundle.join("rootfs");
            std::fs::create_dir_all(&folder).map_err(PathError::at("create", &folder))?;
            rootfs::mount_all(&request.rootfs, &folder).map_err(TaskError::Mount)?;
        }
        let sandbox = Sandbox {
            id: request.sandbox_id,
            bundle,
            netns: request.netns_path,
            annotations: request.annotations.into_iter().collect(),
            has_rootfs: !request.rootfs.is_empty(),
            phase: Cell::new(Phase::Created),
            changed: Changed::default(),
        };
        self.sandbox.replace(Some(Rc::new(sandbox)));
        Ok(())
    }

    /// Declares the sandbox ready for containers.
    pub(crate) fn start_sandbox(&self, id: &str) -> Result<StartSandboxResponse, TaskError> {
        let sandbox = self.sandbox(id)?;
        if sandbox.phase.get() != Phase::Created {
            return Err(TaskError::State(format!("cannot start sandbox {id} twice")));
        }
        let since = clock::now();
        sandbox.enter(Phase::Ready { since });
        Ok(StartSandboxResponse { pid: std::process::id(), created_at: Some(since), spec: None })
    }

    /// What the sandbox runs on.
    pub(crate) fn platform(&self, id: &str) -> Result<PlatformResponse, TaskError> {
        self.sandbox(id)?;
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform =
            Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), ..Platform::default() };
        Ok(PlatformResponse { platform: Some(platform) })
    }

    /// Ends every container of the sandbox: asks first when there is time, then kills. Stopping twice is no error.
    pub(crate) async fn stop_sandbox(self: &Rc<Self>, request: &StopSandboxRequest) -> Result<(), TaskError> {
        let sandbox = self.sandbox(&request.sandbox_id)?;
        if request.timeout_secs > 0 {
            self.signal_all(SIGTERM).await;
            let patience = Duration::from_secs(request.timeout_secs.into());
            self.reactor.within(patience, self.all_ended()).await;
        }
        self.signal_all(SIGKILL).await;
        if self.reactor.within(DYING, self.all_ended()).await.is_none() {
            return Err(TaskError::State(format!("containers of sandbox {} do not end", sandbox.id)));
        }
        let since = match sandbox.phase.get() {
            Phase::Stopped { .. } => return Ok(()),
            Phase::Ready { since } => Some(since),
            Phase::Created => None,
        };
        sandbox.enter(Phase::Stopped { since, at: clock::now() });
        Ok(())
    }

    /// Waits until the sandbox is stopped.
    pub(crate) async fn wait_sandbox(&self, id: &str) -> Result<WaitSandboxResponse, TaskError> {
        let sandbox = self.sandbox(id)?;
        let stopped = sandbox.changed.until(|| match sandbox.phase.get() {
            Phase::Stopped { at, .. } => Some(at),
            Phase::Created | Phase::Ready { .. } => None,
        });
        Ok(WaitSandboxResponse { exit_status: 0, exited_at: Some(stopped.await) })
    }

    /// What the sandbox is doing.
    pub(crate) fn sandbox_status(
        &self,
        request: &SandboxStatusRequest,
    ) -> Result<SandboxStatusResponse, TaskError> {
        let sandbox = self.sandbox(&request.sandbox_id)?;
        let phase = sandbox.phase.get();
        let (created_at, exited_at) = match phase {
            Phase::Created => (None, None),
            Phase::Ready { since } => (Some(since), None),
            Phase::Stopped { since, at } => (since, Some(at)),
        };
        let info = if request.verbose { self.describe(&sandbox) } else { Vec::new() };
        Ok(SandboxStatusResponse {
            sandbox_id: sandbox.id.clone(),
            pid: std::process::id(),
            state: phase.name().to_owned(),
            info: info.into_iter().collect(),
            created_at,
            exited_at,
            extra: None,
        })
    }

    fn describe(&self, sandbox: &Sandbox) -> Vec<(String, String)> {
        let containers: Vec<String> = self.containers.borrow().keys().cloned().collect();
        let json = |value: serde_json::Value| value.to_string();
        vec![
            ("bundlePath".to_owned(), sandbox.bundle.display().to_string()),
            ("netnsPath".to_owned(), sandbox.netns.clone()),
            ("annotations".to_owned(), json(serde_json::json!(sandbox.annotations))),
            ("containers".to_owned(), json(serde_json::json!(containers))),
        ]
    }

    /// Whether the sandbox is there.
    pub(crate) fn ping_sandbox(&self, id: &str) -> Result<(), TaskError> {
        self.sandbox(id).map(drop)
    }

    /// What the containers of the sandbox use together: the cgroup that all of theirs lie in.
    pub(crate) fn sandbox_metrics(&self, id: &str) -> Result<SandboxMetricsResponse, TaskError> {
        self.sandbox(id)?;
        let containers = self.containers.borrow();
        let mut parents = containers.values().filter_map(|container| container.cgroup.as_ref()?.parent());
        let first = parents.next();
        let shared = first.filter(|first| parents.all(|parent| parent == *first));
        let data = shared.and_then(|cgroup| cgroup.metrics());
        let metrics = Metric { timestamp: Some(clock::now()), id: id.to_owned(), data };
        Ok(SandboxMetricsResponse { metrics: Some(metrics) })
    }

    /// Stops what still runs, and ends the shim after the reply.
    pub(crate) async fn shutdown_sandbox(self: &Rc<Self>, id: &str) -> Result<(), TaskError> {
        let sandbox = self.sandbox(id)?;
        let request = StopSandboxRequest { sandbox_id: id.to_owned(), timeout_secs: 0 };
        self.stop_sandbox(&request).await?;
        if sandbox.has_rootfs {
            rootfs::unmount_all(&sandbox.bundle.join("rootfs")).map_err(TaskError::Unmount)?;
        }
        self.sandbox.replace(None);
        self.request_shutdown(&ShutdownRequest { id: id.to_owned(), now: true });
        Ok(())
    }

    fn sandbox(&self, id: &str) -> Result<Rc<Sandbox>, TaskError> {
        let sandbox = self.sandbox.borrow().clone().filter(|sandbox| sandbox.id == id);
        sandbox.ok_or(TaskError::NotFound("sandbox"))
    }

    fn living(&self) -> Vec<Rc<Container>> {
        let alive = |container: &&Rc<Container>| {
            container.init.pid.get() != 0 && matches!(container.init.state(), State::Created | State::Running)
        };
        self.containers.borrow().values().filter(alive).cloned().collect()
    }

    async fn signal_all(&self, signal: u32) {
        for container in self.living() {
            let request = KillRequest { id: container.id.clone(), signal, ..KillRequest::default() };
            match self.kill(&request).await {
                Ok(()) | Err(TaskError::Finished | TaskError::NotFound(_) | TaskError::NoContainer) => {}
                Err(error) => journal::warn("stop a container of the sandbox", &error),
            }
        }
    }

    async fn all_ended(&self) {
        for container in self.living() {
            container.init.ended().await;
        }
    }
}

impl Sandbox {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.changed.notify();
    }
}
