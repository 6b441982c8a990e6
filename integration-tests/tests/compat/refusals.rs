//! What the services refuse, and in which words: the same calls to our supervisor and to a stock containerd.

use std::collections::HashMap;
use std::future::Future;

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::peers::{Containerd, Release};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::any;
use dhow_proto::containerd::services::containers::v1 as containers;
use dhow_proto::containerd::services::content::v1::{self as content, content_client::ContentClient};
use dhow_proto::containerd::services::images::v1::{self as images, images_client::ImagesClient};
use dhow_proto::containerd::services::leases::v1::{self as leases, leases_client::LeasesClient};
use dhow_proto::containerd::services::namespaces::v1::{
    self as namespaces, namespaces_client::NamespacesClient,
};
use dhow_proto::containerd::services::snapshots::v1::{self as snapshots, snapshots_client::SnapshotsClient};
use dhow_proto::containerd::services::tasks::v1 as tasks;
use dhow_proto::containerd::types::Descriptor;
use prost_types::FieldMask;
use sha2::{Digest, Sha256};
use tonic::{Code, Response, Status};

const BLOB: &[u8] = b"a blob of some bytes";

/// How each call ended, by a name for it.
struct Table {
    client: Client,
    rows: Vec<(String, Code, String)>,
}

impl Table {
    fn note(&mut self, name: &str, answer: Result<(), Status>) {
        let (code, text) = match answer {
            Ok(()) => (Code::Ok, String::new()),
            Err(status) => (status.code(), status.message().to_owned()),
        };
        self.rows.push((name.to_owned(), code, text));
    }

    async fn call<T>(&mut self, name: &str, call: impl Future<Output = Result<Response<T>, Status>>) {
        let answer = call.await.map(drop);
        self.note(name, answer);
    }
}

/// `table`, the name of a row, and the call; several requests to one method.
macro_rules! rows {
    ($table:ident, $client:expr, $method:ident: $($name:expr => $request:expr),+ $(,)?) => {
        $({
            let mut client = $client;
            let request = $table.client.request($request);
            $table.call(&format!("{} {}", stringify!($method), $name), client.$method(request)).await;
        })+
    };
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// One label of `size` bytes, its key counted.
fn label(size: usize) -> HashMap<String, String> {
    // What nobody refers to is the garbage collector's, also in the middle of a table.
    let kept = ("containerd.io/gc.root".to_owned(), "now".to_owned());
    HashMap::from([("key".to_owned(), "x".repeat(size - 3)), kept])
}

/// One whose key alone is too long.
fn long_key() -> HashMap<String, String> {
    HashMap::from([("k".repeat(4097), String::new())])
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() })
}

/// Names that are no identifiers.
fn bad_names() -> [String; 5] {
    [String::new(), "a/b".to_owned(), ".a".to_owned(), "a..b".to_owned(), "a".repeat(77)]
}

async fn containers(table: &mut Table) {
    let service = table.client.containers();
    let good = containers::Container {
        id: "one".to_owned(),
        runtime: Some(containers::container::Runtime {
            name: "io.containerd.runc.v2".to_owned(),
            options: None,
        }),
        spec: Some(any::pack_json(any::SPEC_URL, b"{}".to_vec())),
        labels: label(4096),
        ..containers::Container::default()
    };
    let create = |change: &dyn Fn(&mut containers::Container)| {
        let mut container = good.clone();
        change(&mut container);
        containers::CreateContainerRequest { container: Some(container) }
    };
    let update = |paths: &[&str], change: &dyn Fn(&mut containers::Container)| {
        let container = create(change).container;
        containers::UpdateContainerRequest { container, update_mask: mask(paths) }
    };
    for id in bad_names() {
        rows!(table, service.clone(), create: format!("container {id:?}") => create(&|new| new.id.clone_from(&id)));
    }
    rows!(table, service.clone(), create:
        "container, long label" => create(&|new| new.labels = label(4097)),
        "container, long key" => create(&|new| new.labels = long_key()),
        "container without runtime" => create(&|new| new.runtime = None),
        "container without spec" => create(&|new| (new.id, new.spec) = ("specless".to_owned(), None)),
        "container, key without snapshotter" => create(&|new| new.snapshot_key = "key".to_owned()),
        "container, nameless extension" =>
            create(&|new| drop(new.extensions.insert(String::new(), prost_types::Any::default()))),
        "container" => create(&|_| {}),
        "container again" => create(&|_| {}),
    );
    rows!(table, service.clone(), update:
        "container without id" => update(&["labels"], &|new| new.id.clear()),
        "container, absent" => update(&["labels"], &|new| new.id = "absent".to_owned()),
        "container, long label" => update(&["labels"], &|new| new.labels = label(4097)),
        "container, long label by name" => update(&["labels.key"], &|new| new.labels = label(4097)),
        "container, unknown field" => update(&["id"], &|_| {}),
        "container, other snapshotter" => update(&[], &|new| new.snapshotter = "native".to_owned()),
        "container, other runtime" =>
            update(&[], &|new| new.runtime = Some(containers::container::Runtime { name: "x".to_owned(), options: None })),
    );
    rows!(table, service.clone(), get: "container" => containers::GetContainerRequest { id: "absent".to_owned() });
    rows!(table, service.clone(), list:
        "containers, bad filter" => containers::ListContainersRequest { filters: vec!["id==".to_owned()] });
    rows!(table, service.clone(), delete: "container" => containers::DeleteContainerRequest { id: "absent".to_owned() });
}

