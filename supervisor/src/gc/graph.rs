//! The graph in the store: roots, what refers to what, and everything there is.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

use super::condition;
use super::label;
use super::node::{Node, Step, Subject};
use crate::container::CONTAINERS;
use crate::content::{BLOBS, INGESTS};
use crate::image::IMAGES;
use crate::label::Labels;
use crate::lease::{LEASED, LEASES, Resource};
use crate::metadata::{StoreError, View};
use crate::mount::MOUNTS;
use crate::sandbox::SANDBOXES;
use crate::snapshot::SNAPSHOTS;

/// One look at the whole store.
#[derive(Debug)]
pub(super) struct Graph {
    /// Where marking begins.
    pub(super) roots: Vec<Step>,
    /// What may be collected.
    pub(super) collectible: Vec<Node>,
    /// References that are written down at their end.
    back: HashMap<Node, Vec<Node>>,
    /// Objects that somebody may be about to refer to: they are new, or have just changed.
    pub(super) young: Vec<Node>,
    /// When the next root expires, or the next condition ceases to hold.
    pub(super) expiry: Option<SystemTime>,
    /// When we looked.
    now: SystemTime,
}

/// How long an object is young.
pub(super) const YOUTH: Duration = Duration::from_secs(60);

impl Graph {
    /// Looks at everything in `view`, at the time `now`.
    pub(super) fn scan(view: &impl View, now: SystemTime) -> Result<Self, StoreError> {
        let mut graph = Self {
            roots: Vec::new(),
            collectible: Vec::new(),
            back: HashMap::new(),
            young: Vec::new(),
            expiry: None,
            now,
        };
        graph.leases(view, now)?;
        CONTAINERS.each(view, &[], |names, container| {
            if let [namespace, id] = names {
                let node = Node::new(namespace, Subject::Container(id.clone()));
                graph.link_back(&node, &container.labels);
                graph.roots.push(node.deep());
            }
            Ok(())
        })?;
        SANDBOXES.each(view, &[], |names, _| {
            if let [namespace, id] = names {
                graph.roots.push(Node::new(namespace, Subject::Sandbox(id.clone())).deep());
            }
            Ok(())
        })?;
        IMAGES.each(view, &[], |names, image| {
            if let [namespace, name] = names {
                let node = Node::new(namespace, Subject::Image(name.clone()));
                graph.note_conditions(view, &node, &image.labels)?;
                graph.add(node, &image.labels, |graph| match label::expiry(&image.labels) {
                    Some(expiry) => graph.lives_until(expiry, now),
                    None => true,
                });
            }
            Ok(())
        })?;
        INGESTS.each(view, &[], |names, ingest| {
            if let [namespace, reference] = names {
                let node = Node::new(namespace, Subject::Ingest(reference.clone()));
                let expiry = ingest.expires_at.and_then(|expiry| SystemTime::try_from(expiry).ok());
                let root = |graph: &mut Self| expiry.is_some_and(|expiry| graph.lives_until(expiry, now));
                graph.add(node, &Labels::new(), root);
            }
            Ok(())
        })?;
        BLOBS.each(view, &[], |names, blob| {
            if let [namespace, digest] = names {
                let node = Node::new(namespace, Subject::Content(digest.clone()));
                graph.note_conditions(view, &node, &blob.labels)?;
                graph.note_age(&node, blob.updated_at.filter(|_| !blob.leased), now);
                graph.add(node, &blob.labels, |graph| graph.is_labelled_root(&blob.labels, now));
            }
            Ok(())
        })?;
        SNAPSHOTS.each(view, &[], |names, record| {
            if let [namespace, snapshotter, key] = names {
                let (snapshotter, key) = (snapshotter.clone(), key.clone());
                let node = Node::new(namespace, Subject::Snapshot { snapshotter, key });
                graph.note_age(&node, record.updated_at.filter(|_| !record.leased), now);
                graph.add(node, &record.labels, |graph| graph.is_labelled_root(&record.labels, now));
            }
            Ok(())
        })?;
        MOUNTS.each(view, &[], |names, mount| {
            if let [namespace, name] = names {
                let node = Node::new(namespace, Subject::Mount(name.clone()));
                graph.note_age(&node, mount.updated_at.filter(|_| !mount.leased), now);
                // One that is being mounted is nobody's yet; the manager takes it back if that fails.
                let root = |graph: &mut Self| graph.is_labelled_root(&mount.labels, now) || !mount.complete;
                graph.add(node, &mount.labels, root);
            }
            Ok(())
        })?;
        Ok(graph)
    }

    /// Notes when conditions that hold will cease to.
    fn note_conditions(&mut self, view: &impl View, node: &Node, labels: &Labels) -> Result<(), StoreError> {
        for (condition, used) in condition::holding(view, &node.namespace, labels, self.now)? {
            if let Some(end) = condition.ends(used) {
                self.lives_until(end, self.now);
            }
        }
        Ok(())
    }

