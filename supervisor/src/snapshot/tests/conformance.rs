//! The conformance suite of snapshotters: one list of cases, for every driver, called directly and over gRPC.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_proto::error::Kind as Failure;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_stream::wrappers::UnixListenerStream;

use super::subject::{Direct, Subject, Wire};
use super::{Mounted, is_root, read, world, write};
use crate::label::Labels;
use crate::namespace::{Namespace, Scope};
use crate::snapshot::Kind;

type At = Arc<dyn Subject>;
type Case = (&'static str, fn(At) -> BoxFuture<'static, ()>);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |at| $name(at).boxed())),*]
    };
}

/// Every case.
const CASES: &[Case] = cases![
    layers_are_committed_and_walked,
    an_active_snapshot_is_known_as_such,
    parents_are_transitive,
    a_key_is_taken_once,
    labels_change_and_nothing_else,
    removed_keys_are_free,
    filters_find,
    what_is_listed_can_be_asked_for,
    what_others_stand_on_stays,
    the_root_has_its_permissions,
    a_view_is_read_only,
    siblings_are_apart,
    a_parent_comes_with_the_commit,
    usage_counts_what_is_written,
    files_change_in_upper_layers,
    files_are_deleted_in_upper_layers,
    directories_are_replaced,
    owners_and_permissions_change,
    files_move_between_layers,
    attributes_and_links_stay,
    many_layers_stack,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_driver_conforms_directly_and_over_grpc() {
    if !is_root() {
        return;
    }
    let world = world();
    let socket = world.folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&socket).expect("listen");
    let service = crate::server::snapshots::service(&world.snapshotters);
    let serve = tonic::transport::Server::builder().add_service(service);
    let server = tokio::spawn(serve.serve_with_incoming(UnixListenerStream::new(listener)));
    let channel = dhow_proto::connect::connect(&socket).await.expect("connect");
    for snapshots in world.snapshotters.all() {
        for (number, (name, case)) in CASES.iter().enumerate() {
            // Each has a namespace of its own, and so nothing of the others in its way.
            eprintln!("{} {name}", snapshots.name());
            let namespace: Namespace = format!("direct-{number}").parse().expect("a name");
            case(Arc::new(Direct(snapshots.clone(), Scope::from(namespace)))).await;
            let (namespace, snapshotter) = (format!("wire-{number}"), snapshots.name().to_owned());
            eprintln!("{snapshotter} {name}, over gRPC");
            case(Arc::new(Wire { channel: channel.clone(), snapshotter, namespace })).await;
        }
    }
    server.abort();
}

fn none() -> Labels {
    Labels::new()
}

fn labelled(value: &str) -> Labels {
    Labels::from([("l".to_owned(), value.to_owned())])
}

/// Makes `name` a committed snapshot on `parent`, with what `change` does.
async fn layer(at: &At, name: &str, parent: &str, change: impl FnOnce(&Path)) {
    let key = format!("{name}-active");
    let mounted = Mounted::new(&at.prepare(&key, parent, none()).await.expect("prepare"));
    change(mounted.path());
    drop(mounted);
    at.commit(name, &key, "", none()).await.expect("commit");
}

async fn empty(at: &At, name: &str, parent: &str) {
    layer(at, name, parent, |_| {}).await;
}

async fn view(at: &At, key: &str, parent: &str) -> Mounted {
    Mounted::new(&at.view(key, parent, none()).await.expect("view"))
}

/// Type and permissions, owner, and content of a file.
type Seen = (u32, (u32, u32), Option<Vec<u8>>);

/// All that is in a tree.
fn tree(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let status = std::fs::symlink_metadata(&path).expect("stat");
        if status.is_dir() {
            waiting.extend(std::fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()));
        }
        let content = status.is_file().then(|| std::fs::read(&path).expect("read"));
        if path != root {
            let name = path.strip_prefix(root).expect("below").to_owned();
            seen.insert(name, (status.mode(), (status.uid(), status.gid()), content));
        }
    }
    seen
}

