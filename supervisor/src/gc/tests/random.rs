//! Random stores, collected while a random client works: nothing goes that is wanted, and nothing else stays.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use proptest::prelude::*;

use super::wanted::{Traits, Wanted};
use super::{World, digest, put_blob, put_image};
use crate::container::{CONTAINERS, Container};
use crate::content::{BLOBS, HOLDERS, INGESTS, Ingest};
use crate::gc::collector::Reach;
use crate::gc::label::EXPIRE;
use crate::gc::{Node, Subject};
use crate::image::IMAGES;
use crate::label::Labels;
use crate::lease::{LEASED, LEASES, Lease};
use crate::metadata::{Durability, StoreError, Transaction, View};
use crate::mount::{Activation, MOUNTS};
use crate::sandbox::{SANDBOXES, Sandbox};
use crate::snapshot::{CHILDREN, Kind, Record, SNAPSHOTS};

const PAST: &str = "2001-01-01T00:00:00Z";
const FUTURE: &str = "2999-01-01T00:00:00Z";

/// A step of a client, in a namespace.
#[derive(Debug, Clone)]
enum Move {
    /// Make an object, or change it.
    Put(Subject, Traits),
    /// Put a resource into a lease.
    Hold(Subject, Subject),
    Remove(Subject),
}

type Step = (&'static str, Move);

fn content() -> impl Strategy<Value = Subject> {
    (0u8..8).prop_map(|name| Subject::Content(digest(name)))
}

fn snapshot() -> impl Strategy<Value = Subject> {
    (prop_oneof!["overlayfs", "native"], "[a-e]")
        .prop_map(|(snapshotter, key)| Subject::Snapshot { snapshotter, key })
}

/// What labels can name, and what leases can hold.
fn resource() -> impl Strategy<Value = Subject> {
    prop_oneof![
        3 => content(),
        3 => snapshot(),
        1 => "[a-c]".prop_map(Subject::Image),
        1 => "[a-c]".prop_map(Subject::Mount),
    ]
}

fn lease() -> impl Strategy<Value = Subject> {
    "[a-c]".prop_map(Subject::Lease)
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        8 => resource(),
        1 => "[ab]".prop_map(Subject::Container),
        1 => "[ab]".prop_map(Subject::Sandbox),
        1 => "[a-c]".prop_map(Subject::Ingest),
        2 => lease(),
    ]
}

prop_compose! {
    fn traits()(
        root in prop::bool::weighted(0.05),
        lives in prop::option::weighted(0.3, any::<bool>()),
        flat in any::<bool>(),
        busy in prop::bool::weighted(0.1),
        used in prop::option::weighted(0.3, any::<bool>()),
        needs in prop::collection::vec(resource(), 0..3),
        needed_by in prop::collection::vec(
            prop_oneof![
                content(),
                snapshot(),
                "[a-c]".prop_map(Subject::Image),
                "[ab]".prop_map(Subject::Container),
            ],
            0..2,
        ),
        conditions in prop::collection::vec((snapshot(), any::<bool>()), 0..2),
        below in (content(), snapshot(), any::<bool>()),
    ) -> (Traits, (Subject, Subject, bool)) {
        let traits = Traits { root, lives, flat, busy, used, needs, needed_by, conditions, ..Traits::default() };
        (traits, below)
    }
}