    fn leases(&mut self, view: &impl View, now: SystemTime) -> Result<(), StoreError> {
        let mut alive = HashMap::new();
        LEASES.each(view, &[], |names, lease| {
            if let [namespace, id] = names {
                let node = Node::new(namespace, Subject::Lease(id.clone()));
                let lives = label::expiry(&lease.labels).is_none_or(|expiry| self.lives_until(expiry, now));
                if lives {
                    alive.insert((namespace.clone(), id.clone()), label::is_flat(&lease.labels));
                }
                self.add(node, &Labels::new(), |_| lives);
            }
            Ok(())
        })?;
        LEASED.each(view, &[], |names, ()| {
            if let [namespace, lease, kind, id] = names
                && let Some(flat) = alive.get(&(namespace.clone(), lease.clone()))
                && let Ok(resource) = Resource::parse(kind, id)
            {
                let flat = *flat && !matches!(resource, Resource::Ingest(_));
                self.roots.push(Step { node: Node::new(namespace, resource.into()), flat });
            }
            Ok(())
        })
    }

    /// Notes an object that may be collected, unless it is a root.
    fn add(&mut self, node: Node, labels: &Labels, root: impl FnOnce(&mut Self) -> bool) {
        self.link_back(&node, labels);
        if root(self) {
            self.roots.push(node.clone().deep());
        }
        self.collectible.push(node);
    }

    fn note_age(&mut self, node: &Node, updated: Option<Timestamp>, now: SystemTime) {
        let updated = updated.and_then(|updated| SystemTime::try_from(updated).ok());
        if updated.is_some_and(|updated| now.duration_since(updated).unwrap_or_default() < YOUTH) {
            self.young.push(node.clone());
        }
    }

    fn link_back(&mut self, node: &Node, labels: &Labels) {
        for from in label::back_references(&node.namespace, labels) {
            self.back.entry(from).or_default().push(node.clone());
        }
    }

    fn is_labelled_root(&mut self, labels: &Labels, now: SystemTime) -> bool {
        if let Some(expiry) = label::expiry(labels) {
            self.lives_until(expiry, now);
        }
        label::is_root(labels, now)
    }

    fn lives_until(&mut self, expiry: SystemTime, now: SystemTime) -> bool {
        if expiry <= now {
            return false;
        }
        self.expiry = Some(self.expiry.map_or(expiry, |earlier| earlier.min(expiry)));
        true
    }

    /// What `step` needs, in `view`, which may be newer than this look.
    pub(super) fn references(&self, view: &impl View, step: &Step) -> Result<Vec<Step>, StoreError> {
        let mut needs = needs(view, step, self.now)?;
        if !step.flat {
            needs.extend(self.back.get(&step.node).into_iter().flatten().cloned().map(Node::deep));
        }
        Ok(needs)
    }
}

fn needs(view: &impl View, Step { node, flat }: &Step, now: SystemTime) -> Result<Vec<Step>, StoreError> {
    let namespace = node.namespace.as_str();
    let mut needs = Vec::new();
    let mut stands_on = |subject| needs.push(Step { node: Node::new(namespace, subject), flat: *flat });
    let labels = match &node.subject {
        Subject::Content(digest) => BLOBS.get(view, &[namespace, digest])?.map(|blob| blob.labels),
        Subject::Snapshot { snapshotter, key } => {
            let record = SNAPSHOTS.get(view, &[namespace, snapshotter, key])?;
            if let Some(record) = record.as_ref().filter(|record| !record.parent.is_empty()) {
                let (snapshotter, key) = (snapshotter.clone(), record.parent.clone());
                stands_on(Subject::Snapshot { snapshotter, key });
            }
            record.map(|record| record.labels)
        }
        Subject::Image(name) => {
            let image = IMAGES.get(view, &[namespace, name])?;
            if let Some(image) = &image {
                stands_on(Subject::Content(image.digest().to_owned()));
            }
            image.map(|image| image.labels)
        }
        Subject::Container(id) => {
            let container = CONTAINERS.get(view, &[namespace, id])?;
            if let Some(container) = container.as_ref().filter(|container| !container.snapshotter.is_empty())
            {
                let (snapshotter, key) = (container.snapshotter.clone(), container.snapshot_key.clone());
                stands_on(Subject::Snapshot { snapshotter, key });
            }
            container.map(|container| container.labels)
        }
        Subject::Ingest(reference) => {
            let ingest = INGESTS.get(view, &[namespace, reference])?;
            if let Some(ingest) = ingest.filter(|ingest| !ingest.linked.is_empty()) {
                stands_on(Subject::Content(ingest.linked));
            }
            None
        }
        Subject::Sandbox(id) => SANDBOXES.get(view, &[namespace, id])?.map(|sandbox| sandbox.labels),
        Subject::Mount(name) => MOUNTS.get(view, &[namespace, name])?.map(|mount| mount.labels),
        // Its resources are roots by themselves; one that is new since then is written, and found that way.
        Subject::Lease(_) => None,
    };
    if !flat {
        let labels = labels.unwrap_or_default();
        needs.extend(label::references(namespace, &labels).into_iter().map(Node::deep));
        if matches!(node.subject, Subject::Image(_) | Subject::Content(_)) {
            let holding = condition::holding(view, namespace, &labels, now)?;
            needs.extend(holding.into_iter().map(|(condition, _)| condition.snapshot.deep()));
        }
    }
    Ok(needs)
}
