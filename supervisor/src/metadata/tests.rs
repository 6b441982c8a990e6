//! What the store promises: durability, isolation of failures, and a journal that survives the process.

use std::path::Path;

use super::{Collection, Durability, OpenError, Snapshot, Store, StoreError, Transaction};

#[derive(Clone, PartialEq, prost::Message)]
struct Word {
    #[prost(string, tag = "1")]
    text: String,
}

const WORDS: Collection<Word> = Collection::new("word");

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("metadata.redb"), &folder.join("journal")).expect("open store")
}

fn put(name: &str) -> impl FnMut(&mut Transaction<'_>) -> Result<(), StoreError> + Send + use<> {
    let name = name.to_owned();
    move |transaction| WORDS.put(transaction, &[&name], &Word { text: name.clone() })
}

fn names(store: &Store) -> Vec<String> {
    let words = WORDS.list(&store.read().expect("read"), &[], |_| true).expect("list");
    words.into_iter().map(|word| word.text).collect()
}

/// What is on disk now, as the death of the process would leave it.
fn killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("temporary folder");
    for file in ["metadata.redb", "journal"] {
        std::fs::copy(folder.join(file), copy.path().join(file)).expect("copy");
    }
    copy
}

#[tokio::test]
async fn what_was_answered_survives_the_death_of_the_process() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    store.write(Durability::Disk, put("disk")).await.expect("disk");
    for number in 0..50 {
        store.write(Durability::Process, put(&format!("boot-{number:02}"))).await.expect("boot");
    }
    let remove = |transaction: &mut Transaction<'_>| WORDS.remove(transaction, &["boot-00"]);
    store.write(Durability::Process, remove).await.expect("remove");
    let expected = names(&store);
    assert_eq!(expected.len(), 50);
    let copy = killed(folder.path());
    assert_eq!(names(&open(copy.path())), expected);
    assert_eq!(names(&open(copy.path())), expected, "a second start finds the same");
}

#[tokio::test]
async fn a_journal_that_the_store_has_seen_changes_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    store.write(Durability::Process, put("old")).await.expect("boot");
    let journal = std::fs::read(folder.path().join("journal")).expect("journal");
    let remove = |transaction: &mut Transaction<'_>| WORDS.remove(transaction, &["old"]);
    store.write(Durability::Disk, remove).await.expect("remove");
    let copy = killed(folder.path());
    std::fs::write(copy.path().join("journal"), &journal).expect("as if not cleared");
    assert!(names(&open(copy.path())).is_empty(), "the removal was newer");
}

#[tokio::test]
async fn a_torn_or_foreign_journal_ends_where_it_tears() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    store.write(Durability::Process, put("one")).await.expect("boot");
    store.write(Durability::Process, put("two")).await.expect("boot");
    let copy = killed(folder.path());
    let journal = copy.path().join("journal");
    let length = std::fs::metadata(&journal).expect("journal").len();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .and_then(|file| file.set_len(length - 1))
        .expect("tear");
    assert_eq!(names(&open(copy.path())), ["one"]);

    let other = tempfile::tempdir().expect("temporary folder");
    drop(open(other.path()));
    std::fs::copy(folder.path().join("journal"), other.path().join("journal")).expect("foreign journal");
    assert!(names(&open(other.path())).is_empty());
}

#[tokio::test]
async fn a_store_that_is_gone_beside_its_copy_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (path, copy) = (folder.path().join("metadata.redb"), folder.path().join("metadata.backup"));
    super::require(&path, &copy).expect("the first start");
    let store = open(folder.path());
    store.write(Durability::Disk, put("kept")).await.expect("write");
    store.back_up(copy.clone()).await.expect("copy");
    super::require(&path, &copy).expect("it is there");
    drop(store);
    std::fs::write(&path, "").expect("as a power cut may leave it");
    for _ in 0..2 {
        let error = super::require(&path, &copy).expect_err("gone");
        assert!(error.to_string().contains("dhow-supervisor repair"), "{error}");
        drop(std::fs::remove_file(&path));
    }
    super::restore(&path, &copy).expect("restore");
    assert_eq!(names(&open(folder.path())), ["kept"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_takes_back_its_own_changes_and_no_others() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200u32 {
        let store = store.clone();
        let durability = if number % 3 == 0 { Durability::Disk } else { Durability::Process };
        tasks.spawn(async move {
            let mut work = put(&format!("{number:03}"));
            let fails = number % 5 == 0;
            let outcome = store
                .write(durability, move |transaction| {
                    work(transaction)?;
                    if fails { Err(StoreError::Closed) } else { Ok(()) }
                })
                .await;
            assert_eq!(outcome.is_err(), fails);
        });
    }
    tasks.join_all().await;
    let expected: Vec<String> =
        (0..200).filter(|number| number % 5 != 0).map(|number| format!("{number:03}")).collect();
    assert_eq!(names(&store), expected);
    assert_eq!(names(&open(killed(folder.path()).path())), expected);
}

#[tokio::test]
async fn then_is_called_once_for_each_success_also_without_a_caller() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let (sender, receiver) = std::sync::mpsc::channel();
    let write = store.write_then(Durability::Disk, put("a"), move |()| sender.send(()).expect("listening"));
    let mut write = Box::pin(write);
    // One poll queues the work; then the caller goes away.
    assert!(futures_util::poll!(&mut write).is_pending());
    drop(write);
    store.sync().await.expect("sync");
    receiver.recv().expect("called");
    assert!(receiver.recv().is_err(), "called once");
    assert_eq!(names(&store), ["a"]);
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_has_synced_all() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    store.write(Durability::Process, put("a")).await.expect("boot");
    store.close().await;
    assert!(matches!(store.write(Durability::Process, put("b")).await, Err(StoreError::Closed)));
    let copy = killed(folder.path());
    std::fs::remove_file(copy.path().join("journal")).expect("not needed any more");
    assert_eq!(names(&open(copy.path())), ["a"]);
}