/// Leaves what an object of this kind can have, so that both sides mean the same.
fn fit(subject: &Subject, mut traits: Traits, below: (Subject, Subject, bool)) -> Traits {
    let (content, snapshot, stands) = below;
    traits.stands_on = match (subject, snapshot) {
        (Subject::Image(_), _) => Some(content),
        (Subject::Ingest(_), _) => stands.then_some(content),
        (Subject::Container(_), snapshot) => stands.then_some(snapshot),
        (Subject::Snapshot { snapshotter, .. }, Subject::Snapshot { key, .. }) => {
            stands.then(|| Subject::Snapshot { snapshotter: snapshotter.clone(), key })
        }
        _ => None,
    };
    let labelled = !matches!(subject, Subject::Lease(_) | Subject::Ingest(_));
    if !labelled {
        (traits.needs, traits.needed_by) = (Vec::new(), Vec::new());
    }
    if matches!(subject, Subject::Sandbox(_)) {
        traits.needed_by = Vec::new();
    }
    if !matches!(subject, Subject::Image(_) | Subject::Content(_)) {
        traits.conditions = Vec::new();
    }
    traits.busy &= matches!(subject, Subject::Mount(_));
    traits.flat &= matches!(subject, Subject::Lease(_));
    traits
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let put = (subject(), traits()).prop_map(|(subject, (traits, below))| {
        let traits = fit(&subject, traits, below);
        Move::Put(subject, traits)
    });
    let held = prop_oneof![4 => resource(), 1 => "[a-c]".prop_map(Subject::Ingest)];
    let one = prop_oneof![
        6 => put,
        2 => (lease(), held).prop_map(|(lease, held)| Move::Hold(lease, held)),
        2 => subject().prop_map(Move::Remove),
    ];
    prop::collection::vec((prop_oneof![5 => Just("n"), 1 => Just("m")], one), 1..most)
}

/// The labels of an object.
fn labels(traits: &Traits) -> Labels {
    let mut labels = Labels::new();
    let mut put =
        |name: String, value: &str| labels.insert(format!("containerd.io/gc.{name}"), value.to_owned());
    let link = |direction: &str, index: usize, subject: &Subject| match subject {
        Subject::Content(_) => format!("{direction}.content.{index}"),
        Subject::Image(_) => format!("{direction}.image/{index}"),
        Subject::Container(_) => format!("{direction}.container.{index}"),
        Subject::Snapshot { snapshotter, .. } => format!("{direction}.snapshot.{snapshotter}/{index}"),
        _ => format!("{direction}.mount.{index}"),
    };
    for (index, subject) in traits.needs.iter().enumerate() {
        put(link("ref", index, subject), name(subject));
    }
    for (index, subject) in traits.needed_by.iter().enumerate() {
        put(link("bref", index, subject), name(subject));
    }
    for (index, (snapshot, lately)) in traits.conditions.iter().enumerate() {
        let comparison = if *lately { '<' } else { '>' };
        put(link("cond", index, snapshot), &format!("usedat{comparison}1h|{}", name(snapshot)));
    }
    if let Some(lately) = traits.used {
        put("cond.value-usedat".to_owned(), if lately { FUTURE } else { PAST });
    }
    if traits.root {
        put("root".to_owned(), "yes");
    }
    if traits.flat {
        put("flat".to_owned(), "yes");
    }
    if let Some(lives) = traits.lives {
        labels.insert(EXPIRE.to_owned(), if lives { FUTURE } else { PAST }.to_owned());
    }
    labels
}

fn name(subject: &Subject) -> &str {
    match subject {
        Subject::Snapshot { key, .. } => key,
        Subject::Lease(name) | Subject::Container(name) | Subject::Sandbox(name) | Subject::Image(name) => {
            name
        }
        Subject::Ingest(name) | Subject::Content(name) | Subject::Mount(name) => name,
    }
}

/// What is there.
fn present(view: &impl View) -> BTreeSet<Node> {
    let mut nodes = BTreeSet::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        nodes.extend(Node::at(key).filter(|_| !key.starts_with(b"leased\0")));
        Ok(std::ops::ControlFlow::Continue(()))
    };
    view.scan(b"", visit).expect("scan");
    nodes
}

