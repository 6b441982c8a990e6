//! The conformance of the content store: writes that are whole or not there, namespaces, leases, crashes.

use std::io::Read;

use bytes::Bytes;
use tempfile::TempDir;

use super::{ContentError, Digest, INGESTS, Store, WriteError};
use crate::event::{Exchange, Subscription};
use crate::fault::Fault;
use crate::gc::Trigger;
use crate::label::Labels;
use crate::namespace::{Namespace, Scope};
use crate::{lease, metadata};

struct World {
    content: Store,
    leases: lease::Store,
    events: Subscription,
    folder: TempDir,
}

fn open(folder: TempDir) -> World {
    let root = folder.path();
    let metadata = metadata::Store::open(&root.join("metadata.redb"), &root.join("journal")).expect("store");
    let (events, (trigger, _)) = (Exchange::default(), Trigger::new());
    let content = Store::open(root, metadata.clone(), events.clone(), trigger.clone()).expect("content");
    let leases = lease::Store::new(metadata, trigger);
    World { content, leases, events: events.subscribe(&[]).expect("subscribe"), folder }
}

fn world() -> World {
    open(tempfile::tempdir().expect("temporary folder"))
}

fn namespace(name: &str) -> Namespace {
    name.parse().expect("a name")
}

fn scope(name: &str) -> Scope {
    namespace(name).into()
}

fn files(world: &World, folder: &str) -> usize {
    let folder = world.folder.path().join("io.containerd.content.v1.content").join(folder);
    std::fs::read_dir(folder).expect("list").count()
}

async fn add(world: &World, scope: &Scope, bytes: &'static [u8]) -> Result<Digest, ContentError> {
    let digest = Digest::of(bytes);
    let mut writer = world.content.writer(scope, "add", Some(digest.clone()), 0).await?;
    if writer.offset() == 0 {
        writer.write(Bytes::from_static(bytes)).await?;
    }
    writer.commit(bytes.len() as i64, Some(&digest), Labels::new()).await?;
    Ok(digest)
}

#[tokio::test]
async fn a_write_becomes_a_blob_with_labels_and_an_event() {
    let mut world = world();
    let here = scope("here");
    let mut writer = world.content.writer(&here, "a", None, 5).await.expect("writer");
    writer.write(Bytes::from_static(b"he")).await.expect("write");
    let status = world.content.status(&here.namespace, "a").expect("status");
    assert_eq!((status.offset, status.total), (2, 5));
    writer.write(Bytes::from_static(b"llo")).await.expect("write");
    let labels = Labels::from([("k".to_owned(), "v".to_owned()), ("empty".to_owned(), String::new())]);
    let blob = writer.commit(5, Some(&Digest::of(b"hello")), labels).await.expect("commit");
    assert_eq!(blob.labels.len(), 1, "labels without a value are none");
    let mut text = String::new();
    let digest = Digest::of(b"hello");
    let mut file = world.content.reader(&here.namespace, &digest).expect("reader");
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
    assert_eq!(world.events.next().await.expect("event").topic, "/content/create");
    assert!(world.content.statuses(&here.namespace, &[]).expect("statuses").is_empty());
    assert_eq!(files(&world, "ingest"), 0);
    let again = add(&world, &here, b"hello").await.expect_err("exists");
    assert!(matches!(again, ContentError::AlreadyExists(_)), "{again}");
}

#[tokio::test]
async fn a_wrong_size_or_digest_is_refused_and_the_write_can_go_on() {
    let world = world();
    let here = scope("here");
    for (size, expected) in [(4, None), (0, Some(Digest::of(b"other")))] {
        let mut writer = world.content.writer(&here, "a", None, 0).await.expect("writer");
        writer.restart().await.expect("restart");
        writer.write(Bytes::from_static(b"hello")).await.expect("write");
        let error = writer.commit(size, expected.as_ref(), Labels::new()).await.expect_err("refused");
        assert!(matches!(error, ContentError::Write(_)), "{error}");
    }
    let mut writer = world.content.writer(&here, "a", None, 0).await.expect("writer");
    assert_eq!(writer.offset(), 5);
    writer.append(b"!").expect("append");
    writer.commit(6, Some(&Digest::of(b"hello!")), Labels::new()).await.expect("commit");
}

