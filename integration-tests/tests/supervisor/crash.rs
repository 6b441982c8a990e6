//! `kill -9` of a busy supervisor, again and again: what was answered is there, what was not can be done again, and a
//! collection leaves nothing behind.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::any;
use dhow_proto::containerd::services::containers::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, ListContainersRequest, container,
};
use dhow_proto::containerd::services::content::v1::content_client::ContentClient;
use dhow_proto::containerd::services::content::v1::{InfoRequest, WriteAction, WriteContentRequest};
use dhow_proto::containerd::services::leases::v1::leases_client::LeasesClient;
use dhow_proto::containerd::services::leases::v1::{CreateRequest, DeleteRequest};
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::snapshots::v1::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use sha2::{Digest, Sha256};
use tonic::{Code, Request, Status};

const SNAPSHOTTER: &str = "overlayfs";
const CLIENTS: usize = 8;
const ROUNDS: usize = 4;

/// What was answered, and must be there after any crash.
#[derive(Debug, Clone, Default)]
struct Promised {
    containers: BTreeSet<String>,
    snapshots: BTreeSet<String>,
    blobs: BTreeSet<String>,
}

fn leased<M>(client: &Client, message: M) -> Request<M> {
    let mut request = client.request(message);
    request.metadata_mut().insert(dhow_proto::namespace::LEASE_HEADER, "keeper".parse().expect("ASCII"));
    request
}

/// Does one thing after another until the supervisor dies.
async fn work(client: Client, name: String, promised: Arc<Mutex<Promised>>) -> Result<(), Status> {
    for step in 0.. {
        let id = format!("{name}-{step}");
        write(&client, &id, &promised).await?;
        layer(&client, &id, &promised).await?;
        let runtime = Some(container::Runtime { name: "io.containerd.dhow.v2".to_owned(), options: None });
        let spec = Some(any::pack_json(any::SPEC_URL, b"{}".to_vec()));
        let container = Container {
            id: id.clone(),
            runtime,
            spec,
            snapshotter: SNAPSHOTTER.to_owned(),
            snapshot_key: id.clone(),
            ..Container::default()
        };
        let request = CreateContainerRequest { container: Some(container) };
        client.containers().create(client.request(request)).await?;
        promised.lock().expect("lock").containers.insert(id.clone());
        if step % 3 == 2 {
            promised.lock().expect("lock").containers.remove(&id);
            client.containers().delete(client.request(DeleteContainerRequest { id })).await?;
        }
    }
    Ok(())
}

async fn write(client: &Client, id: &str, promised: &Mutex<Promised>) -> Result<(), Status> {
    let data = id.repeat(1000).into_bytes();
    let expected = format!("sha256:{}", hex::encode(Sha256::digest(&data)));
    let action = WriteAction::Commit.into();
    let message = WriteContentRequest {
        action,
        r#ref: id.to_owned(),
        expected: expected.clone(),
        data,
        ..WriteContentRequest::default()
    };
    let stream = leased(client, tokio_stream::iter([message]));
    let mut answers = ContentClient::new(client.channel()).write(stream).await?.into_inner();
    while answers.message().await?.is_some() {}
    promised.lock().expect("lock").blobs.insert(expected);
    Ok(())
}

async fn layer(client: &Client, id: &str, promised: &Mutex<Promised>) -> Result<(), Status> {
    let mut snapshots = SnapshotsClient::new(client.channel());
    let (snapshotter, active, layer) =
        (SNAPSHOTTER.to_owned(), format!("{id}-active"), format!("{id}-layer"));
    let prepare = |key: &str, parent: &str| PrepareSnapshotRequest {
        snapshotter: SNAPSHOTTER.to_owned(),
        key: key.to_owned(),
        parent: parent.to_owned(),
        ..PrepareSnapshotRequest::default()
    };
    snapshots.prepare(leased(client, prepare(&active, ""))).await?;
    let request = CommitSnapshotRequest {
        snapshotter,
        name: layer.clone(),
        key: active,
        ..CommitSnapshotRequest::default()
    };
    snapshots.commit(leased(client, request)).await?;
    promised.lock().expect("lock").snapshots.insert(layer.clone());
    snapshots.prepare(leased(client, prepare(id, &layer))).await?;
    promised.lock().expect("lock").snapshots.insert(id.to_owned());
    Ok(())
}