/// Takes `step`, in the store and in what is wanted of it.
fn take(
    transaction: &mut Transaction<'_>,
    wanted: &mut Wanted,
    (namespace, step): &Step,
) -> Result<(), StoreError> {
    match step.clone() {
        Move::Put(subject, traits) => {
            let node = Node::new(namespace, subject);
            let traits = amend(wanted, &node, traits);
            put(transaction, &node, &traits)?;
            wanted.0.insert(node, traits);
        }
        Move::Hold(lease, held) => {
            let Some(traits) = wanted.0.get_mut(&Node::new(namespace, lease.clone())) else { return Ok(()) };
            let kind = match &held {
                Subject::Content(_) => "content".to_owned(),
                Subject::Image(_) => "images".to_owned(),
                Subject::Ingest(_) => "ingests".to_owned(),
                Subject::Snapshot { snapshotter, .. } => format!("snapshots/{snapshotter}"),
                _ => "mounts".to_owned(),
            };
            LEASED.put(transaction, &[namespace, name(&lease), &kind, name(&held)], &())?;
            traits.holds.insert(held);
        }
        Move::Remove(subject) => {
            let node = Node::new(namespace, subject);
            let carries = |other: &Traits| other.stands_on.as_ref() == Some(&node.subject);
            let is_snapshot = matches!(node.subject, Subject::Snapshot { .. });
            let child = |(other, traits): (&Node, &Traits)| {
                other.namespace == *namespace
                    && matches!(other.subject, Subject::Snapshot { .. })
                    && carries(traits)
            };
            if !(is_snapshot && wanted.0.iter().any(child))
                && let Some(traits) = wanted.0.remove(&node)
            {
                remove(transaction, &node, &traits)?;
            }
        }
    }
    Ok(())
}

/// What a change leaves as it is: the resources of a lease, the parent of a snapshot, which must exist.
fn amend(wanted: &Wanted, node: &Node, mut traits: Traits) -> Traits {
    let before = wanted.0.get(node);
    match (&node.subject, before) {
        (Subject::Lease(_), Some(before)) => traits = before.clone(),
        (Subject::Snapshot { .. }, Some(before)) => traits.stands_on.clone_from(&before.stands_on),
        (Subject::Snapshot { .. }, None) => {
            let exists = |on: &Subject| wanted.0.contains_key(&Node::new(&node.namespace, on.clone()));
            traits.stands_on = traits.stands_on.filter(exists);
        }
        _ => {}
    }
    traits
}

fn put(transaction: &mut Transaction<'_>, node: &Node, traits: &Traits) -> Result<(), StoreError> {
    let (namespace, labels) = (node.namespace.as_str(), labels(traits));
    let below = traits.stands_on.as_ref().map(|on| name(on).to_owned()).unwrap_or_default();
    let at = [namespace, name(&node.subject)];
    let id = at[1].to_owned();
    match &node.subject {
        Subject::Lease(_) => LEASES.put(transaction, &at, &Lease { id, labels, ..Lease::default() }),
        Subject::Sandbox(_) => SANDBOXES.put(transaction, &at, &Sandbox { id, labels, ..Sandbox::default() }),
        Subject::Content(_) => put_blob(transaction, namespace, &id, labels),
        Subject::Image(_) => put_image(transaction, namespace, &id, &below, labels),
        Subject::Container(_) => {
            let snapshotter = match &traits.stands_on {
                Some(Subject::Snapshot { snapshotter, .. }) => snapshotter.clone(),
                _ => String::new(),
            };
            let snapshot_key = below;
            let container = Container { id, labels, snapshotter, snapshot_key, ..Container::default() };
            CONTAINERS.put(transaction, &at, &container)
        }
        Subject::Ingest(_) => {
            let expires_at = traits.lives.map(|lives| {
                let text = if lives { FUTURE } else { PAST };
                SystemTime::from(text.parse::<jiff::Timestamp>().expect("a time")).into()
            });
            let (reference, file) = (id.clone(), id);
            let ingest = Ingest { reference, file, linked: below, expires_at, ..Ingest::default() };
            INGESTS.put(transaction, &at, &ingest)
        }
        Subject::Mount(_) => {
            let mount = Activation { name: id, labels, complete: !traits.busy, ..Activation::default() };
            MOUNTS.put(transaction, &at, &mount)
        }
        Subject::Snapshot { snapshotter, key } => {
            if !below.is_empty() {
                CHILDREN.put(transaction, &[namespace, snapshotter, &below, key], &())?;
            }
            let kind = Kind::Committed.into();
            let record = Record { key: key.clone(), parent: below, kind, labels, ..Record::default() };
            SNAPSHOTS.put(transaction, &[namespace, snapshotter, key], &record)
        }
    }
}

