//! The collector: when to collect, and the collection itself.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dhow_proto::containerd::events::SnapshotRemove;
use dhow_proto::containerd::services::images::v1::ImageDelete;

use super::graph::{Graph, YOUTH};
use super::mark::{Marked, way};
use super::node::{Node, Subject};
use super::{CollectError, Requests, history};
use crate::blocking;
use crate::content::{self, BLOBS, Digest, HOLDERS, INGESTS};
use crate::event::Exchange;
use crate::image::IMAGES;
use crate::lease::{LEASED, LEASES};
use crate::metadata::{self, Durability, Snapshot, StoreError, Transaction, View, Watch};
use crate::mount::{self, MOUNTS};
use crate::snapshot::{self, SNAPSHOTS, Snapshotters};

/// How long to wait for more deletions after the first.
const SETTLE: Duration = Duration::from_millis(200);
/// A collection every so often, even if nothing asks for one.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// For each moment of collecting, how many to leave alone.
const PAUSE: u32 = 50;
/// How many objects one transaction removes.
const CHUNK: usize = 64;

/// Collects garbage.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    metadata: metadata::Store,
    content: content::Store,
    snapshotters: Snapshotters,
    mounts: mount::Manager,
    events: Exchange,
}

/// Which garbage to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of it: a client asked, and waits.
    All,
    /// What is not young: some clients make an object first, and refer to it a moment later.
    Old,
}

/// What a mark found, while the store notes what is written.
pub(super) struct Look {
    graph: Graph,
    marked: Marked,
    watch: Watch,
}

/// Something that was removed from the metadata, and what must still be done for it.
pub(super) enum Removed {
    Image(Node, String),
    Snapshot(Node, String, Box<snapshot::Record>),
    Content(Node, Digest),
    Ingest(Node, String),
    Mount(Node, u64),
    Other(Node),
}

impl Removed {
    fn node(&self) -> &Node {
        match self {
            Self::Image(node, _) | Self::Snapshot(node, ..) | Self::Content(node, _) => node,
            Self::Ingest(node, _) | Self::Mount(node, _) | Self::Other(node) => node,
        }
    }
}

impl Collector {
    /// A collector over everything that can be collected.
    pub(crate) fn new(
        metadata: metadata::Store,
        content: content::Store,
        snapshotters: Snapshotters,
        mounts: mount::Manager,
        events: Exchange,
    ) -> Self {
        Self { metadata, content, snapshotters, mounts, events }
    }

