//! The life of a container through containerd's API, step by step as containerd's own client library lives it: a
//! lease around the making, a snapshot of an image, no streams.

use std::path::Path;

use dhow_proto::any;
use dhow_proto::containerd::services::containers::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, container,
};
use dhow_proto::containerd::services::leases::v1::leases_client::LeasesClient;
use dhow_proto::containerd::services::leases::v1::{CreateRequest, DeleteRequest};
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::snapshots::v1::{
    Kind, ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use dhow_proto::containerd::services::tasks::v1::{
    CreateTaskRequest, DeleteProcessRequest, DeleteTaskRequest, KillRequest, StartRequest, WaitRequest,
};
use serde_json::json;
use tonic::{Request, Status};

use crate::bundle;
use crate::client::{Client, NAMESPACE};
use crate::host::Host;
use crate::image;
use crate::process::Done;

const SNAPSHOTTER: &str = "overlayfs";

/// Where containers of busybox are made: a server, a runtime and an image of its own.
#[derive(Debug, Clone)]
pub struct Lives {
    client: Client,
    runtime: &'static str,
    image: String,
    cgroup: String,
}

/// Puts the busybox image where [`Lives`] finds it, with the `ctr` of a server.
///
/// # Panics
/// When the import fails.
#[track_caller]
pub fn import_busybox(host: &Host, ctr: impl Fn(&[&str]) -> Done) {
    ctr(&["--namespace", NAMESPACE, "images", "import", &image::archive(host)]).ok();
}

impl Lives {
    /// Containers that `runtime` runs for the server at `socket`, in cgroups of `host`.
    ///
    /// # Panics
    /// When there is no server, or it has not exactly the one image.
    pub async fn connect(socket: &Path, host: &Host, runtime: &'static str) -> Self {
        let client = Client::connect(socket).await;
        let request = ListSnapshotsRequest { snapshotter: SNAPSHOTTER.to_owned(), ..Default::default() };
        let list = SnapshotsClient::new(client.channel()).list(client.request(request)).await;
        let mut list = list.expect("list snapshots").into_inner();
        let mut layers = Vec::new();
        while let Some(page) = list.message().await.expect("a page") {
            layers.extend(page.info.into_iter().filter(|info| info.kind() == Kind::Committed));
        }
        assert_eq!(layers.len(), 1, "busybox has one layer, and nothing else was imported");
        Self { client, runtime, image: layers.remove(0).name, cgroup: host.cgroup() }
    }

    /// The client that all this goes through.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a container and its snapshot, under a lease until both are there.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn make(&self, id: &str, args: &[&str]) -> Result<(), Status> {
        let mut leases = LeasesClient::new(self.client.channel());
        let lease = CreateRequest { id: format!("lease-{id}"), ..CreateRequest::default() };
        leases.create(self.client.request(lease)).await?;
        let prepare = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: id.to_owned(),
            parent: self.image.clone(),
            ..PrepareSnapshotRequest::default()
        };
        self.snapshots().prepare(self.leased(id, prepare)).await?;
        let mut spec = bundle::spec(&format!("{}/{id}", self.cgroup), "");
        spec["process"]["args"] = json!(args);
        let container = Container {
            id: id.to_owned(),
            runtime: Some(container::Runtime { name: self.runtime.to_owned(), options: None }),
            spec: Some(any::pack_json(any::SPEC_URL, spec.to_string().into_bytes())),
            snapshotter: SNAPSHOTTER.to_owned(),
            snapshot_key: id.to_owned(),
            ..Container::default()
        };
        let request = CreateContainerRequest { container: Some(container) };
        self.client.containers().create(self.leased(id, request)).await?;
        let lease = DeleteRequest { id: format!("lease-{id}"), sync: false };
        leases.delete(self.client.request(lease)).await.map(drop)
    }

    /// Creates the task of a container; its pid.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn create(&self, id: &str) -> Result<u32, Status> {
        let request = MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key: id.to_owned() };
        let rootfs = self.snapshots().mounts(self.client.request(request)).await?.into_inner().mounts;
        let request =
            CreateTaskRequest { container_id: id.to_owned(), rootfs, ..CreateTaskRequest::default() };
        Ok(self.client.tasks().create(self.client.request(request)).await?.into_inner().pid)
    }

    /// Starts the first process of a task.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn start(&self, id: &str) -> Result<(), Status> {
        let request = StartRequest { container_id: id.to_owned(), ..StartRequest::default() };
        self.client.tasks().start(self.client.request(request)).await.map(drop)
    }

    /// Starts an exec.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn start_exec(&self, id: &str, exec_id: &str) -> Result<(), Status> {
        let request = StartRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        self.client.tasks().start(self.client.request(request)).await.map(drop)
    }

    /// Deletes an exec that has ended; its exit status.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn delete_exec(&self, id: &str, exec_id: &str) -> Result<u32, Status> {
        let request = DeleteProcessRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        Ok(self.client.tasks().delete_process(self.client.request(request)).await?.into_inner().exit_status)
    }

    /// Waits for the end of a task's first process, or of an exec; its exit status.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn wait(&self, id: &str, exec_id: &str) -> Result<u32, Status> {
        let request = WaitRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        Ok(self.client.tasks().wait(self.client.request(request)).await?.into_inner().exit_status)
    }

    /// Sends a signal to a task's first process, or to an exec.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn kill(&self, id: &str, exec_id: &str, signal: u32) -> Result<(), Status> {
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        let request = KillRequest { container_id, exec_id, signal, all: false };
        self.client.tasks().kill(self.client.request(request)).await.map(drop)
    }

    /// Deletes the task of a container; the exit status of its first process.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn delete(&self, id: &str) -> Result<u32, Status> {
        let request = DeleteTaskRequest { container_id: id.to_owned() };
        Ok(self.client.tasks().delete(self.client.request(request)).await?.into_inner().exit_status)
    }

    /// Removes a container without a task; its snapshot first, which without it would be garbage.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn remove(&self, id: &str) -> Result<(), Status> {
        let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: id.to_owned() };
        self.snapshots().remove(self.client.request(request)).await?;
        let request = DeleteContainerRequest { id: id.to_owned() };
        self.client.containers().delete(self.client.request(request)).await.map(drop)
    }

    /// A whole life: made, run to its end, removed; the exit status.
    ///
    /// # Errors
    /// The server's first refusal.
    pub async fn live(&self, id: &str, args: &[&str]) -> Result<u32, Status> {
        self.make(id, args).await?;
        self.create(id).await?;
        let waiter = self.clone();
        let waited = id.to_owned();
        let waiting = tokio::spawn(async move { waiter.wait(&waited, "").await });
        self.start(id).await?;
        let status = waiting.await.map_err(|error| Status::internal(error.to_string()))??;
        self.delete(id).await?;
        self.remove(id).await?;
        Ok(status)
    }

    fn snapshots(&self) -> SnapshotsClient<tonic::transport::Channel> {
        SnapshotsClient::new(self.client.channel())
    }

    fn leased<M>(&self, id: &str, message: M) -> Request<M> {
        self.client.under(&format!("lease-{id}")).request(message)
    }
}