async fn check(client: &Client, promised: &Promised) {
    let request = ListContainersRequest::default();
    let containers = client.containers().list(client.request(request)).await.expect("list").into_inner();
    let found: BTreeSet<String> = containers.containers.into_iter().map(|container| container.id).collect();
    assert!(promised.containers.is_subset(&found), "{:?}", promised.containers.difference(&found));
    let mut snapshots = SnapshotsClient::new(client.channel());
    for key in &promised.snapshots {
        let request = StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.clone() };
        snapshots.stat(client.request(request)).await.expect("the snapshot is there");
    }
    let mut content = ContentClient::new(client.channel());
    for digest in &promised.blobs {
        content
            .info(client.request(InfoRequest { digest: digest.clone() }))
            .await
            .expect("the blob is there");
    }
}

#[test]
fn what_was_answered_survives_and_the_rest_is_collected() {
    let mut supervisor = Supervisor::start();
    let promised = Arc::new(Mutex::new(Promised::default()));
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let request = CreateRequest { id: "keeper".to_owned(), ..CreateRequest::default() };
        LeasesClient::new(client.channel()).create(client.request(request)).await.expect("lease");
    });
    for round in 0..ROUNDS {
        block_on(async {
            let client = Client::connect(&supervisor.socket()).await;
            let mut clients = tokio::task::JoinSet::new();
            for number in 0..CLIENTS {
                clients.spawn(work(client.clone(), format!("r{round}c{number}"), promised.clone()));
            }
            tokio::time::sleep(std::time::Duration::from_millis(150 + 137 * round as u64)).await;
            while promised.lock().expect("lock").blobs.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            supervisor.kill();
            for ended in clients.join_all().await {
                let error = ended.expect_err("the supervisor died under it");
                assert!(
                    matches!(error.code(), Code::Unavailable | Code::Unknown | Code::Cancelled),
                    "{error}"
                );
            }
        });
        supervisor.launch();
        block_on(async {
            let client = Client::connect(&supervisor.socket()).await;
            let promised = promised.lock().expect("lock").clone();
            assert!(!promised.blobs.is_empty());
            check(&client, &promised).await;
        });
    }
    block_on(empty(&supervisor));
    let root = supervisor.host().path("root");
    let blobs = root.join("io.containerd.content.v1.content/blobs/sha256");
    assert_eq!(std::fs::read_dir(blobs).expect("list").count(), 0);
    let ingests = root.join("io.containerd.content.v1.content/ingest");
    assert_eq!(std::fs::read_dir(ingests).expect("list").count(), 0);
    let directories = root.join("io.containerd.snapshotter.v1.overlayfs/snapshots");
    dhow_integration_tests::process::eventually("the directories are deleted", || {
        std::fs::read_dir(&directories).expect("list").count() == 0
    });
}

/// Deletes the containers and the lease, and waits for the collection.
async fn empty(supervisor: &Supervisor) {
    let client = Client::connect(&supervisor.socket()).await;
    let request = client.request(ListContainersRequest::default());
    let list = client.containers().list(request).await.expect("list").into_inner();
    for container in list.containers {
        let request = DeleteContainerRequest { id: container.id };
        client.containers().delete(client.request(request)).await.expect("delete");
    }
    let request = DeleteRequest { id: "keeper".to_owned(), sync: true };
    LeasesClient::new(client.channel()).delete(client.request(request)).await.expect("delete the lease");
    let mut snapshots = SnapshotsClient::new(client.channel());
    let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: "r0c0-0".to_owned() };
    let gone = snapshots.remove(client.request(request)).await.expect_err("collected");
    assert_eq!(gone.code(), Code::NotFound);
}