/// Does `changes` one after the other, each in a layer of its own; a view of each looks as a plain folder does.
async fn stack(at: &At, changes: &[fn(&Path)]) {
    let flat = tempfile::tempdir().expect("temporary folder");
    let mut parent = String::new();
    for (number, change) in changes.iter().enumerate() {
        change(flat.path());
        let name = format!("layer-{number}");
        layer(at, &name, &parent, change).await;
        let key = format!("view-{number}");
        let seen = view(at, &key, &name).await;
        assert_eq!(tree(seen.path()), tree(flat.path()), "layer {number}");
        drop(seen);
        at.remove(&key).await.expect("remove");
        parent = name;
    }
}

fn folder(path: PathBuf) {
    std::fs::create_dir(path).expect("mkdir");
}

fn erase(path: PathBuf) {
    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.expect("remove");
}

fn give(path: PathBuf) {
    chown(path, Some(1), Some(1)).expect("chown");
}

fn permit(path: PathBuf, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("chmod");
}

async fn names(at: &At, filters: &[&str]) -> Vec<String> {
    let mut names: Vec<String> =
        at.list(filters).await.expect("list").into_iter().map(|record| record.key).collect();
    names.sort();
    names
}

async fn layers_are_committed_and_walked(at: At) {
    layer(&at, "one", "", |root| write(root.join("foo"), "foo")).await;
    let one = at.stat("one").await.expect("stat");
    assert_eq!((one.kind(), one.parent.as_str()), (Kind::Committed, ""));
    assert_eq!(at.stat("one-active").await.expect_err("gone"), Failure::NotFound);
    layer(&at, "two", "one", |root| {
        assert_eq!(read(root.join("foo")), "foo");
        write(root.join("foo"), "bar");
    })
    .await;
    let two = at.stat("two").await.expect("stat");
    assert_eq!((two.kind(), two.parent.as_str()), (Kind::Committed, "one"));
    assert_eq!(at.list(&[]).await.expect("list"), [one, two]);
    let seen = view(&at, "v", "two").await;
    assert_eq!(read(seen.path().join("foo")), "bar");
    drop(seen);
    at.remove("v").await.expect("remove");
    assert_eq!(at.remove("one").await.expect_err("it has a child"), Failure::FailedPrecondition);
    at.remove("two").await.expect("remove");
    at.remove("one").await.expect("remove");
}

async fn an_active_snapshot_is_known_as_such(at: At) {
    let mounts = at.prepare("key", "", labelled("1")).await.expect("prepare");
    assert_eq!(at.mounts("key").await.expect("mounts"), mounts);
    let record = at.stat("key").await.expect("stat");
    assert_eq!((record.key.as_str(), record.kind(), record.parent.as_str()), ("key", Kind::Active, ""));
    assert_eq!((record.created_at, record.labels), (record.updated_at, labelled("1")));
    at.commit("name", "key", "", none()).await.expect("commit");
    assert_eq!(at.stat("name").await.expect("stat").labels, none(), "labels are those of the commit");
    assert_eq!(at.mounts("name").await.expect_err("committed"), Failure::FailedPrecondition);
    assert_eq!(at.mounts("absent").await.expect_err("absent"), Failure::NotFound);
}

async fn parents_are_transitive(at: At) {
    empty(&at, "one", "").await;
    empty(&at, "two", "one").await;
    let two = at.stat("two").await.expect("stat");
    assert_eq!(at.stat(&two.parent).await.expect("stat").parent, "");
    for absent in ["absent", "key"] {
        assert_eq!(at.prepare("x", absent, none()).await.expect_err("no parent"), Failure::NotFound);
        assert_eq!(at.view("x", absent, none()).await.expect_err("no parent"), Failure::NotFound);
    }
}

async fn a_key_is_taken_once(at: At) {
    empty(&at, "base", "").await;
    at.prepare("p", "base", none()).await.expect("prepare");
    at.view("v", "base", none()).await.expect("view");
    for key in ["p", "v", "base"] {
        assert_eq!(at.prepare(key, "base", none()).await.expect_err("taken"), Failure::AlreadyExists);
        assert_eq!(at.view(key, "base", none()).await.expect_err("taken"), Failure::AlreadyExists);
    }
    assert_eq!(at.commit("base", "p", "", none()).await.expect_err("taken"), Failure::AlreadyExists);
    assert_eq!(at.commit("x", "v", "", none()).await.expect_err("a view"), Failure::FailedPrecondition);
    assert_eq!(at.commit("x", "absent", "", none()).await.expect_err("absent"), Failure::NotFound);
}