async fn tasks(table: &mut Table) {
    let service = table.client.tasks();
    let (one, absent) = (|| "one".to_owned(), || "absent".to_owned());
    rows!(table, service.clone(), get:
        "task" => tasks::GetRequest { container_id: one(), ..Default::default() },
        "task of nothing" => tasks::GetRequest { container_id: absent(), ..Default::default() });
    rows!(table, service.clone(), start: "task" => tasks::StartRequest { container_id: one(), ..Default::default() });
    rows!(table, service.clone(), kill: "task" => tasks::KillRequest { container_id: one(), ..Default::default() });
    rows!(table, service.clone(), delete: "task" => tasks::DeleteTaskRequest { container_id: one() });
    rows!(table, service.clone(), wait: "task" => tasks::WaitRequest { container_id: one(), ..Default::default() });
    rows!(table, service.clone(), pause: "task" => tasks::PauseTaskRequest { container_id: one() });
    rows!(table, service.clone(), create:
        "task of nothing" => tasks::CreateTaskRequest { container_id: absent(), ..Default::default() });
    rows!(table, service.clone(), exec:
        "without id" => tasks::ExecProcessRequest { container_id: one(), ..Default::default() },
        "in no task" =>
            tasks::ExecProcessRequest { container_id: one(), exec_id: "e".to_owned(), ..Default::default() });
}

async fn images(table: &mut Table) {
    let service = ImagesClient::new(table.client.channel());
    let target = Descriptor {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        digest: digest(BLOB),
        size: 20,
        ..Descriptor::default()
    };
    let good = images::Image {
        name: "image".to_owned(),
        labels: label(4096),
        target: Some(target),
        ..images::Image::default()
    };
    let image = |change: &dyn Fn(&mut images::Image)| {
        let mut image = good.clone();
        change(&mut image);
        Some(image)
    };
    let create = |change: &dyn Fn(&mut images::Image)| images::CreateImageRequest {
        image: image(change),
        ..Default::default()
    };
    let update = |paths: &[&str], change: &dyn Fn(&mut images::Image)| images::UpdateImageRequest {
        image: image(change),
        update_mask: mask(paths),
        ..Default::default()
    };
    let change =
        |change: fn(&mut Descriptor)| move |new: &mut images::Image| new.target.as_mut().map_or((), change);
    rows!(table, service.clone(), create:
        "image without name" => create(&|new| new.name.clear()),
        "image, long label" => create(&|new| new.labels = label(4097)),
        "image, long key" => create(&|new| new.labels = long_key()),
        "image without digest" => create(&change(|target| target.digest.clear())),
        "image, bad digest" => create(&change(|target| target.digest = "sha256:1".to_owned())),
        "image without size" => create(&change(|target| target.size = 0)),
        "image without media type" => create(&change(|target| target.media_type.clear())),
        "image" => create(&|_| {}),
        "image again" => create(&|_| {}),
    );
    rows!(table, service.clone(), update:
        "image without name" => update(&["labels"], &|new| new.name.clear()),
        "image, absent" => update(&["labels"], &|new| new.name = "absent".to_owned()),
        "image, long label" => update(&["labels"], &|new| new.labels = label(4097)),
        "image, unknown field" => update(&["name"], &|_| {}),
    );
    let absent = || "absent".to_owned();
    rows!(table, service.clone(), get: "image" => images::GetImageRequest { name: absent() });
    rows!(table, service.clone(), list: "images, bad filter" => images::ListImagesRequest { filters: vec!["a==".to_owned()] });
    rows!(table, service.clone(), delete:
        "image" => images::DeleteImageRequest { name: absent(), ..Default::default() });
}

