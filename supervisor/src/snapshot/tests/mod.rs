//! Snapshots on real mounts: the conformance suite ([`conformance`]), and what only some drivers do.

mod conformance;
mod subject;

use std::path::{Path, PathBuf};

use dhow_proto::containerd::types::Mount;
use dhow_proto::error::Kind as Failure;
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use super::{Kind, Publication, Snapshotters, Staging};
use crate::content::Digest;
use crate::event::{Exchange, Subscription};
use crate::fault::Fault;
use crate::gc::Trigger;
use crate::label::Labels;
use crate::metadata;
use crate::namespace::{Namespace, Scope};

struct World {
    snapshotters: Snapshotters,
    metadata: metadata::Store,
    events: Subscription,
    folder: TempDir,
}

fn open(folder: TempDir) -> World {
    let root = folder.path();
    let metadata = loop {
        // Background work of an earlier store may hold it for a moment.
        match metadata::Store::open(&root.join("metadata.redb"), &root.join("journal")) {
            Ok(metadata) => break metadata,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    let (events, (trigger, _)) = (Exchange::default(), Trigger::new());
    let snapshotters = Snapshotters::open(root, &metadata, &events, &trigger).expect("snapshots");
    World { snapshotters, metadata, events: events.subscribe(&[]).expect("subscribe"), folder }
}

fn world() -> World {
    open(tempfile::tempdir().expect("temporary folder"))
}

fn scope() -> Scope {
    Scope::from("here".parse::<Namespace>().expect("a name"))
}

/// Mounts are a matter of root; the rest of the suite is not.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A mounted snapshot; dropping it unmounts it.
struct Mounted(TempDir);

impl Mounted {
    fn new(mounts: &[Mount]) -> Self {
        let target = tempfile::tempdir().expect("temporary folder");
        for Mount { r#type, source, options, .. } in mounts {
            dhow_linux::fstab::mount(r#type, source, options, target.path()).expect("mount");
        }
        Self(target)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.path(), UnmountFlags::DETACH).expect("unmount");
    }
}

fn write(path: PathBuf, text: &str) {
    std::fs::write(path, text).expect("write");
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).expect("read")
}

#[tokio::test]
async fn every_driver_answers_misuse_as_containerd_does() {
    let world = world();
    for snapshots in world.snapshotters.all() {
        let (here, none) = (scope(), Labels::new);
        snapshots.prepare(&here, "key", "", none()).await.expect("prepare");
        let refusals = [
            (snapshots.prepare(&here, "key", "", none()).await.map(drop), Failure::AlreadyExists),
            (snapshots.prepare(&here, "", "", none()).await.map(drop), Failure::InvalidArgument),
            (snapshots.prepare(&here, "x", "absent", none()).await.map(drop), Failure::NotFound),
            (snapshots.prepare(&here, "x", "key", none()).await.map(drop), Failure::InvalidArgument),
            (snapshots.view(&here, "x", "absent", none()).await.map(drop), Failure::NotFound),
            (snapshots.commit(&here, "name", "absent", "", none()).await, Failure::NotFound),
            (snapshots.mounts(&here.namespace, "absent").map(drop), Failure::NotFound),
            (snapshots.stat(&here.namespace, "absent").map(drop), Failure::NotFound),
            (snapshots.usage(&here.namespace, "absent").await.map(drop), Failure::NotFound),
            (snapshots.remove(&here, "absent").await, Failure::NotFound),
        ];
        for (index, (outcome, kind)) in refusals.into_iter().enumerate() {
            let error = outcome.expect_err("refused");
            assert_eq!(error.kind(), kind, "{} {index}: {error}", snapshots.name());
        }
        snapshots.commit(&here, "name", "key", "", none()).await.expect("commit");
        snapshots.prepare(&here, "child", "name", none()).await.expect("prepare");
        let view = snapshots.view(&here, "view", "name", none()).await;
        view.expect("view");
        let refusals = [
            (snapshots.commit(&here, "again", "view", "", none()).await, Failure::FailedPrecondition),
            (snapshots.commit(&here, "name", "child", "", none()).await, Failure::AlreadyExists),
            (snapshots.mounts(&here.namespace, "name").map(drop), Failure::FailedPrecondition),
            (snapshots.remove(&here, "name").await, Failure::FailedPrecondition),
            (snapshots.commit(&here, "other", "child", "else", none()).await, Failure::InvalidArgument),
        ];
        for (index, (outcome, kind)) in refusals.into_iter().enumerate() {
            let error = outcome.expect_err("refused");
            assert_eq!(error.kind(), kind, "{} {index}: {error}", snapshots.name());
        }
        let target = Labels::from([(super::TARGET.to_owned(), "name".to_owned())]);
        let error = snapshots.prepare(&here, "y", "", target).await.expect_err("the target exists");
        assert_eq!(error.to_string(), "target snapshot \"name\"");
    }
    let error = world.snapshotters.named("zfs").expect_err("unknown");
    assert_eq!(error.to_string(), "snapshotter not loaded: zfs");
}

#[tokio::test]
async fn labels_change_by_mask_and_filters_find_them() {
    let world = world();
    let snapshots = world.snapshotters.named("overlayfs").expect("overlayfs");
    let here = scope();
    let labels = Labels::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    snapshots.prepare(&here, "key", "", labels).await.expect("prepare");
    snapshots.prepare(&here, "other", "", Labels::new()).await.expect("prepare");
    let mut record = snapshots.stat(&here.namespace, "key").expect("stat");
    record.labels = Labels::from([("a".to_owned(), "3".to_owned())]);
    let mask = vec!["labels.a".to_owned()];
    let updated = snapshots.update(&here.namespace, record.clone(), mask).await.expect("update");
    assert_eq!((updated.labels["a"].as_str(), updated.labels.len()), ("3", 2));
    let error =
        snapshots.update(&here.namespace, record, vec!["parent".to_owned()]).await.expect_err("fixed");
    assert_eq!(error.to_string(), "cannot update \"parent\" field on snapshot \"key\"");
    let found = snapshots
        .list(&here.namespace, &["labels.a==3,kind==active".to_owned()])
        .expect("list")
        .page(usize::MAX)
        .expect("page");
    assert_eq!(found.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["key"]);
}

fn publication(staging: Staging, name: &Digest, parent: Option<&Digest>) -> Publication {
    Publication { staging, name: name.clone(), parent: parent.cloned(), labels: Labels::new() }
}

#[tokio::test]
async fn layers_are_published_together_or_not_at_all() {
    let world = world();
    let snapshots = world.snapshotters.named("overlayfs").expect("overlayfs").clone();
    let here = scope();
    let (low, high) = (snapshots.stage().await.expect("stage"), snapshots.stage().await.expect("stage"));
    let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
    let thrown = low.path().to_owned();
    let broken = vec![publication(low, &one, None), publication(high, &two, Some(&Digest::of(b"3")))];
    let error = snapshots.publish(&here, broken).await.expect_err("no such parent");
    assert_eq!(error.kind(), Failure::NotFound);
    assert_eq!(snapshots.stat(&here.namespace, one.as_str()).expect_err("gone").kind(), Failure::NotFound);
    while thrown.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn staged_layers_are_published_from_the_lowest_up() {
    let mut world = world();
    let snapshots = world.snapshotters.named("overlayfs").expect("overlayfs").clone();
    let here = scope();
    let (low, high) = (snapshots.stage().await.expect("stage"), snapshots.stage().await.expect("stage"));
    write(low.path().join("a"), "1");
    write(high.path().join("b"), "2");
    let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
    let early = snapshots.stage().await.expect("stage");
    let error =
        snapshots.publish(&here, vec![publication(early, &two, Some(&one))]).await.expect_err("no parent");
    assert_eq!(error.kind(), Failure::NotFound);
    let both = vec![publication(low, &one, None), publication(high, &two, Some(&one))];
    snapshots.publish(&here, both).await.expect("publish");
    let again = snapshots.stage().await.expect("stage");
    let thrown = again.path().to_owned();
    snapshots.publish(&here, vec![publication(again, &two, Some(&one))]).await.expect("success");
    let record = snapshots.stat(&here.namespace, two.as_str()).expect("stat");
    assert_eq!((record.kind(), record.parent.as_str()), (Kind::Committed, one.as_str()));
    assert!(record.inodes >= 2 && record.size > 0, "{record:?}");
    assert_eq!(world.events.next().await.expect("event").topic, "/snapshot/commit");
    while thrown.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let native = world.snapshotters.named("native").expect("native");
    assert_eq!(native.stage().await.expect_err("whole trees").kind(), Failure::Unimplemented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_after_a_crash_deletes_what_no_record_names() {
    let world = world();
    let here = scope();
    let snapshots = world.snapshotters.named("overlayfs").expect("overlayfs");
    snapshots.prepare(&here, "kept", "", Labels::new()).await.expect("prepare");
    let root = world.folder.path().join("io.containerd.snapshotter.v1.overlayfs/snapshots");
    std::fs::create_dir_all(root.join("77/fs")).expect("as a crash leaves it");
    let staged = snapshots.stage().await.expect("stage");
    let staged_path = staged.path().to_owned();
    snapshots.sweep().expect("sweep");
    while root.join("77").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(staged_path.exists(), "what is being filled is no garbage");
    drop(staged);
    let World { folder, metadata, snapshotters, events } = world;
    metadata.close().await;
    drop((metadata, snapshotters, events));
    let world = open(folder);
    let snapshots = world.snapshotters.named("overlayfs").expect("overlayfs");
    snapshots.sweep().expect("sweep");
    let mounts = snapshots.mounts(&here.namespace, "kept").expect("mounts");
    assert!(Path::new(&mounts[0].source).is_dir());
    snapshots.remove(&here, "kept").await.expect("remove");
    snapshots.prepare(&here, "kept", "", Labels::new()).await.expect("the name is free at once");
    while std::fs::read_dir(&root).expect("list").count() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A client that unpacks side by side has each layer applied to the upper directory alone.
#[tokio::test]
async fn a_layer_that_was_unpacked_apart_hides_what_is_below() {
    if !is_root() {
        return;
    }
    let world = world();
    let snapshots = world.snapshotters.named("overlayfs").expect("overlayfs");
    assert!(snapshots.capabilities().contains(&"rebase"));
    assert!(world.snapshotters.named("native").expect("native").capabilities().is_empty());
    let (here, none) = (scope(), Labels::new);
    let below = snapshots.prepare(&here, "below", "", none()).await.expect("prepare");
    let above = snapshots.prepare(&here, "above", "", none()).await.expect("prepare");
    write(Path::new(&below[0].source).join("hidden"), "h");
    write(Path::new(&below[0].source).join("seen"), "s");
    let whiteout = Path::new(&above[0].source).join("hidden");
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &whiteout, kind, rustix::fs::Mode::empty(), 0).expect("mknod");
    snapshots.commit(&here, "one", "below", "", none()).await.expect("commit");
    snapshots.commit(&here, "two", "above", "one", none()).await.expect("commit");
    let seen = Mounted::new(&snapshots.view(&here, "view", "two", none()).await.expect("view"));
    assert_eq!(read(seen.path().join("seen")), "s");
    assert!(!seen.path().join("hidden").exists());
}
