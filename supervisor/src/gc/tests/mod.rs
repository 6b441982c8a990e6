//! Collections over a real store: what keeps what, what is young, and writers beside the sweep.

mod random;
mod wanted;

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::collector::Reach;
use super::label::EXPIRE;
use super::{Collector, Node, Trigger};
use crate::container::{CONTAINERS, Container};
use crate::content::{self, BLOBS, Blob, HOLDERS};
use crate::event::Exchange;
use crate::image::{IMAGES, Image};
use crate::label::Labels;
use crate::lease::{LEASED, LEASES, Lease};
use crate::metadata::{self, Durability, StoreError, Transaction, View};
use crate::mount::Manager;
use crate::snapshot::{CHILDREN, Kind, Record, SNAPSHOTS, Snapshotters};

struct World {
    metadata: metadata::Store,
    collector: Collector,
    _folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let root = folder.path();
        let metadata =
            metadata::Store::open(&root.join("metadata.redb"), &root.join("journal")).expect("store");
        let (events, (trigger, _)) = (Exchange::default(), Trigger::new());
        let content =
            content::Store::open(root, metadata.clone(), events.clone(), trigger.clone()).expect("content");
        let snapshotters = Snapshotters::open(root, &metadata, &events, &trigger).expect("snapshots");
        let mounts = Manager::open(root, root, metadata.clone(), trigger).expect("mounts");
        let collector = Collector::new(metadata.clone(), content, snapshotters, mounts, events);
        Self { metadata, collector, _folder: folder }
    }

    async fn write(&self, work: impl FnMut(&mut Transaction<'_>) -> Result<(), StoreError> + Send + 'static) {
        self.metadata.write(Durability::Process, work).await.expect("write");
    }

    fn nodes(&self) -> BTreeSet<String> {
        let view = self.metadata.read().expect("read");
        let mut nodes = BTreeSet::new();
        view.scan(b"", &mut |key, _| {
            // What a lease holds is no object by itself.
            if !key.starts_with(b"leased\0") {
                nodes.extend(Node::at(key).map(|node| node.to_string()));
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .expect("scan");
        nodes
    }
}

fn digest(name: u8) -> String {
    format!("sha256:{name:064x}")
}

fn labels<const N: usize>(labels: [(&str, String); N]) -> Labels {
    labels.map(|(name, value)| (name.to_owned(), value)).into()
}

fn put_blob(
    transaction: &mut Transaction<'_>,
    namespace: &str,
    digest: &str,
    labels: Labels,
) -> Result<(), StoreError> {
    let blob = Blob { digest: digest.to_owned(), size: 1, labels, ..Blob::default() };
    HOLDERS.put(transaction, &[digest, namespace], &())?;
    BLOBS.put(transaction, &[namespace, digest], &blob)
}

fn put_snapshot(
    transaction: &mut Transaction<'_>,
    key: &str,
    parent: &str,
    labels: Labels,
) -> Result<(), StoreError> {
    let (key, parent) = (key.to_owned(), parent.to_owned());
    let record = Record { key, parent, kind: Kind::Committed.into(), labels, ..Record::default() };
    if !record.parent.is_empty() {
        CHILDREN.put(transaction, &["n", "overlayfs", &record.parent, &record.key], &())?;
    }
    SNAPSHOTS.put(transaction, &["n", "overlayfs", &record.key], &record)
}

fn put_image(
    transaction: &mut Transaction<'_>,
    namespace: &str,
    name: &str,
    digest: &str,
    labels: Labels,
) -> Result<(), StoreError> {
    let digest = digest.to_owned();
    let target = Some(dhow_proto::containerd::types::Descriptor { digest, ..Default::default() });
    let image = Image { name: name.to_owned(), target, labels, ..Image::default() };
    IMAGES.put(transaction, &[namespace, name], &image)
}

#[tokio::test]
async fn images_containers_leases_and_labels_keep_what_they_name() {
    let world = World::new();
    world
        .write(|transaction| {
            let content = |digest: String| labels([("containerd.io/gc.ref.content.0", digest)]);
            put_image(transaction, "n", "image", &digest(1), Labels::new())?;
            put_blob(transaction, "n", &digest(1), content(digest(2)))?;
            let unpacked = labels([("containerd.io/gc.ref.snapshot.overlayfs", "top".to_owned())]);
            put_blob(transaction, "n", &digest(2), unpacked)?;
            put_snapshot(transaction, "base", "", Labels::new())?;
            put_snapshot(transaction, "top", "base", Labels::new())?;
            put_snapshot(transaction, "lost-base", "", Labels::new())?;
            put_snapshot(transaction, "lost-top", "lost-base", Labels::new())?;
            put_snapshot(transaction, "root", "", labels([("containerd.io/gc.root", "now".to_owned())]))?;
            put_snapshot(transaction, "upper", "", Labels::new())?;
            let container = Container {
                id: "c".to_owned(),
                snapshotter: "overlayfs".to_owned(),
                snapshot_key: "upper".to_owned(),
                ..Container::default()
            };
            CONTAINERS.put(transaction, &["n", "c"], &container)?;
            put_blob(transaction, "n", &digest(3), Labels::new())?;
            // 4 is held by a flat lease: what its label names is not.
            put_blob(transaction, "n", &digest(4), content(digest(5)))?;
            put_blob(transaction, "n", &digest(5), Labels::new())?;
            let flat = labels([("containerd.io/gc.flat", "yes".to_owned())]);
            LEASES.put(
                transaction,
                &["n", "flat"],
                &Lease { id: "flat".to_owned(), labels: flat, ..Lease::default() },
            )?;
            LEASED.put(transaction, &["n", "flat", "content", &digest(4)], &())?;
            // 6 was held by a lease that has expired.
            put_blob(transaction, "n", &digest(6), Labels::new())?;
            let old = labels([(EXPIRE, "2001-01-01T00:00:00Z".to_owned())]);
            LEASES.put(
                transaction,
                &["n", "old"],
                &Lease { id: "old".to_owned(), labels: old.clone(), ..Lease::default() },
            )?;
            LEASED.put(transaction, &["n", "old", "content", &digest(6)], &())?;
            // 7 needs nothing, but says that the image needs it.
            put_blob(
                transaction,
                "n",
                &digest(7),
                labels([("containerd.io/gc.bref.image", "image".to_owned())]),
            )?;
            put_image(transaction, "n", "expired", &digest(3), old)
        })
        .await;
    world.collector.collect(Reach::All).await.expect("collect");
    let expected = [
        "container n/c".to_owned(),
        format!("content n/{}", digest(1)),
        format!("content n/{}", digest(2)),
        format!("content n/{}", digest(4)),
        format!("content n/{}", digest(7)),
        "image n/image".to_owned(),
        "lease n/flat".to_owned(),
        "snapshot n/overlayfs/base".to_owned(),
        "snapshot n/overlayfs/root".to_owned(),
        "snapshot n/overlayfs/top".to_owned(),
        "snapshot n/overlayfs/upper".to_owned(),
    ];
    assert_eq!(world.nodes(), BTreeSet::from(expected));
    let base = Node::at(&metadata::key::encode(&["snapshot", "n", "overlayfs", "base"])).expect("a node");
    let way: Vec<String> =
        world.collector.why(&base).expect("why").expect("kept").iter().map(Node::to_string).collect();
    assert_eq!(way.first().map(String::as_str), Some("image n/image"));
    assert_eq!(way.len(), 5, "{way:?}");
    let mut deleted = Vec::new();
    super::COLLECTED
        .each(&world.metadata.read().expect("read"), &[], |_, collected| {
            deleted.extend(collected.nodes);
            Ok(())
        })
        .expect("history");
    assert!(deleted.contains(&"snapshot n/overlayfs/lost-top".to_owned()), "{deleted:?}");
    assert_eq!(deleted.len(), 7, "{deleted:?}");
}

#[tokio::test]
async fn what_is_young_waits_unless_a_client_does() {
    let world = World::new();
    world
        .write(|transaction| {
            let now = Some(std::time::SystemTime::now().into());
            let labels = labels([("containerd.io/gc.ref.content", digest(2))]);
            let blob = Blob { digest: digest(1), labels, updated_at: now, ..Blob::default() };
            BLOBS.put(transaction, &["n", &blob.digest], &blob)?;
            put_blob(transaction, "n", &digest(2), Labels::new())?;
            put_blob(transaction, "n", &digest(3), Labels::new())
        })
        .await;
    let next = world.collector.collect(Reach::Old).await.expect("collect").expect("there will be more");
    assert!(next > std::time::SystemTime::now());
    assert_eq!(blobs(&world.metadata.read().expect("read")), BTreeSet::from([digest(1), digest(2)]));
    world.collector.collect(Reach::All).await.expect("collect");
    assert!(blobs(&world.metadata.read().expect("read")).is_empty());
}

fn blobs(view: &impl View) -> BTreeSet<String> {
    BLOBS.list(view, &[], |_| true).expect("blobs").into_iter().map(|blob| blob.digest).collect()
}

/// The collector removes in a transaction of its own whatever was unmarked before; what a client made reachable
/// again between the mark and the sweep must stay. Here the client acts at exactly that moment.
#[tokio::test]
async fn what_is_referred_to_again_during_a_collection_stays() {
    let world = World::new();
    world
        .write(|transaction| {
            put_blob(transaction, "n", &digest(1), labels([("containerd.io/gc.ref.content", digest(2))]))?;
            put_blob(transaction, "n", &digest(2), Labels::new())?;
            put_blob(transaction, "n", &digest(3), Labels::new())?;
            put_image(transaction, "n", "kept", &digest(4), Labels::new())?;
            put_blob(transaction, "n", &digest(4), Labels::new())
        })
        .await;
    let marked = world.collector.mark(Reach::All).await.expect("mark");
    world
        .write(|transaction| {
            // A new root reaches 1 and through it 2; an old, marked blob now refers to 3.
            put_image(transaction, "n", "new", &digest(1), Labels::new())?;
            put_blob(transaction, "n", &digest(4), labels([("containerd.io/gc.ref.content", digest(3))]))
        })
        .await;
    world.collector.sweep(marked).await.expect("sweep");
    let view = world.metadata.read().expect("read");
    assert_eq!(blobs(&view), BTreeSet::from([digest(1), digest(2), digest(3), digest(4)]));
}