#[tokio::test]
async fn a_reference_has_one_writer_and_survives_a_restart() {
    let world = world();
    let here = scope("here");
    let mut writer = world.content.writer(&here, "a", None, 0).await.expect("writer");
    writer.write(vec![7; 1 << 20].into()).await.expect("a write of another thread");
    let error = world.content.writer(&here, "a", None, 0).await.expect_err("locked");
    assert!(matches!(error, ContentError::Write(WriteError::Locked { .. })), "{error}");
    assert!(error.to_string().starts_with("ref a locked for "), "{error}");
    assert_eq!(error.kind(), dhow_proto::error::Kind::Unavailable);
    drop(world.content.writer(&scope("there"), "a", None, 0).await.expect("another namespace"));
    drop(writer);
    let World { folder, content, leases, events } = world;
    content.0.metadata.close().await;
    drop((content, leases, events));
    let world = open(folder);
    world.content.sweep().await.expect("sweep");
    let writer = world.content.writer(&here, "a", None, 0).await.expect("resume");
    assert_eq!(writer.offset(), 1 << 20);
    let digest = Digest::of(&vec![7; 1 << 20]);
    writer.commit(1 << 20, Some(&digest), Labels::new()).await.expect("commit");
}

#[tokio::test]
async fn a_blob_is_shared_and_goes_with_its_last_namespace() {
    let world = world();
    let (here, there) = (scope("here"), scope("there"));
    let digest = add(&world, &here, b"shared").await.expect("add");
    assert!(world.content.info(&there.namespace, &digest).is_err(), "not visible there yet");
    let writer = world.content.writer(&there, "a", Some(digest.clone()), 6).await.expect("writer");
    assert_eq!(writer.offset(), 6, "nothing to send");
    writer.commit(6, Some(&digest), Labels::new()).await.expect("commit");
    world.content.delete(&here, &digest).await.expect("delete");
    world.content.reader(&there.namespace, &digest).expect("still there");
    world.content.delete(&there, &digest).await.expect("delete");
    assert_eq!(files(&world, "blobs/sha256") + files(&world, "trash") + files(&world, "ingest"), 0);
}

#[tokio::test]
async fn a_linked_write_that_changes_leaves_the_blob_alone() {
    let world = world();
    let (here, there) = (scope("here"), scope("there"));
    let digest = add(&world, &here, b"shared").await.expect("add");
    let mut writer = world.content.writer(&there, "a", Some(digest.clone()), 0).await.expect("writer");
    writer.write(Bytes::from_static(b" more")).await.expect("write");
    drop(writer);
    let mut writer = world.content.writer(&there, "a", Some(digest.clone()), 0).await.expect("writer");
    assert_eq!(writer.digest(), Digest::of(b"shared more"));
    writer.restart().await.expect("restart");
    assert_eq!(world.content.read(&here.namespace, &digest, 100).await.expect("read"), b"shared");
    // The blob goes while it is linked: the link is enough to make it again.
    drop(writer);
    let linked = world.content.writer(&there, "b", Some(digest.clone()), 0).await.expect("writer");
    world.content.delete(&here, &digest).await.expect("delete");
    linked.commit(6, Some(&digest), Labels::new()).await.expect("commit");
    assert_eq!(world.content.read(&there.namespace, &digest, 100).await.expect("read"), b"shared");
}

#[tokio::test]
async fn a_lease_holds_the_write_and_then_the_blob() {
    let world = world();
    let namespace = namespace("here");
    world.leases.create(&namespace, "l", Labels::new()).await.expect("lease");
    let leased = Scope { namespace: namespace.clone(), lease: Some("l".to_owned()) };
    let held = || -> Vec<String> {
        let resources = world.leases.resources(&namespace, "l").expect("resources");
        resources.iter().map(|resource| format!("{resource} {}", resource.id())).collect()
    };
    let mut writer = world.content.writer(&leased, "a", None, 0).await.expect("writer");
    assert_eq!(held(), ["ingests a"]);
    writer.append(b"x").expect("append");
    writer.commit(0, None, Labels::new()).await.expect("commit");
    assert_eq!(held(), [format!("content {}", Digest::of(b"x"))]);
    let absent = Scope { namespace, lease: Some("absent".to_owned()) };
    let error = world.content.writer(&absent, "b", None, 0).await.expect_err("no such lease");
    assert_eq!(error.to_string(), "lease does not exist");
}