    /// Collects when asked, when something was deleted, and when a root expires, for as long as there are triggers.
    pub(crate) async fn run(self, mut requests: Requests) {
        let mut next = PERIOD;
        let mut rested = Instant::now();
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                request = requests.now.recv() => match request {
                    Some(request) => waiting.push(request),
                    None => return,
                },
                () = async {
                    requests.soon.notified().await;
                    tokio::time::sleep(SETTLE.max(rested.saturating_duration_since(Instant::now()))).await;
                } => {}
                () = tokio::time::sleep(next) => {}
            }
            while let Ok(request) = requests.now.try_recv() {
                waiting.push(request);
            }
            let began = Instant::now();
            let reach = if waiting.is_empty() { Reach::Old } else { Reach::All };
            let collected = self.collect(reach).await;
            rested = Instant::now() + began.elapsed() * PAUSE;
            match &collected {
                Ok(expiry) => {
                    let left = expiry.and_then(|expiry| expiry.duration_since(SystemTime::now()).ok());
                    next = left.unwrap_or(PERIOD).clamp(SETTLE, PERIOD);
                }
                Err(error) => {
                    tracing::warn!(error = %dhow_proto::error::chain(error), "garbage collection failed");
                }
            }
            let failure = collected.err().map(Arc::new);
            for request in waiting {
                // Who asked may have gone.
                let answer = failure.clone().map_or(Ok(()), |failure| Err(CollectError::Failed(failure)));
                drop(request.send(answer));
            }
        }
    }

    /// Collects once, and says when there will be more to collect.
    pub(super) async fn collect(&self, reach: Reach) -> Result<Option<SystemTime>, CollectError> {
        let began = Instant::now();
        let look = self.mark(reach).await?;
        let expiry = look.graph.expiry;
        let removed = self.sweep(look).await?;
        if !removed.is_empty() {
            self.finish(&removed).await?;
            tracing::info!(removed = removed.len(), took = ?began.elapsed(), "collected garbage");
        }
        Ok(expiry)
    }

    /// Marks all that is to stay; what is written from now on is noted.
    pub(super) async fn mark(&self, reach: Reach) -> Result<Look, CollectError> {
        let watch = self.metadata.watch();
        let view = self.metadata.read()?;
        let look = blocking::run(move || {
            let now = SystemTime::now();
            let mut graph = Graph::scan(&view, now)?;
            let mut marked = Marked::default();
            marked.mark(graph.roots.iter().cloned(), |step| graph.references(&view, step))?;
            if reach == Reach::Old {
                let spared: Vec<Node> =
                    graph.young.iter().filter(|node| !marked.contains(node)).cloned().collect();
                if !spared.is_empty() {
                    let grown = now + YOUTH;
                    graph.expiry = Some(graph.expiry.map_or(grown, |expiry| expiry.min(grown)));
                }
                marked.mark(spared.into_iter().map(Node::deep), |step| graph.references(&view, step))?;
            }
            Ok::<_, StoreError>(Look { graph, marked, watch })
        });
        Ok(look.await?)
    }

    /// Removes what is unmarked from the metadata, children before what they stand on, a few at a time.
    pub(super) async fn sweep(&self, look: Look) -> Result<Vec<Removed>, CollectError> {
        let mut removed = Vec::new();
        let Look { graph, marked, watch } = look;
        let unmarked = graph.collectible.iter().filter(|node| !marked.contains(node));
        let mut garbage: Vec<Node> = unmarked.cloned().collect();
        if garbage.is_empty() {
            return Ok(removed);
        }
        order(&self.metadata.read()?, &mut garbage)?;
        let shared = Arc::new(std::sync::Mutex::new((graph, marked)));
        for chunk in garbage.chunks(CHUNK) {
            let (this, shared, chunk) = (self.clone(), shared.clone(), chunk.to_vec());
            let remove = move |transaction: &mut Transaction<'_>| {
                let mut look = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let (graph, marked) = &mut *look;
                let written = transaction.written();
                let steps = written.iter().filter_map(|key| Node::at(key)).map(Node::deep);
                marked.mark_again(steps, |step| graph.references(transaction, step))?;
                let mut removed = Vec::new();
                for node in chunk.iter().filter(|node| !marked.contains(node)) {
                    removed.extend(this.remove(transaction, node)?);
                }
                Ok::<_, StoreError>(removed)
            };
            let gone = self.metadata.write(Durability::Process, remove).await?;
            gone.iter().for_each(|gone| self.tell(gone));
            removed.extend(gone);
        }
        // Not with the last closure: the writer may drop that when the next collection already watches.
        drop(watch);
        Ok(removed)
    }

    /// Takes the record of `node` away; `None` when it was gone already.
    fn remove(&self, transaction: &mut Transaction<'_>, node: &Node) -> Result<Option<Removed>, StoreError> {
        let namespace = node.namespace.as_str();
        Ok(match &node.subject {
            Subject::Lease(id) => {
                LEASED.clear(transaction, &[namespace, id])?;
                LEASES.remove(transaction, &[namespace, id])?.then(|| Removed::Other(node.clone()))
            }
            Subject::Image(name) => IMAGES
                .remove(transaction, &[namespace, name])?
                .then(|| Removed::Image(node.clone(), name.clone())),
            Subject::Ingest(reference) => {
                let ingest = INGESTS.get(transaction, &[namespace, reference])?;
                INGESTS.remove(transaction, &[namespace, reference])?;
                ingest.map(|ingest| Removed::Ingest(node.clone(), ingest.file))
            }
            Subject::Content(digest) => {
                HOLDERS.remove(transaction, &[digest, namespace])?;
                let present = BLOBS.remove(transaction, &[namespace, digest])?;
                match digest.parse() {
                    Ok(digest) if present => Some(Removed::Content(node.clone(), digest)),
                    _ => None,
                }
            }
            Subject::Snapshot { snapshotter, key } => {
                let record = SNAPSHOTS.get(transaction, &[namespace, snapshotter, key])?;
                match (self.snapshotters.named(snapshotter), record) {
                    (Ok(snapshots), Some(record)) => {
                        snapshots.take_out(transaction, namespace, &record)?;
                        Some(Removed::Snapshot(node.clone(), snapshotter.clone(), Box::new(record)))
                    }
                    _ => None,
                }
            }
            Subject::Mount(name) => {
                let found = MOUNTS.get(transaction, &[namespace, name])?.filter(|found| found.complete);
                if found.is_some() {
                    MOUNTS.remove(transaction, &[namespace, name])?;
                }
                found.map(|found| Removed::Mount(node.clone(), found.number))
            }
            Subject::Container(_) | Subject::Sandbox(_) => None,
        })
    }

    fn tell(&self, removed: &Removed) {
        let namespace = &removed.node().namespace;
        match removed {
            Removed::Image(_, name) => {
                self.events.publish(namespace, "/images/delete", &ImageDelete { name: name.clone() });
            }
            Removed::Snapshot(_, snapshotter, record) => {
                let event = SnapshotRemove { key: record.key.clone(), snapshotter: snapshotter.clone() };
                self.events.publish(namespace, "/snapshot/remove", &event);
            }
            Removed::Content(..) | Removed::Ingest(..) | Removed::Mount(..) | Removed::Other(_) => {}
        }
    }

    /// Deletes the files behind what was removed, once its removal is on disk.
    async fn finish(&self, removed: &[Removed]) -> Result<(), CollectError> {
        let nodes: Vec<Node> = removed.iter().map(|removed| removed.node().clone()).collect();
        let remember = move |transaction: &mut Transaction<'_>| history::remember(transaction, &nodes);
        self.metadata.write(Durability::Disk, remember).await?;
        let (mut digests, mut ingests) = (Vec::new(), Vec::new());
        for removed in removed {
            match removed {
                Removed::Content(_, digest) => digests.push(digest.clone()),
                Removed::Ingest(_, file) => ingests.push(file.clone()),
                Removed::Snapshot(_, snapshotter, record) => {
                    if let Ok(snapshots) = self.snapshotters.named(snapshotter) {
                        snapshots.discard(record);
                    }
                }
                Removed::Mount(node, number) => {
                    if let Err(error) = self.mounts.clear(*number).await {
                        let error = dhow_proto::error::chain(&error);
                        tracing::warn!(%node, error, "a collected mount stays until the next start");
                    }
                }
                Removed::Image(..) | Removed::Other(_) => {}
            }
        }
        let discarded = self.content.discard(&ingests).await;
        self.content.settle(&digests).await?;
        Ok(discarded?)
    }

    /// The newest state of the store.
    pub(super) fn view(&self) -> Result<Snapshot, StoreError> {
        self.metadata.read()
    }

    /// The way from a root to `node`, root first; `None` when nothing keeps it.
    pub(crate) fn why(&self, node: &Node) -> Result<Option<Vec<Node>>, StoreError> {
        let view = self.metadata.read()?;
        let graph = Graph::scan(&view, SystemTime::now())?;
        way(&graph.roots, node, |step| graph.references(&view, step))
    }
}

/// Puts snapshots that stand on others before those: a crash between leaves none without its parent.
fn order(view: &impl View, garbage: &mut [Node]) -> Result<(), StoreError> {
    let mut depths = std::collections::HashMap::new();
    for node in garbage.iter() {
        let mut depth = 0u32;
        let mut at = node.clone();
        while let Subject::Snapshot { snapshotter, key } = &at.subject {
            depth += 1;
            let record = SNAPSHOTS.get(view, &[&at.namespace, snapshotter, key])?;
            let Some(record) = record.filter(|record| !record.parent.is_empty()) else { break };
            let snapshotter = snapshotter.clone();
            at = Node::new(&at.namespace, Subject::Snapshot { snapshotter, key: record.parent });
        }
        depths.insert(node.clone(), depth);
    }
    garbage.sort_by_key(|node| std::cmp::Reverse(depths.get(node).copied()));
    Ok(())
}
