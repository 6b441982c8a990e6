//! `containerd.services.snapshots.v1.Snapshots`

use dhow_proto::containerd::services::snapshots::v1::snapshots_server::{Snapshots, SnapshotsServer};
use dhow_proto::containerd::services::snapshots::v1::{
    CleanupRequest, CommitSnapshotRequest, ListSnapshotsRequest, ListSnapshotsResponse, MountsRequest,
    MountsResponse, PrepareSnapshotRequest, PrepareSnapshotResponse, RemoveSnapshotRequest,
    StatSnapshotRequest, StatSnapshotResponse, UpdateSnapshotRequest, UpdateSnapshotResponse, UsageRequest,
    UsageResponse, ViewSnapshotRequest, ViewSnapshotResponse,
};
use tonic::{Request, Response, Status};

use super::convert::paths;
use super::{Replies, pages};
use crate::fault::status;
use crate::namespace::{Namespace, Scope};
use crate::snapshot::{self, Snapshotters};

#[derive(Debug)]
pub(crate) struct SnapshotsService(Snapshotters);

pub(crate) fn service(snapshotters: &Snapshotters) -> SnapshotsServer<SnapshotsService> {
    SnapshotsServer::new(SnapshotsService(snapshotters.clone()))
        .max_decoding_message_size(super::MESSAGE_LIMIT)
}

impl SnapshotsService {
    fn named(&self, snapshotter: &str) -> Result<&snapshot::Snapshots, Status> {
        self.0.named(snapshotter).map_err(status)
    }
}

#[tonic::async_trait]
impl Snapshots for SnapshotsService {
    type ListStream = Replies<ListSnapshotsResponse>;

    async fn prepare(
        &self,
        request: Request<PrepareSnapshotRequest>,
    ) -> Result<Response<PrepareSnapshotResponse>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let PrepareSnapshotRequest { snapshotter, key, parent, labels } = request.into_inner();
        let snapshots = self.named(&snapshotter)?;
        let labels = labels.into_iter().collect();
        let mounts = snapshots.prepare(&scope, &key, &parent, labels).await.map_err(status)?;
        Ok(Response::new(PrepareSnapshotResponse { mounts }))
    }

    async fn view(
        &self,
        request: Request<ViewSnapshotRequest>,
    ) -> Result<Response<ViewSnapshotResponse>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let ViewSnapshotRequest { snapshotter, key, parent, labels } = request.into_inner();
        let snapshots = self.named(&snapshotter)?;
        let labels = labels.into_iter().collect();
        let mounts = snapshots.view(&scope, &key, &parent, labels).await.map_err(status)?;
        Ok(Response::new(ViewSnapshotResponse { mounts }))
    }

    async fn mounts(&self, request: Request<MountsRequest>) -> Result<Response<MountsResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let MountsRequest { snapshotter, key } = request.into_inner();
        let mounts = self.named(&snapshotter)?.mounts(&namespace, &key).map_err(status)?;
        Ok(Response::new(MountsResponse { mounts }))
    }

    async fn commit(&self, request: Request<CommitSnapshotRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let CommitSnapshotRequest { snapshotter, name, key, labels, parent } = request.into_inner();
        let snapshots = self.named(&snapshotter)?;
        let labels = labels.into_iter().collect();
        snapshots.commit(&scope, &name, &key, &parent, labels).await.map_err(status)?;
        Ok(Response::new(()))
    }

    async fn remove(&self, request: Request<RemoveSnapshotRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::require(request.metadata()).map_err(status)?;
        let RemoveSnapshotRequest { snapshotter, key } = request.into_inner();
        self.named(&snapshotter)?.remove(&scope, &key).await.map_err(status)?;
        Ok(Response::new(()))
    }

    async fn stat(
        &self,
        request: Request<StatSnapshotRequest>,
    ) -> Result<Response<StatSnapshotResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let StatSnapshotRequest { snapshotter, key } = request.into_inner();
        let record = self.named(&snapshotter)?.stat(&namespace, &key).map_err(status)?;
        Ok(Response::new(StatSnapshotResponse { info: Some(record.into()) }))
    }

    async fn update(
        &self,
        request: Request<UpdateSnapshotRequest>,
    ) -> Result<Response<UpdateSnapshotResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let UpdateSnapshotRequest { snapshotter, info, update_mask } = request.into_inner();
        let (record, mask) = (info.unwrap_or_default().into(), paths(update_mask));
        let updated = self.named(&snapshotter)?.update(&namespace, record, mask).await.map_err(status)?;
        Ok(Response::new(UpdateSnapshotResponse { info: Some(updated.into()) }))
    }

    async fn list(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let ListSnapshotsRequest { snapshotter, filters } = request.into_inner();
        let listing = self.named(&snapshotter)?.list(&namespace, &filters).map_err(status)?;
        let message =
            |page: Vec<_>| ListSnapshotsResponse { info: page.into_iter().map(Into::into).collect() };
        Ok(Response::new(pages(listing, message)))
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Result<Response<UsageResponse>, Status> {
        let namespace = Namespace::require(request.metadata()).map_err(status)?;
        let UsageRequest { snapshotter, key } = request.into_inner();
        let usage = self.named(&snapshotter)?.usage(&namespace, &key).await.map_err(status)?;
        Ok(Response::new(UsageResponse { size: usage.size, inodes: usage.inodes }))
    }

    async fn cleanup(&self, request: Request<CleanupRequest>) -> Result<Response<()>, Status> {
        self.named(&request.into_inner().snapshotter)?.sweep().map_err(status)?;
        Ok(Response::new(()))
    }
}
