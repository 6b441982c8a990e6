//! Marking: everything that can be reached.

use std::collections::{HashMap, HashSet};

use super::node::{Node, Step};

/// What was reached so far; a later mark adds to it.
#[derive(Debug, Default)]
pub(super) struct Marked {
    steps: HashSet<Step>,
    nodes: HashSet<Node>,
}

impl Marked {
    /// Whether `node` was reached, in whatever way.
    pub(super) fn contains(&self, node: &Node) -> bool {
        self.nodes.contains(node)
    }

    /// Marks `from` and all that follows from them, though they were marked before: their records are new.
    pub(super) fn mark_again<E>(
        &mut self,
        from: impl IntoIterator<Item = Step>,
        mut references: impl FnMut(&Step) -> Result<Vec<Step>, E>,
    ) -> Result<(), E> {
        for step in from {
            self.steps.remove(&step);
            self.mark([step], &mut references)?;
        }
        Ok(())
    }

    /// Marks `from` and all that follows from them, as `references` tells.
    pub(super) fn mark<E>(
        &mut self,
        from: impl IntoIterator<Item = Step>,
        mut references: impl FnMut(&Step) -> Result<Vec<Step>, E>,
    ) -> Result<(), E> {
        let mut waiting: Vec<Step> = from.into_iter().collect();
        while let Some(step) = waiting.pop() {
            if !self.steps.contains(&step) {
                waiting.extend(references(&step)?);
                self.nodes.insert(step.node.clone());
                self.steps.insert(step);
            }
        }
        Ok(())
    }
}

/// The way from a root to `wanted`, root first; `None` when there is none.
pub(super) fn way<E>(
    roots: &[Step],
    wanted: &Node,
    mut references: impl FnMut(&Step) -> Result<Vec<Step>, E>,
) -> Result<Option<Vec<Node>>, E> {
    let mut came_from: HashMap<Step, Option<Step>> = HashMap::new();
    let mut waiting: std::collections::VecDeque<(Step, Option<Step>)> =
        roots.iter().cloned().map(|root| (root, None)).collect();
    while let Some((step, from)) = waiting.pop_front() {
        if came_from.contains_key(&step) {
            continue;
        }
        came_from.insert(step.clone(), from);
        if step.node == *wanted {
            let mut way = vec![step.node.clone()];
            let mut at = step;
            while let Some(Some(from)) = came_from.get(&at) {
                way.push(from.node.clone());
                at = from.clone();
            }
            way.reverse();
            return Ok(Some(way));
        }
        waiting.extend(references(&step)?.into_iter().map(|next| (next, Some(step.clone()))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::gc::node::Subject;

    fn step(name: u8) -> Step {
        Node::new("n", Subject::Content(name.to_string())).deep()
    }

    /// Reachability by repetition until nothing changes: slow, and plainly right.
    fn closure(roots: &[u8], edges: &BTreeMap<u8, Vec<u8>>) -> BTreeSet<u8> {
        let mut reached: BTreeSet<u8> = roots.iter().copied().collect();
        loop {
            let more: Vec<u8> =
                reached.iter().filter_map(|node| edges.get(node)).flatten().copied().collect();
            let before = reached.len();
            reached.extend(more);
            if reached.len() == before {
                return reached;
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_what_is_reachable_is_marked(
            roots in prop::collection::vec(0u8..20, 0..4),
            edges in prop::collection::btree_map(0u8..20, prop::collection::vec(0u8..20, 0..4), 0..20),
        ) {
            let references = |at: &Step| -> Result<Vec<Step>, Infallible> {
                let Subject::Content(name) = &at.node.subject else { return Ok(Vec::new()) };
                let name: u8 = name.parse().expect("a number");
                Ok(edges.get(&name).into_iter().flatten().map(|to| step(*to)).collect())
            };
            let mut marked = Marked::default();
            marked.mark(roots.iter().map(|root| step(*root)), references).expect("infallible");
            let reached = closure(&roots, &edges);
            let starts: Vec<Step> = roots.iter().map(|root| step(*root)).collect();
            for node in 0u8..20 {
                prop_assert_eq!(marked.contains(&step(node).node), reached.contains(&node));
                let way = way(&starts, &step(node).node, references).expect("infallible");
                prop_assert_eq!(way.is_some(), reached.contains(&node));
            }
        }
    }
}
