//! What the conformance suite is run on: a snapshotter, called directly or over gRPC.

use dhow_proto::containerd::services::snapshots::v1 as api;
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::types::Mount;
use dhow_proto::error::Kind as Failure;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::fault::Fault;
use crate::label::Labels;
use crate::namespace::Scope;
use crate::snapshot::{Record, SnapshotError, Snapshots, Usage};

/// A snapshotter, in one namespace.
#[tonic::async_trait]
pub(super) trait Subject: Send + Sync {
    /// The name of its driver.
    fn driver(&self) -> &str;
    async fn prepare(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Failure>;
    async fn view(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Failure>;
    async fn mounts(&self, key: &str) -> Result<Vec<Mount>, Failure>;
    async fn commit(&self, name: &str, key: &str, parent: &str, labels: Labels) -> Result<(), Failure>;
    async fn remove(&self, key: &str) -> Result<(), Failure>;
    async fn stat(&self, key: &str) -> Result<Record, Failure>;
    async fn update(&self, record: Record, mask: &[&str]) -> Result<Record, Failure>;
    async fn list(&self, filters: &[&str]) -> Result<Vec<Record>, Failure>;
    async fn usage(&self, key: &str) -> Result<Usage, Failure>;
}

/// Called directly.
pub(super) struct Direct(pub(super) Snapshots, pub(super) Scope);

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn kind(error: SnapshotError) -> Failure {
    error.kind()
}

#[tonic::async_trait]
impl Subject for Direct {
    fn driver(&self) -> &str {
        self.0.name()
    }

    async fn prepare(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Failure> {
        self.0.prepare(&self.1, key, parent, labels).await.map_err(kind)
    }

    async fn view(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Failure> {
        self.0.view(&self.1, key, parent, labels).await.map_err(kind)
    }

    async fn mounts(&self, key: &str) -> Result<Vec<Mount>, Failure> {
        self.0.mounts(&self.1.namespace, key).map_err(kind)
    }

    async fn commit(&self, name: &str, key: &str, parent: &str, labels: Labels) -> Result<(), Failure> {
        self.0.commit(&self.1, name, key, parent, labels).await.map_err(kind)
    }

    async fn remove(&self, key: &str) -> Result<(), Failure> {
        self.0.remove(&self.1, key).await.map_err(kind)
    }

    async fn stat(&self, key: &str) -> Result<Record, Failure> {
        // A client does not see what is only ours.
        self.0.stat(&self.1.namespace, key).map(seen).map_err(kind)
    }

    async fn update(&self, record: Record, mask: &[&str]) -> Result<Record, Failure> {
        self.0.update(&self.1.namespace, record, owned(mask)).await.map(seen).map_err(kind)
    }

    async fn list(&self, filters: &[&str]) -> Result<Vec<Record>, Failure> {
        let mut listing = self.0.list(&self.1.namespace, &owned(filters)).map_err(kind)?;
        Ok(listing.page(usize::MAX).expect("a page").into_iter().map(seen).collect())
    }

    async fn usage(&self, key: &str) -> Result<Usage, Failure> {
        self.0.usage(&self.1.namespace, key).await.map_err(kind)
    }
}

fn seen(record: Record) -> Record {
    api::Info::from(record).into()
}

/// Called over gRPC.
pub(super) struct Wire {
    pub(super) channel: Channel,
    pub(super) snapshotter: String,
    pub(super) namespace: String,
}

impl Wire {
    fn client(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone())
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let namespace = self.namespace.parse().expect("ASCII");
        request.metadata_mut().insert(dhow_proto::namespace::GRPC_HEADER, namespace);
        request
    }
}

fn code(status: Status) -> Failure {
    status.code().into()
}

#[tonic::async_trait]
impl Subject for Wire {
    fn driver(&self) -> &str {
        &self.snapshotter
    }

    async fn prepare(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Failure> {
        let (snapshotter, labels) = (self.snapshotter.clone(), labels.into_iter().collect());
        let (key, parent) = (key.to_owned(), parent.to_owned());
        let request = self.request(api::PrepareSnapshotRequest { snapshotter, key, parent, labels });
        Ok(self.client().prepare(request).await.map_err(code)?.into_inner().mounts)
    }

    async fn view(&self, key: &str, parent: &str, labels: Labels) -> Result<Vec<Mount>, Failure> {
        let (snapshotter, labels) = (self.snapshotter.clone(), labels.into_iter().collect());
        let (key, parent) = (key.to_owned(), parent.to_owned());
        let request = self.request(api::ViewSnapshotRequest { snapshotter, key, parent, labels });
        Ok(self.client().view(request).await.map_err(code)?.into_inner().mounts)
    }

    async fn mounts(&self, key: &str) -> Result<Vec<Mount>, Failure> {
        let (snapshotter, key) = (self.snapshotter.clone(), key.to_owned());
        let request = self.request(api::MountsRequest { snapshotter, key });
        Ok(self.client().mounts(request).await.map_err(code)?.into_inner().mounts)
    }

    async fn commit(&self, name: &str, key: &str, parent: &str, labels: Labels) -> Result<(), Failure> {
        let (snapshotter, labels) = (self.snapshotter.clone(), labels.into_iter().collect());
        let (name, key, parent) = (name.to_owned(), key.to_owned(), parent.to_owned());
        let request = self.request(api::CommitSnapshotRequest { snapshotter, name, key, labels, parent });
        self.client().commit(request).await.map(drop).map_err(code)
    }

    async fn remove(&self, key: &str) -> Result<(), Failure> {
        let (snapshotter, key) = (self.snapshotter.clone(), key.to_owned());
        let request = self.request(api::RemoveSnapshotRequest { snapshotter, key });
        self.client().remove(request).await.map(drop).map_err(code)
    }

    async fn stat(&self, key: &str) -> Result<Record, Failure> {
        let (snapshotter, key) = (self.snapshotter.clone(), key.to_owned());
        let request = self.request(api::StatSnapshotRequest { snapshotter, key });
        let info = self.client().stat(request).await.map_err(code)?.into_inner().info;
        Ok(info.expect("an answer").into())
    }

    async fn update(&self, record: Record, mask: &[&str]) -> Result<Record, Failure> {
        let update_mask = (!mask.is_empty()).then(|| prost_types::FieldMask { paths: owned(mask) });
        let (snapshotter, info) = (self.snapshotter.clone(), Some(record.into()));
        let request = self.request(api::UpdateSnapshotRequest { snapshotter, info, update_mask });
        let info = self.client().update(request).await.map_err(code)?.into_inner().info;
        Ok(info.expect("an answer").into())
    }

    async fn list(&self, filters: &[&str]) -> Result<Vec<Record>, Failure> {
        let (snapshotter, filters) = (self.snapshotter.clone(), owned(filters));
        let request = self.request(api::ListSnapshotsRequest { snapshotter, filters });
        let mut replies = self.client().list(request).await.map_err(code)?.into_inner();
        let mut records = Vec::new();
        while let Some(reply) = replies.message().await.map_err(code)? {
            records.extend(reply.info.into_iter().map(Record::from));
        }
        Ok(records)
    }

    async fn usage(&self, key: &str) -> Result<Usage, Failure> {
        let (snapshotter, key) = (self.snapshotter.clone(), key.to_owned());
        let request = self.request(api::UsageRequest { snapshotter, key });
        let usage = self.client().usage(request).await.map_err(code)?.into_inner();
        Ok(Usage { size: usage.size, inodes: usage.inodes })
    }
}
