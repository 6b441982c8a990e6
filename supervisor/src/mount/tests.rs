//! Activations with real mounts, and what a crash leaves of them.

use std::path::Path;

use dhow_proto::containerd::types::Mount;
use dhow_proto::error::Kind as Failure;
use tempfile::TempDir;

use super::{Activation, MOUNTS, Manager};
use crate::fault::Fault;
use crate::gc::Trigger;
use crate::label::Labels;
use crate::metadata::{self, Durability, StoreError};
use crate::namespace::{Namespace, Scope};

fn open(folder: &Path) -> Manager {
    let metadata = loop {
        // The writer of an earlier store may hold it for a moment.
        match metadata::Store::open(&folder.join("metadata.redb"), &folder.join("journal")) {
            Ok(metadata) => break metadata,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    Manager::open(folder, folder, metadata, Trigger::new().0).expect("mounts")
}

fn scope() -> Scope {
    Scope::from("here".parse::<Namespace>().expect("a name"))
}

fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    Mount { r#type: kind.to_owned(), source: source.to_owned(), options, ..Mount::default() }
}

fn count_mounts(folder: &TempDir) -> usize {
    let all = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    all.lines().filter(|line| line.contains(folder.path().to_str().expect("UTF-8"))).count()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn what_needs_no_manager_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mounts, here) = (open(folder.path()), scope());
    let error = mounts
        .activate(&here, "a", vec![mount("bind", "/", &[])], Labels::new(), false)
        .await
        .expect_err("nothing to do");
    assert_eq!(error.kind(), Failure::Unimplemented);
    for name in ["a", ""] {
        assert_eq!(mounts.info(&here.namespace, name).expect_err("none").kind(), Failure::NotFound);
        assert_eq!(mounts.deactivate(&here, name).await.expect_err("none").kind(), Failure::NotFound);
    }
}

#[tokio::test]
async fn earlier_mounts_are_named_by_later_ones() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mounts, here) = (open(folder.path()), scope());
    let upper = folder.path().join("upper");
    let wanted = vec![
        mount("format/tmpfs", "tmpfs", &["size=1m"]),
        mount("tmpfs", "tmpfs", &["size=1m"]),
        mount(
            "format/mkdir/overlay",
            "overlay",
            &[
                "lowerdir={{ overlay 1 0 }}",
                &format!("upperdir={}", upper.display()),
                &format!("X-containerd.mkdir.path={}:0755", upper.display()),
            ],
        ),
    ];
    let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
    let active = mounts.activate(&here, "one", wanted.clone(), labels, false).await.expect("activate");
    assert_eq!((active.active.len(), active.system.len()), (2, 1));
    let points: Vec<&str> = active.active.iter().map(|mount| mount.mount_point.as_str()).collect();
    assert_eq!(active.system[0].r#type, "overlay");
    assert_eq!(active.system[0].options[0], format!("lowerdir={}:{}", points[1], points[0]));
    assert!(upper.is_dir());
    assert_eq!(count_mounts(&folder), 2);
    let error = mounts.activate(&here, "one", wanted, Labels::new(), false).await.expect_err("taken");
    assert_eq!(error.kind(), Failure::AlreadyExists);
    assert_eq!(mounts.info(&here.namespace, "one").expect("info"), active);

    let change = ("one".to_owned(), Labels::from([("a".to_owned(), "2".to_owned())]));
    mounts.update(&here.namespace, change, vec!["labels.a".to_owned()]).await.expect("update");
    let mut found = mounts.list(&here.namespace, &["labels.a==2".to_owned()]).expect("list");
    assert_eq!(found.page(9).expect("page").len(), 1);

    mounts.deactivate(&here, "one").await.expect("deactivate");
    assert_eq!(count_mounts(&folder), 0);
    assert_eq!(mounts.deactivate(&here, "one").await.expect_err("gone").kind(), Failure::NotFound);
}

