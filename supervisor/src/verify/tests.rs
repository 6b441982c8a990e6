//! Damage of each kind is found, and mended for good.

use std::time::{Duration, SystemTime};

use super::{Finding, check, mend};
use crate::content::{self, Digest, HOLDERS};
use crate::event::Exchange;
use crate::gc::Trigger;
use crate::label::Labels;
use crate::metadata::{self, Durability, StoreError, Transaction};
use crate::namespace::{Namespace, Scope};
use crate::snapshot::{CHILDREN, Snapshotters};

#[tokio::test]
async fn what_is_damaged_is_found_and_mended() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    let store = metadata::Store::open(&root.join("metadata.redb"), &root.join("journal")).expect("store");
    let (events, (trigger, _requests)) = (Exchange::default(), Trigger::new());
    let content =
        content::Store::open(root, store.clone(), events.clone(), trigger.clone()).expect("content");
    let snapshotters = Snapshotters::open(root, &store, &events, &trigger).expect("snapshots");
    let snapshots = snapshotters.named("overlayfs").expect("overlayfs");
    let here = Scope::from("here".parse::<Namespace>().expect("a name"));
    for text in [&b"good"[..], b"missing", b"changed"] {
        let mut writer = content.writer(&here, "w", None, 0).await.expect("writer");
        writer.append(text).expect("append");
        writer.commit(0, None, Labels::new()).await.expect("commit");
    }
    for (key, name, parent) in [("a", "base", ""), ("b", "middle", "base"), ("c", "other", "")] {
        snapshots.prepare(&here, key, parent, Labels::new()).await.expect("prepare");
        snapshots.commit(&here, name, key, "", Labels::new()).await.expect("commit");
    }
    assert_eq!(check(root, &store.read().expect("read")).expect("check"), [], "nothing is wrong yet");

    std::fs::remove_file(content.path(&Digest::of(b"missing"))).expect("damage");
    let changed = content.path(&Digest::of(b"changed"));
    std::fs::remove_file(&changed).and_then(|()| std::fs::write(&changed, "CHANGED")).expect("damage");
    std::fs::write(content.path(&Digest::of(b"unknown")), "unknown").expect("left over");
    let directories = root.join("io.containerd.snapshotter.v1.overlayfs/snapshots");
    std::fs::remove_dir_all(directories.join("1")).expect("damage");
    std::fs::create_dir(directories.join("99")).expect("left over");
    let spoil = |transaction: &mut Transaction<'_>| {
        HOLDERS.remove(transaction, &[Digest::of(b"good").as_str(), "here"])?;
        CHILDREN.put(transaction, &["here", "overlayfs", "other", "nobody"], &())
    };
    store.write::<(), StoreError>(Durability::Disk, spoil).await.expect("damage");

    let mut findings = check(root, &store.read().expect("read")).expect("check");
    findings.sort();
    let text: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(findings.len(), 8, "{text:#?}");
    assert_eq!(findings.iter().filter(|finding| finding.is_damage()).count(), 6, "{text:#?}");
    let until = SystemTime::now() + Duration::from_secs(60);
    let work = move |transaction: &mut Transaction<'_>| {
        findings.iter().try_for_each(|finding| mend(transaction, finding, until))
    };
    store.write::<(), StoreError>(Durability::Disk, work).await.expect("mend");
    let left = check(root, &store.read().expect("read")).expect("check");
    let damage: Vec<String> = left.iter().filter(|left| left.is_damage()).map(Finding::to_string).collect();
    assert!(damage.is_empty(), "{damage:?}");
    let keys: Vec<String> = snapshots
        .list(&here.namespace, &[])
        .expect("list")
        .page(9)
        .expect("page")
        .into_iter()
        .map(|record| record.key)
        .collect();
    assert_eq!(keys, ["other"], "what stood on the lost one is gone with it");
    let home = "default".parse().expect("a name");
    content.info(&home, &Digest::of(b"unknown")).expect("kept for whoever pulls it again");

    store.back_up(root.join("backup")).await.expect("back up");
    let restored = metadata::restore(&root.join("restored.redb"), &root.join("backup")).expect("restore");
    assert!(restored > 5, "{restored}");
    let other = metadata::Store::open(&root.join("restored.redb"), &root.join("journal2")).expect("open");
    assert_eq!(other.identity(), store.identity());
    assert_eq!(check(root, &other.read().expect("read")).expect("check"), left);
}