/// Sends one ingest, and reads all answers.
async fn ingest(table: &mut Table, name: &str, message: content::WriteContentRequest) {
    let mut service = ContentClient::new(table.client.channel());
    let request = table.client.request(tokio_stream::iter([message]));
    let answer = async {
        let mut answers = service.write(request).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    };
    let answer = answer.await;
    table.note(&format!("write {name}"), answer);
}

async fn content(table: &mut Table) {
    let service = ContentClient::new(table.client.channel());
    let (absent, blob) = (digest(b"absent"), digest(BLOB));
    let commit = |reference: &str| content::WriteContentRequest {
        action: content::WriteAction::Commit.into(),
        r#ref: reference.to_owned(),
        expected: blob.clone(),
        data: BLOB.to_vec(),
        labels: label(9),
        ..content::WriteContentRequest::default()
    };
    ingest(table, "without reference", commit("")).await;
    ingest(table, "wrong digest", content::WriteContentRequest { expected: absent.clone(), ..commit("a") })
        .await;
    ingest(table, "wrong size", content::WriteContentRequest { total: 3, ..commit("b") }).await;
    ingest(table, "bad digest", content::WriteContentRequest { expected: "x".to_owned(), ..commit("c") })
        .await;
    ingest(table, "wrong offset", content::WriteContentRequest { offset: 9, ..commit("d") }).await;
    ingest(table, "long label", content::WriteContentRequest { labels: label(4097), ..commit("e") }).await;
    ingest(table, "blob", commit("f")).await;
    ingest(table, "blob again", commit("g")).await;
    let update = |digest: &str, size: usize, paths: &[&str]| content::UpdateRequest {
        info: Some(content::Info { digest: digest.to_owned(), labels: label(size), ..Default::default() }),
        update_mask: mask(paths),
    };
    rows!(table, service.clone(), update:
        "content, absent" => update(&absent, 9, &["labels"]),
        "content, bad digest" => update("x", 9, &["labels"]),
        "content, long label" => update(&blob, 4097, &["labels"]),
        "content, long label by name" => update(&blob, 4097, &["labels.key"]),
        "content, unknown field" => update(&blob, 9, &["size"]),
        "content" => update(&blob, 4096, &["labels"]),
    );
    for (name, digest) in [("absent", absent), ("bad digest", "x".to_owned()), ("no digest", String::new())] {
        rows!(table, service.clone(), info: format!("content, {name}") => content::InfoRequest { digest: digest.clone() });
        rows!(table, service.clone(), delete:
            format!("content, {name}") => content::DeleteContentRequest { digest: digest.clone() });
        let request = table.client.request(content::ReadContentRequest { digest, ..Default::default() });
        let read = async {
            let mut parts = service.clone().read(request).await?.into_inner();
            while parts.message().await?.is_some() {}
            Ok(())
        };
        let read = read.await;
        table.note(&format!("read content, {name}"), read);
    }
    rows!(table, service.clone(), status: "ingest" => content::StatusRequest { r#ref: "absent".to_owned() });
    rows!(table, service.clone(), abort: "ingest" => content::AbortRequest { r#ref: "absent".to_owned() });
}

async fn snapshots(table: &mut Table) {
    let service = SnapshotsClient::new(table.client.channel());
    let prepare = |key: &str, parent: &str, size: usize| snapshots::PrepareSnapshotRequest {
        snapshotter: "overlayfs".to_owned(),
        key: key.to_owned(),
        parent: parent.to_owned(),
        labels: label(size),
    };
    let commit = |name: &str, key: &str, size: usize| snapshots::CommitSnapshotRequest {
        snapshotter: "overlayfs".to_owned(),
        name: name.to_owned(),
        key: key.to_owned(),
        labels: label(size),
        ..Default::default()
    };
    let (overlay, absent) = (|| "overlayfs".to_owned(), || "absent".to_owned());
    rows!(table, service.clone(), prepare:
        "without snapshotter" => snapshots::PrepareSnapshotRequest { snapshotter: String::new(), ..prepare("a", "", 9) },
        "unknown snapshotter" => snapshots::PrepareSnapshotRequest { snapshotter: absent(), ..prepare("a", "", 9) },
        "absent parent" => prepare("a", "absent", 9),
        "long label" => prepare("a", "", 4097),
        "active" => prepare("active", "", 4096),
        "active again" => prepare("active", "", 9),
        "on an active one" => prepare("a", "active", 9),
        "other" => prepare("other", "", 9),
    );
    rows!(table, service.clone(), commit:
        "absent" => commit("layer", "absent", 9),
        "long label" => commit("layer", "active", 4097),
        "active" => commit("layer", "active", 4096),
        "a taken name" => commit("layer", "other", 9),
        "committed" => commit("next", "layer", 9),
    );
    rows!(table, service.clone(), prepare: "child" => prepare("child", "layer", 9));
    let update = |name: &str, size: usize, paths: &[&str]| snapshots::UpdateSnapshotRequest {
        snapshotter: overlay(),
        info: Some(snapshots::Info { name: name.to_owned(), labels: label(size), ..Default::default() }),
        update_mask: mask(paths),
    };
    rows!(table, service.clone(), update:
        "snapshot, absent" => update("absent", 9, &["labels"]),
        "snapshot without name" => update("", 9, &["labels"]),
        "snapshot, long label" => update("layer", 4097, &["labels"]),
        "snapshot, unknown field" => update("layer", 9, &["kind"]),
    );
    rows!(table, service.clone(), stat: "snapshot" => snapshots::StatSnapshotRequest { snapshotter: overlay(), key: absent() });
    rows!(table, service.clone(), usage: "snapshot" => snapshots::UsageRequest { snapshotter: overlay(), key: absent() });
    rows!(table, service.clone(), mounts:
        "absent" => snapshots::MountsRequest { snapshotter: overlay(), key: absent() },
        "of a layer" => snapshots::MountsRequest { snapshotter: overlay(), key: "layer".to_owned() });
    rows!(table, service.clone(), remove:
        "snapshot" => snapshots::RemoveSnapshotRequest { snapshotter: overlay(), key: absent() },
        "parent" => snapshots::RemoveSnapshotRequest { snapshotter: overlay(), key: "layer".to_owned() });
    for key in ["child", "layer", "other"] {
        rows!(table, service.clone(), remove:
            key => snapshots::RemoveSnapshotRequest { snapshotter: overlay(), key: key.to_owned() });
    }
}

async fn leases(table: &mut Table) {
    let service = LeasesClient::new(table.client.channel());
    let create = |id: &str, size: usize| leases::CreateRequest { id: id.to_owned(), labels: label(size) };
    let (absent, keeper) = (|| "absent".to_owned(), || "keeper".to_owned());
    let resource =
        |kind: &str, id: &str| Some(leases::Resource { id: id.to_owned(), r#type: kind.to_owned() });
    let add = |id: String, resource| leases::AddResourceRequest { id, resource };
    rows!(table, service.clone(), create:
        "lease, long label" => create("long", 4097),
        "lease" => create("keeper", 4096),
        "lease again" => create("keeper", 9),
    );
    rows!(table, service.clone(), add_resource:
        "to no lease" => add(absent(), resource("content", &digest(BLOB))),
        "of no type" => add(keeper(), resource("", "x")),
        "of unknown type" => add(keeper(), resource("thing", "x")),
        "of unknown type, nested" => add(keeper(), resource("content/x", "x")),
        "snapshot of nothing" => add(keeper(), resource("snapshots", "x")),
        "bad content" => add(keeper(), resource("content", "x")),
    );
    rows!(table, service.clone(), delete_resource:
        "of no lease" => leases::DeleteResourceRequest { id: absent(), resource: resource("content", &digest(BLOB)) },
        "absent" => leases::DeleteResourceRequest { id: keeper(), resource: resource("content", &digest(b"absent")) });
    rows!(table, service.clone(), list_resources: "of no lease" => leases::ListResourcesRequest { id: absent() });
    rows!(table, service.clone(), delete: "lease" => leases::DeleteRequest { id: absent(), sync: false });
}

async fn namespaces(table: &mut Table) {
    let service = NamespacesClient::new(table.client.channel());
    let create = |name: &str, labels| namespaces::CreateNamespaceRequest {
        namespace: Some(namespaces::Namespace { name: name.to_owned(), labels }),
    };
    let update = |name: &str, labels, paths: &[&str]| namespaces::UpdateNamespaceRequest {
        namespace: Some(namespaces::Namespace { name: name.to_owned(), labels }),
        update_mask: mask(paths),
    };
    for name in bad_names() {
        rows!(table, service.clone(), create: format!("namespace {name:?}") => create(&name, label(9)));
    }
    rows!(table, service.clone(), create:
        "namespace, long label" => create("space", label(4097)),
        "namespace, long key" => create("space", long_key()),
        "namespace" => create("space", label(4096)),
        "namespace again" => create("space", label(9)),
    );
    rows!(table, service.clone(), update:
        "namespace, long label" => update("space", label(4097), &["labels"]),
        "namespace, unknown field" => update("space", label(9), &["name"]),
    );
    let absent = || "absent".to_owned();
    rows!(table, service.clone(), get: "namespace" => namespaces::GetNamespaceRequest { name: absent() });
    rows!(table, service.clone(), delete: "namespace" => namespaces::DeleteNamespaceRequest { name: absent() });
}

async fn table(client: Client) -> Vec<(String, Code, String)> {
    let mut table = Table { client, rows: Vec::new() };
    namespaces(&mut table).await;
    containers(&mut table).await;
    tasks(&mut table).await;
    images(&mut table).await;
    leases(&mut table).await;
    // What nothing refers to and no lease holds may be collected at any time.
    let held = leases::CreateRequest { id: "held".to_owned(), ..leases::CreateRequest::default() };
    rows!(table, LeasesClient::new(table.client.channel()), create: "lease that holds the rest" => held);
    table.client = table.client.under("held");
    content(&mut table).await;
    snapshots(&mut table).await;
    table.rows
}

/// Where we answer otherwise on purpose, and how.
const OURS: [(&str, Code); 4] = [
    // As of every other record.
    ("create lease, long label", Code::InvalidArgument),
    // Before anything is written, not at the end.
    ("write bad digest", Code::InvalidArgument),
    // Some releases take it, and cannot run it.
    ("create container without spec", Code::InvalidArgument),
    // It may name all labels at once as well, as everywhere else.
    ("update namespace, long label", Code::InvalidArgument),
];

/// Whose words differ between releases of containerd, or say more of where than of what.
const REWORDED: [&str; 6] = [
    "commit committed",
    "update namespace, unknown field",
    "update snapshot without name",
    "status ingest",
    "create image without digest",
    "mounts of a layer",
];

/// A message without what may differ: the words for its kind at the end, which clients put there again, how
/// containerd's snapshotter names things, and how long exactly a label is.
fn essence(text: &str) -> String {
    let mut text = text.replace(" length (4097 bytes)", "").to_lowercase();
    // Of a long key, more or less of it.
    text = text.replace(&"k".repeat(64), &"k".repeat(10));
    for number in 0..20 {
        text = text.replace(&format!("tests/{number}/"), "");
    }
    for words in [": invalid argument", ": not found", ": already exists", ": failed precondition"] {
        while let Some(rest) = text.strip_suffix(words) {
            text.truncate(rest.len());
        }
    }
    text
}

fn compare(containerd: &Containerd) {
    let supervisor = Supervisor::start();
    let (ours, theirs) = block_on(async {
        let (ours, theirs) = (supervisor.socket(), containerd.socket());
        (table(Client::connect(&ours).await).await, table(Client::connect(&theirs).await).await)
    });
    assert_eq!(ours.len(), theirs.len());
    let mut differ = Vec::new();
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        let same = match OURS.iter().find(|(name, _)| *name == ours.0) {
            Some((_, code)) => *code == ours.1,
            None if REWORDED.contains(&ours.0.as_str()) => ours.1 == theirs.1,
            None => ours.1 == theirs.1 && essence(&ours.2) == essence(&theirs.2),
        };
        if !same {
            differ.push((ours, theirs));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

#[test]
fn codes_and_words_are_containerds() {
    compare(&Containerd::start());
}

#[test]
fn codes_and_words_are_those_of_a_newer_containerd() {
    if let Some(release) = Release::newer() {
        compare(&Containerd::start_release(release));
    }
}