#[tokio::test]
async fn a_failure_takes_back_what_was_mounted() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mounts, here) = (open(folder.path()), scope());
    for broken in [mount("nonsense", "x", &[]), mount("format/bind", "{{ mount 7 }}", &[])] {
        let wanted = vec![mount("tmpfs", "tmpfs", &["size=1m"]), broken];
        let error = mounts.activate(&here, "one", wanted, Labels::new(), true).await.expect_err("broken");
        assert!(error.to_string().starts_with("mount 1"), "{error}");
        assert_eq!(count_mounts(&folder), 0);
        assert_eq!(mounts.info(&here.namespace, "one").expect_err("none").kind(), Failure::NotFound);
    }
    // The name is free again.
    let wanted = vec![mount("tmpfs", "tmpfs", &["size=1m"])];
    let active = mounts.activate(&here, "one", wanted, Labels::new(), true).await.expect("activate");
    assert_eq!((active.system[0].r#type.as_str(), active.active.len()), ("bind", 1));
    mounts.deactivate(&here, "one").await.expect("deactivate");
    assert_eq!(std::fs::read_dir(folder.path().join("mounts")).expect("list").count(), 0);
}

#[tokio::test]
async fn a_made_file_system_is_mounted_from_a_loop_device() {
    if !is_root() || !Path::new("/dev/loop-control").exists() {
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mounts, here) = (open(folder.path()), scope());
    let image = folder.path().join("image");
    let wanted = vec![
        mount("mkfs/loop", image.to_str().expect("UTF-8"), &["X-containerd.mkfs.size=8MiB"]),
        mount("format/ext4", "{{ mount 0 }}", &[]),
    ];
    let active = mounts.activate(&here, "one", wanted, Labels::new(), true).await.expect("activate");
    assert_eq!(std::fs::metadata(&image).expect("made").len(), 8 << 20);
    let point = Path::new(&active.active[1].mount_point);
    assert!(point.join("lost+found").is_dir());
    let device = std::fs::read_link(&active.active[0].mount_point).expect("a link");
    mounts.deactivate(&here, "one").await.expect("deactivate");
    let name = device.file_name().expect("a name").to_string_lossy().into_owned();
    // The kernel detaches the device when its last user is gone, which may be a moment later.
    let backing = format!("/sys/block/{name}/loop/backing_file");
    while std::fs::read_to_string(&backing).is_ok_and(|file| Path::new(file.trim()) == image) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(count_mounts(&folder), 0);
}

#[tokio::test]
async fn after_a_crash_whole_activations_stay_and_the_rest_goes() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let here = scope();
    let mounts = open(folder.path());
    for name in ["whole", "half", "lost"] {
        let wanted = vec![mount("tmpfs", "tmpfs", &["size=1m"])];
        mounts.activate(&here, name, wanted, Labels::new(), true).await.expect("activate");
    }
    // As if the process had died before the record was whole, and after it was removed.
    let spoil = |transaction: &mut metadata::Transaction<'_>| {
        let path = ["here", "half"];
        let half = MOUNTS.get(transaction, &path)?.unwrap_or_default();
        MOUNTS.put(transaction, &path, &Activation { complete: false, ..half })?;
        MOUNTS.remove(transaction, &["here", "lost"]).map(drop)
    };
    mounts.0.metadata.write::<_, StoreError>(Durability::Process, spoil).await.expect("write");
    mounts.0.metadata.close().await;
    drop(mounts);

    let mounts = open(folder.path());
    mounts.recover().await.expect("recover");
    assert_eq!(count_mounts(&folder), 1);
    let whole = mounts.info(&here.namespace, "whole").expect("info");
    assert!(Path::new(&whole.active[0].mount_point).is_dir());
    assert_eq!(mounts.info(&here.namespace, "half").expect_err("gone").kind(), Failure::NotFound);
    let wanted = vec![mount("tmpfs", "tmpfs", &["size=1m"])];
    mounts.activate(&here, "half", wanted, Labels::new(), true).await.expect("the name is free");
    for name in ["whole", "half"] {
        mounts.deactivate(&here, name).await.expect("deactivate");
    }
    assert_eq!(count_mounts(&folder), 0);
}