async fn labels_change_and_nothing_else(at: At) {
    empty(&at, "c1", "").await;
    at.prepare("a1", "c1", none()).await.expect("prepare");
    at.view("v1", "c1", none()).await.expect("view");
    for key in ["c1", "a1", "v1"] {
        let before = at.stat(key).await.expect("stat");
        let pairs = [("l1", "v1"), ("l2", "v2"), ("l3", "v3")];
        let labels: Labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut wish = before.clone();
        (wish.parent, wish.labels) = ("absent".to_owned(), labels.clone());
        let all = at.update(wish.clone(), &[]).await.expect("update");
        assert_eq!((&all.parent, all.kind, &all.labels), (&before.parent, before.kind, &labels));
        assert!(all.created_at == before.created_at && all.updated_at != before.updated_at);
        wish.labels = [("l1", "new"), ("l4", "v4")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let some = at.update(wish.clone(), &["labels.l1", "labels.l2"]).await.expect("update");
        let expected = [("l1", "new"), ("l3", "v3")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(some.labels, Labels::from(expected));
        let whole = at.update(wish.clone(), &["labels"]).await.expect("update");
        assert_eq!(whole, at.stat(key).await.expect("stat"));
        assert_eq!(whole.labels, wish.labels);
        assert_eq!(at.update(wish, &["parent"]).await.expect_err("fixed"), Failure::InvalidArgument);
    }
}

async fn removed_keys_are_free(at: At) {
    empty(&at, "one", "").await;
    at.prepare("again", "one", none()).await.expect("prepare");
    at.remove("again").await.expect("remove");
    at.view("again", "one", none()).await.expect("view");
    at.remove("again").await.expect("remove");
    at.prepare("again", "", none()).await.expect("prepare");
    at.remove("one").await.expect("remove");
    at.commit("one", "again", "", none()).await.expect("commit");
    assert_eq!(at.remove("again").await.expect_err("committed"), Failure::NotFound);
}

async fn filters_find(at: At) {
    at.prepare("a-np", "", none()).await.expect("prepare");
    empty(&at, "p", "").await;
    at.prepare("a", "p", none()).await.expect("prepare");
    at.view("v", "p", none()).await.expect("view");
    at.prepare("p-wl-tmp", "", none()).await.expect("prepare");
    at.commit("p-wl", "p-wl-tmp", "", labelled("1")).await.expect("commit");
    at.prepare("a-wl", "p-wl", labelled("2")).await.expect("prepare");
    at.view("v-wl", "p-wl", labelled("3")).await.expect("view");
    at.prepare("a-np-wl", "", labelled("2")).await.expect("prepare");
    let cases: [(&[&str], &[&str]); 10] = [
        (&[], &["a", "a-np", "a-np-wl", "a-wl", "p", "p-wl", "v", "v-wl"]),
        (&["kind==active"], &["a", "a-np", "a-np-wl", "a-wl"]),
        (&["kind==view"], &["v", "v-wl"]),
        (&["kind==committed"], &["p", "p-wl"]),
        (&["name==p", "name==a-np-wl"], &["a-np-wl", "p"]),
        (&["name==a-wl,labels.l"], &["a-wl"]),
        (&["parent==p"], &["a", "v"]),
        (&["parent!=\"\""], &["a", "a-wl", "v", "v-wl"]),
        (&["labels.l"], &["a-np-wl", "a-wl", "p-wl", "v-wl"]),
        (&["labels.l==2"], &["a-np-wl", "a-wl"]),
    ];
    for (filters, expected) in cases {
        assert_eq!(names(&at, filters).await, expected, "{filters:?}");
    }
    assert_eq!(at.list(&["kind=="]).await.expect_err("no filter"), Failure::InvalidArgument);
}

async fn what_is_listed_can_be_asked_for(at: At) {
    empty(&at, "c", "").await;
    at.prepare("a", "c", none()).await.expect("prepare");
    at.view("v", "c", none()).await.expect("view");
    for record in at.list(&[]).await.expect("list") {
        assert_eq!(at.stat(&record.key).await.expect("stat"), record);
    }
}

async fn what_others_stand_on_stays(at: At) {
    empty(&at, "base", "").await;
    empty(&at, "between", "base").await;
    at.prepare("top", "between", none()).await.expect("prepare");
    for name in ["base", "between"] {
        assert_eq!(at.remove(name).await.expect_err("it has a child"), Failure::FailedPrecondition);
    }
    for key in ["top", "between", "base"] {
        at.remove(key).await.expect("remove");
    }
}

async fn the_root_has_its_permissions(at: At) {
    let root = Mounted::new(&at.prepare("key", "", none()).await.expect("prepare"));
    let status = std::fs::metadata(root.path()).expect("stat");
    assert_eq!((status.mode() & 0o7777, status.uid(), status.gid()), (0o755, 0, 0));
}

async fn a_view_is_read_only(at: At) {
    empty(&at, "one", "").await;
    empty(&at, "two", "one").await;
    for (key, parent) in [("v0", ""), ("v1", "one"), ("v2", "two")] {
        let seen = view(&at, key, parent).await;
        assert!(std::fs::write(seen.path().join("file"), "no").is_err(), "on {parent:?}");
    }
}

async fn siblings_are_apart(at: At) {
    empty(&at, "base", "").await;
    let one = Mounted::new(&at.prepare("one", "base", none()).await.expect("prepare"));
    let two = Mounted::new(&at.prepare("two", "base", none()).await.expect("prepare"));
    write(one.path().join("mine"), "1");
    assert!(!two.path().join("mine").exists());
}

async fn a_parent_comes_with_the_commit(at: At) {
    empty(&at, "base", "").await;
    empty(&at, "other", "").await;
    let cases = [
        ("", "", Ok("")),
        ("", "base", Ok("base")),
        ("base", "base", Ok("base")),
        ("base", "", Ok("base")),
        ("base", "other", Err(Failure::InvalidArgument)),
        ("", "absent", Err(Failure::NotFound)),
    ];
    for (number, (old, new, expected)) in cases.into_iter().enumerate() {
        let (key, name) = (format!("key-{number}"), format!("name-{number}"));
        at.prepare(&key, old, none()).await.expect("prepare");
        let parent = match at.commit(&name, &key, new, none()).await {
            Ok(()) => Ok(at.stat(&name).await.expect("stat").parent),
            Err(error) => Err(error),
        };
        assert_eq!(parent, expected.map(str::to_owned), "from {old:?} to {new:?}");
    }
}

async fn usage_counts_what_is_written(at: At) {
    let mounted = Mounted::new(&at.prepare("key", "", none()).await.expect("prepare"));
    let before = at.usage("key").await.expect("usage");
    write(mounted.path().join("file"), &"x".repeat(1 << 16));
    drop(mounted);
    let after = at.usage("key").await.expect("usage");
    assert!(
        after.size >= before.size + (1 << 16) && after.inodes == before.inodes + 1,
        "{before:?} {after:?}"
    );
    at.commit("name", "key", "", none()).await.expect("commit");
    assert_eq!(at.usage("name").await.expect("usage"), after);
    assert_eq!(at.usage("absent").await.expect_err("absent"), Failure::NotFound);
}

async fn files_change_in_upper_layers(at: At) {
    let below = |root: &Path| {
        folder(root.join("etc"));
        write(root.join("etc/hosts"), "10.0.0.1");
        write(root.join("etc/profile"), "PATH=/usr/bin");
    };
    let above = |root: &Path| {
        write(root.join("etc/hosts"), "10.0.0.2");
        permit(root.join("etc/profile"), 0o666);
        folder(root.join("root"));
        write(root.join("root/.bashrc"), "PATH=/usr/sbin");
    };
    stack(&at, &[below, above]).await;
}

async fn files_are_deleted_in_upper_layers(at: At) {
    let below = |root: &Path| {
        write(root.join("foo"), "foo");
        write(root.join("foobar"), "foobar");
    };
    stack(&at, &[below, |root| erase(root.join("foobar")), |_| {}]).await;
}

async fn directories_are_replaced(at: At) {
    let below = |root: &Path| {
        folder(root.join("lib"));
        write(root.join("lib/hidden"), "");
    };
    let between = |root: &Path| {
        erase(root.join("lib"));
        folder(root.join("lib"));
        write(root.join("lib/not-hidden"), "");
    };
    stack(&at, &[below, between, |root| write(root.join("lib/new"), "")]).await;
}

async fn owners_and_permissions_change(at: At) {
    let below = |root: &Path| {
        for name in ["a", "a/b", "c", "d", "e"] {
            folder(root.join(name));
        }
        write(root.join("a/b/file"), "hello");
        write(root.join("e/file"), "...");
        ["c", "d", "e", "e/file"].into_iter().for_each(|name| give(root.join(name)));
    };
    let between = |root: &Path| {
        ["a", "a/b", "a/b/file"].into_iter().for_each(|name| give(root.join(name)));
        chown(root.join("c"), Some(0), Some(0)).expect("chown");
        erase(root.join("d"));
    };
    let above = |root: &Path| {
        folder(root.join("d"));
        give(root.join("d"));
        erase(root.join("e"));
        folder(root.join("e"));
        permit(root.join("e"), 0o1777);
    };
    stack(&at, &[below, between, above]).await;
}

async fn files_move_between_layers(at: At) {
    let below = |root: &Path| {
        for name in ["one", "two", "some"] {
            folder(root.join(name));
        }
        write(root.join("one/f1"), "Hello");
        write(root.join("two/f2"), "...");
        write(root.join("some/f1"), "was here first");
        write(root.join("some/f2"), "nothing");
    };
    let above = |root: &Path| {
        folder(root.join("three"));
        write(root.join("three/f1"), "Hello");
        erase(root.join("one"));
        std::fs::hard_link(root.join("two/f2"), root.join("three/f2")).expect("link");
        erase(root.join("two/f2"));
        write(root.join("some/f1-new"), "new content");
        std::fs::rename(root.join("some/f1-new"), root.join("some/f1")).expect("rename");
        std::fs::rename(root.join("some/f2"), root.join("some/f3")).expect("rename");
    };
    stack(&at, &[below, above]).await;
    if at.driver() == "native" {
        // An overlay cannot rename a directory that is below.
        layer(&at, "moved", "layer-1", |root| {
            std::fs::rename(root.join("some"), root.join("more")).expect("rename");
        })
        .await;
    }
}

async fn attributes_and_links_stay(at: At) {
    layer(&at, "one", "", |root| {
        write(root.join("a"), "a");
        symlink("a", root.join("link")).expect("symlink");
        std::fs::hard_link(root.join("a"), root.join("twin")).expect("link");
        permit(root.join("a"), 0o4751);
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(root.join("a"), "user.k", b"v", flags).expect("xattr");
    })
    .await;
    empty(&at, "two", "one").await;
    let seen = view(&at, "v", "two").await;
    let a = std::fs::metadata(seen.path().join("a")).expect("stat");
    assert_eq!((a.mode() & 0o7777, a.nlink()), (0o4751, 2));
    assert_eq!(std::fs::read_link(seen.path().join("link")).expect("readlink"), Path::new("a"));
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(seen.path().join("a"), "user.k", &mut value).expect("xattr");
    assert_eq!(&value[..length], b"v");
}

async fn many_layers_stack(at: At) {
    // For an overlay, more than fit in the page of options that mount(2) takes; a copy has no such limit.
    let count = if at.driver() == "native" { 12 } else { 128 };
    let flat = tempfile::tempdir().expect("temporary folder");
    let mut parent = String::new();
    for number in 0..count {
        let change = |root: &Path| {
            write(root.join("overwrite"), &format!("{number}"));
            write(root.join(format!("file-{number}")), "same");
            if number > 0 {
                erase(root.join("only"));
            }
            folder(root.join("only"));
            write(root.join(format!("only/{number}")), "only me");
        };
        change(flat.path());
        let name = format!("layer-{number}");
        layer(&at, &name, &parent, change).await;
        parent = name;
    }
    let seen = view(&at, "v", &parent).await;
    assert_eq!(tree(seen.path()), tree(flat.path()));
}