fn remove(transaction: &mut Transaction<'_>, node: &Node, traits: &Traits) -> Result<(), StoreError> {
    let at = [node.namespace.as_str(), name(&node.subject)];
    match &node.subject {
        Subject::Lease(_) => {
            LEASED.clear(transaction, &at)?;
            LEASES.remove(transaction, &at)
        }
        Subject::Sandbox(_) => SANDBOXES.remove(transaction, &at),
        Subject::Container(_) => CONTAINERS.remove(transaction, &at),
        Subject::Image(_) => IMAGES.remove(transaction, &at),
        Subject::Ingest(_) => INGESTS.remove(transaction, &at),
        Subject::Mount(_) => MOUNTS.remove(transaction, &at),
        Subject::Content(digest) => {
            HOLDERS.remove(transaction, &[digest, at[0]])?;
            BLOBS.remove(transaction, &at)
        }
        Subject::Snapshot { snapshotter, key } => {
            if let Some(on) = &traits.stands_on {
                CHILDREN.remove(transaction, &[at[0], snapshotter, name(on), key])?;
            }
            SNAPSHOTS.remove(transaction, &[at[0], snapshotter, key])
        }
    }
    .map(drop)
}

/// A client that looks, in the transaction of each of its steps, for all that was wanted after the one before.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Wanted>>);

impl Client {
    async fn take(&self, world: &World, step: Step) {
        let this = self.clone();
        let work = move |transaction: &mut Transaction<'_>| {
            let mut wanted = this.look(&present(transaction));
            take(transaction, &mut wanted, &step)?;
            *this.0.lock().expect("not poisoned") = wanted;
            Ok::<_, StoreError>(())
        };
        world.metadata.write(Durability::Process, work).await.expect("write");
    }

    /// What is wanted among what is `present`: all that was wanted must be.
    fn look(&self, present: &BTreeSet<Node>) -> Wanted {
        let mut wanted = self.0.lock().expect("not poisoned").clone();
        let lost: Vec<String> = wanted.kept().difference(present).map(Node::to_string).collect();
        assert!(lost.is_empty(), "wanted, and gone: {lost:?}");
        wanted.0.retain(|node, _| present.contains(node));
        wanted
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_wanted_goes_and_nothing_else_stays(before in steps(50), beside in steps(30)) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        runtime.block_on(async {
            let (world, client) = (Arc::new(World::new()), Client::default());
            for step in before {
                client.take(&world, step).await;
            }
            let working = tokio::spawn({
                let (world, client) = (world.clone(), client.clone());
                async move {
                    for step in beside {
                        client.take(&world, step).await;
                        tokio::task::yield_now().await;
                    }
                }
            });
            for _ in 0..3 {
                world.collector.collect(Reach::All).await.expect("collect");
            }
            working.await.expect("client");
            world.collector.collect(Reach::All).await.expect("collect");
            let present = present(&world.metadata.read().expect("read"));
            assert_eq!(client.look(&present).kept(), present, "all that is wanted, and nothing else");
            for node in &present {
                assert!(world.collector.why(node).expect("why").is_some(), "{node} is kept for a reason");
            }
        });
    }

    /// The client takes a step at the worst moment: after the mark, before anything is removed.
    #[test]
    fn what_is_wanted_again_after_the_mark_stays(before in steps(50), between in steps(6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let (world, client) = (World::new(), Client::default());
            for step in before {
                client.take(&world, step).await;
            }
            let marked = world.collector.mark(Reach::All).await.expect("mark");
            for step in between {
                client.take(&world, step).await;
            }
            world.collector.sweep(marked).await.expect("sweep");
            client.look(&present(&world.metadata.read().expect("read")));
        });
    }
}
