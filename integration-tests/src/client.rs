//! A client of containerd's gRPC services, for what `ctr` does not show: streams, codes, stdio forms, order of events.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use dhow_proto::any;
use dhow_proto::containerd::services::containers::v1::containers_client::ContainersClient;
use dhow_proto::containerd::services::containers::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, container,
};
use dhow_proto::containerd::services::tasks::v1::tasks_client::TasksClient;
use dhow_proto::containerd::services::tasks::v1::{
    CreateTaskRequest, DeleteResponse, DeleteTaskRequest, GetRequest, StartRequest, WaitRequest, WaitResponse,
};
use dhow_proto::containerd::types::Mount;
use serde_json::Value;
use tonic::Request;
use tonic::transport::Channel;

use crate::process::DEADLINE;

/// The namespace that a client works in unless told otherwise.
pub const NAMESPACE: &str = "tests";

/// A connection that sends its namespace with every request.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    namespace: String,
    lease: Option<String>,
}

/// Where a task's streams go; empty strings are `/dev/null`.
#[derive(Debug, Clone, Default)]
pub struct Stdio {
    /// URI or FIFO of stdin.
    pub stdin: String,
    /// URI or FIFO of stdout.
    pub stdout: String,
    /// URI or FIFO of stderr.
    pub stderr: String,
    /// Whether the process gets a terminal.
    pub terminal: bool,
}

/// Runs asynchronous code of a test to its end, with a deadline.
///
/// # Panics
/// When it takes longer than any command of a test may.
#[track_caller]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    block_on_within(DEADLINE, future)
}

/// The same with a deadline of its own.
///
/// # Panics
/// When it takes longer.
#[track_caller]
pub fn block_on_within<T>(deadline: Duration, future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(deadline, future).await.expect("ends in time") })
}

impl Client {
    /// Connects to the server at `socket`.
    ///
    /// # Panics
    /// When nothing listens there.
    pub async fn connect(socket: &Path) -> Self {
        Self::connect_as(socket, NAMESPACE).await
    }

    /// The same in another namespace.
    ///
    /// # Panics
    /// When nothing listens there.
    pub async fn connect_as(socket: &Path, namespace: &str) -> Self {
        let channel = dhow_proto::connect::connect(socket).await.expect("the server listens");
        Self { channel, namespace: namespace.to_owned(), lease: None }
    }

    /// The same client under a lease, which keeps what it makes from being collected.
    #[must_use]
    pub fn under(&self, lease: &str) -> Self {
        Self { lease: Some(lease.to_owned()), ..self.clone() }
    }

    /// The channel, for a client of a further service.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// `message` with the namespace in its metadata, and the lease if there is one.
    ///
    /// # Panics
    /// When one of them is not ASCII.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(dhow_proto::namespace::GRPC_HEADER, self.namespace.parse().expect("ASCII"));
        if let Some(lease) = &self.lease {
            metadata.insert(dhow_proto::namespace::LEASE_HEADER, lease.parse().expect("ASCII"));
        }
        request
    }

    /// The containers service.
    #[must_use]
    pub fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel())
    }

    /// The tasks service.
    #[must_use]
    pub fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.channel())
    }

    /// Records a container that our shim runs.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn create_container(&self, id: &str, spec: &Value) {
        self.create_container_for("io.containerd.dhow.v2", id, spec).await;
    }

    /// Records a container that the shim named `runtime` runs.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn create_container_for(&self, runtime: &str, id: &str, spec: &Value) {
        let container = Container {
            id: id.to_owned(),
            runtime: Some(container::Runtime { name: runtime.to_owned(), options: None }),
            spec: Some(any::pack_json(any::SPEC_URL, spec.to_string().into_bytes())),
            ..Container::default()
        };
        let request = CreateContainerRequest { container: Some(container) };
        self.containers().create(self.request(request)).await.expect("create the container");
    }

    /// Creates the task of a container on the tree at `rootfs`; gives its pid.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn create_task(&self, id: &str, rootfs: &Path, stdio: &Stdio) -> Result<u32, tonic::Status> {
        let mount = Mount {
            r#type: "bind".to_owned(),
            source: rootfs.display().to_string(),
            options: vec!["rbind".to_owned(), "rw".to_owned()],
            ..Mount::default()
        };
        self.create_task_on(id, vec![mount], stdio).await
    }

    /// Creates the task of a container on a snapshot's mounts; gives its pid.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn create_task_on(
        &self,
        id: &str,
        rootfs: Vec<Mount>,
        stdio: &Stdio,
    ) -> Result<u32, tonic::Status> {
        let request = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdin: stdio.stdin.clone(),
            stdout: stdio.stdout.clone(),
            stderr: stdio.stderr.clone(),
            terminal: stdio.terminal,
            ..CreateTaskRequest::default()
        };
        Ok(self.tasks().create(self.request(request)).await?.into_inner().pid)
    }

    /// Starts the init process.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn start(&self, id: &str) {
        let request = StartRequest { container_id: id.to_owned(), ..StartRequest::default() };
        self.tasks().start(self.request(request)).await.expect("start the task");
    }

    /// Waits until the init process ended.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn wait(&self, id: &str) -> WaitResponse {
        let request = WaitRequest { container_id: id.to_owned(), ..WaitRequest::default() };
        self.tasks().wait(self.request(request)).await.expect("wait for the task").into_inner()
    }

    /// Deletes the task and its container.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn delete(&self, id: &str) -> DeleteResponse {
        let request = DeleteTaskRequest { container_id: id.to_owned() };
        let response =
            self.tasks().delete(self.request(request)).await.expect("delete the task").into_inner();
        let request = DeleteContainerRequest { id: id.to_owned() };
        self.containers().delete(self.request(request)).await.expect("delete the container");
        response
    }

    /// Whether the task exists.
    pub async fn has_task(&self, id: &str) -> bool {
        let request = GetRequest { container_id: id.to_owned(), ..GetRequest::default() };
        self.tasks().get(self.request(request)).await.is_ok()
    }
}
