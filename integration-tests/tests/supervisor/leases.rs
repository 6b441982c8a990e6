//! Leases keep what nothing else refers to; without one it is collected.

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::leases::v1::leases_client::LeasesClient;
use dhow_proto::containerd::services::leases::v1::{CreateRequest, DeleteRequest, ListRequest};
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::snapshots::v1::{PrepareSnapshotRequest, StatSnapshotRequest};

#[test]
fn what_a_lease_owns_ends_with_it() {
    let supervisor = Supervisor::start();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let mut leases = LeasesClient::new(client.channel());
        let mut snapshots = SnapshotsClient::new(client.channel());
        let request = CreateRequest { id: "keeper".to_owned(), ..CreateRequest::default() };
        leases.create(client.request(request)).await.expect("create the lease");

        let mut request = client.request(PrepareSnapshotRequest {
            snapshotter: "overlayfs".to_owned(),
            key: "leased".to_owned(),
            ..PrepareSnapshotRequest::default()
        });
        request.metadata_mut().insert(dhow_proto::namespace::LEASE_HEADER, "keeper".parse().expect("ASCII"));
        snapshots.prepare(request).await.expect("prepare");
        let listed =
            leases.list(client.request(ListRequest::default())).await.expect("list").into_inner().leases;
        assert_eq!(listed.iter().map(|lease| lease.id.as_str()).collect::<Vec<_>>(), ["keeper"]);

        let request = DeleteRequest { id: "keeper".to_owned(), sync: true };
        leases.delete(client.request(request)).await.expect("delete the lease");
        let stat = StatSnapshotRequest { snapshotter: "overlayfs".to_owned(), key: "leased".to_owned() };
        let gone = snapshots.stat(client.request(stat)).await.expect_err("collected with its lease");
        assert_eq!(gone.code(), tonic::Code::NotFound);
    });
}