#[tokio::test]
async fn the_sweep_deletes_what_a_crash_leaves_and_nothing_else() {
    let world = world();
    let here = scope("here");
    let kept = add(&world, &here, b"kept").await.expect("add");
    drop(world.content.writer(&here, "open", None, 0).await.expect("writer"));
    let root = world.folder.path().join("io.containerd.content.v1.content");
    std::fs::write(root.join("blobs/sha256").join("0".repeat(64)), "no record").expect("orphan");
    std::fs::write(root.join("ingest/orphan"), "no record").expect("orphan");
    std::fs::write(root.join("trash/old"), "deleted").expect("orphan");
    world.content.sweep().await.expect("sweep");
    assert_eq!((files(&world, "blobs/sha256"), files(&world, "ingest"), files(&world, "trash")), (1, 1, 0));
    world.content.reader(&here.namespace, &kept).expect("kept");
    world.content.abort(&here, "open").await.expect("abort");
    assert_eq!(files(&world, "ingest"), 0);
    let error = world.content.abort(&here, "open").await.expect_err("gone");
    assert!(matches!(error, ContentError::NoIngest(_)), "{error}");
    let view = world.content.0.metadata.read().expect("read");
    assert!(INGESTS.is_empty(&view, &[]).expect("list"));
}

#[tokio::test]
async fn a_blob_that_came_back_while_it_was_deleted_goes_whole() {
    let world = world();
    let (here, there) = (scope("here"), scope("there"));
    let digest = add(&world, &here, b"again").await.expect("add");
    // Linked to the blob, as a writer in another namespace is; then what was deleted is not quite gone yet.
    let writer = world.content.writer(&there, "w", Some(digest.clone()), 0).await.expect("writer");
    let trash = world.folder.path().join("io.containerd.content.v1.content/trash");
    std::fs::hard_link(world.content.path(&digest), trash.join(digest.hex())).expect("being deleted");
    world.content.delete(&here, &digest).await.expect("delete");
    writer.commit(0, Some(&digest), Labels::new()).await.expect("commit");
    world.content.delete(&there, &digest).await.expect("delete");
    assert_eq!(files(&world, "blobs/sha256"), 0);
}

#[test]
fn an_ingest_that_is_the_blob_already_goes() {
    let folder = tempfile::tempdir().expect("folder");
    let (from, to) = (folder.path().join("ingest"), folder.path().join("blob"));
    std::fs::write(&from, "same").expect("write");
    std::fs::hard_link(&from, &to).expect("the other writer's");
    super::writer::take_name(&from, &to).expect("publish");
    assert!(to.exists() && !from.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_deleters_of_one_blob_never_lose_it_between_them() {
    let world = std::sync::Arc::new(world());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let world = world.clone();
        tasks.spawn(async move {
            let here = scope(&format!("n{number}"));
            let digest = Digest::of(b"contended");
            for round in 0..20 {
                let reference = format!("r{round}");
                let writer = world.content.writer(&here, &reference, Some(digest.clone()), 0).await;
                let mut writer = writer.expect("writer");
                if writer.offset() == 0 {
                    writer.append(b"contended").expect("append");
                }
                writer.commit(9, Some(&digest), Labels::new()).await.expect("commit");
                let bytes = world.content.read(&here.namespace, &digest, 100).await.expect("read");
                assert_eq!(bytes, b"contended");
                world.content.delete(&here, &digest).await.expect("delete");
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(files(&world, "blobs/sha256") + files(&world, "trash") + files(&world, "ingest"), 0);
}
