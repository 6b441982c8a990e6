//! What ought to stay: worked out from what a client has done, without a look at any record or label.

use std::collections::{BTreeMap, BTreeSet};

use crate::gc::{Node, Subject};

/// What a client says of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Traits {
    pub(super) root: bool,
    /// Whether it lives on, where it has a time to expire.
    pub(super) lives: Option<bool>,
    /// A lease: what is in it, not what that refers to.
    pub(super) flat: bool,
    /// A mount that is not complete yet.
    pub(super) busy: bool,
    /// A snapshot that was used lately, or long ago.
    pub(super) used: Option<bool>,
    pub(super) needs: Vec<Subject>,
    pub(super) needed_by: Vec<Subject>,
    /// It needs a snapshot as long as that was used lately, or only once that is long ago.
    pub(super) conditions: Vec<(Subject, bool)>,
    /// The target of an image, the parent of a snapshot, the snapshot of a container, what an ingest is a link to.
    pub(super) stands_on: Option<Subject>,
    /// What is in a lease.
    pub(super) holds: BTreeSet<Subject>,
}

/// All that the client has made, as far as it is still there.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted(pub(super) BTreeMap<Node, Traits>);

impl Wanted {
    /// What must stay: rules are applied until none adds anything. Slow, and plain.
    pub(super) fn kept(&self) -> BTreeSet<Node> {
        // With each whether what it names counts, too. Some of it may not exist: others can name it all the same.
        let mut reached: BTreeSet<(Node, bool)> = BTreeSet::new();
        for (node, traits) in &self.0 {
            if is_root(node, traits) {
                reached.insert((node.clone(), true));
                let held = traits.holds.iter().cloned().map(|held| {
                    let deep = !traits.flat || matches!(held, Subject::Ingest(_));
                    (Node::new(&node.namespace, held), deep)
                });
                reached.extend(held);
            }
        }
        loop {
            let more: Vec<(Node, bool)> =
                reached.iter().flat_map(|(node, deep)| self.next(node, *deep)).collect();
            let before = reached.len();
            reached.extend(more);
            if reached.len() == before {
                break;
            }
        }
        reached.into_iter().map(|(node, _)| node).filter(|node| self.0.contains_key(node)).collect()
    }

    fn next(&self, from: &Node, deep: bool) -> Vec<(Node, bool)> {
        let node = |subject: &Subject| Node::new(&from.namespace, subject.clone());
        let traits = self.0.get(from).cloned().unwrap_or_default();
        let mut next: Vec<(Node, bool)> = traits.stands_on.iter().map(|on| (node(on), deep)).collect();
        if deep {
            next.extend(traits.needs.iter().map(|need| (node(need), true)));
            let others = self.0.iter().filter(|(other, _)| other.namespace == from.namespace);
            let attached = others.filter(|(_, traits)| traits.needed_by.contains(&from.subject));
            next.extend(attached.map(|(other, _)| (other.clone(), true)));
            let used = |snapshot| self.0.get(&node(snapshot)).and_then(|snapshot| snapshot.used);
            let met = traits.conditions.iter().filter(|(snapshot, lately)| used(snapshot) == Some(*lately));
            next.extend(met.map(|(snapshot, _)| (node(snapshot), true)));
        }
        next
    }
}

fn is_root(node: &Node, traits: &Traits) -> bool {
    match node.subject {
        Subject::Container(_) | Subject::Sandbox(_) => true,
        Subject::Image(_) | Subject::Lease(_) => traits.lives != Some(false),
        Subject::Ingest(_) => traits.lives == Some(true),
        _ => traits.root || traits.busy || traits.lives == Some(true),
    }
}