#[tokio::test]
async fn a_newer_store_is_refused_and_a_damaged_one_says_the_way_out() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("metadata.redb");
    let store = open(folder.path());
    let newer = |transaction: &mut Transaction<'_>| {
        let meta = super::Meta { version: 99, ..super::Meta::default() };
        super::META.put(transaction, &[], &meta)
    };
    store.write(Durability::Disk, newer).await.expect("pretend");
    store.close().await;
    drop(store);
    let error = Store::open(&path, &folder.path().join("journal")).expect_err("newer");
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    let whole = std::fs::read(&path).expect("read");
    for at in (0..whole.len()).step_by(4096) {
        let mut damaged = whole.clone();
        damaged[at..(at + 4096).min(whole.len())].fill(7);
        std::fs::write(&path, damaged).expect("damage");
        // A page that is in use nowhere does no harm; any other is noticed, and nothing panics.
        drop(Store::open(&path, &folder.path().join("journal")));
    }
    std::fs::write(&path, vec![7; 4096]).expect("damage");
    let error = Store::open(&path, &folder.path().join("journal")).expect_err("damaged");
    assert!(error.to_string().contains("dhow-supervisor repair"), "{error}");
}

/// What a store of an earlier version has of each collection, made by the binary of that time.
#[test]
fn stores_of_every_version_are_read_whole() {
    const OLD: [&[u8]; 1] = [include_bytes!("testdata/version-1.redb.zst")];
    for (number, old) in OLD.into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("metadata.redb");
        std::fs::write(&path, zstd::decode_all(old).expect("decompress")).expect("write");
        let store = Store::open(&path, &folder.path().join("journal")).expect("open");
        let view = store.read().expect("read");
        let counts = [
            count(&view, &crate::namespace::NAMESPACES),
            count(&view, &crate::image::IMAGES),
            count(&view, &crate::container::CONTAINERS),
            count(&view, &crate::content::BLOBS),
            count(&view, &crate::snapshot::SNAPSHOTS),
            count(&view, &crate::snapshot::CHILDREN),
            count(&view, &crate::lease::LEASES),
        ];
        assert_eq!(counts, [2, 1, 1, 3, 5, 3, 1], "version {}", number + 1);
        let team = crate::namespace::NAMESPACES.get(&view, &["shop"]).expect("get").expect("a namespace");
        assert_eq!(team.labels["team"], "blue");
    }
}

/// How many records there are, each of which must decode.
fn count<R: prost::Message + Default>(view: &Snapshot, collection: &Collection<R>) -> usize {
    let mut count = 0;
    let visit = |_: &[String], _: R| {
        count += 1;
        Ok(())
    };
    collection.each(view, &[], visit).expect("records of this version");
    count
}

#[tokio::test]
async fn a_listing_goes_page_by_page_through_what_was_there() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    for number in 0..7 {
        store.write(Durability::Process, put(&format!("{number}"))).await.expect("write");
    }
    let mut listing = WORDS.listing(store.read().expect("read"), &[], |word: &Word| word.text != "3");
    store.write(Durability::Process, put("8")).await.expect("write");
    let mut pages = Vec::new();
    loop {
        let page = listing.page(2).expect("page");
        if page.is_empty() {
            break;
        }
        pages.push(page.into_iter().map(|word| word.text).collect::<Vec<_>>().concat());
    }
    assert_eq!(pages, ["01", "24", "56"]);
}
