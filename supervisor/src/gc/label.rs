//! The labels that steer garbage collection: containerd's.
//!
//! ```text
//! containerd.io/gc.root                                 this object is a root
//! containerd.io/gc.expire = RFC 3339 time               an image or lease counts until then; others are roots until then
//! containerd.io/gc.flat                                 a lease holds what is in it, not what that refers to
//! containerd.io/gc.ref.content[./ANY] = DIGEST          this object needs that content
//! containerd.io/gc.ref.image[./ANY] = NAME              ... that image
//! containerd.io/gc.ref.mount[./ANY] = NAME              ... that activated mount
//! containerd.io/gc.ref.snapshot.SNAPSHOTTER[/ANY] = KEY ... that snapshot
//! containerd.io/gc.bref.{content,image,container}...    the other way: that object needs this one
//! containerd.io/gc.bref.snapshot.SNAPSHOTTER[/ANY]
//! containerd.io/gc.cond....                             conditional references: [`super::condition`]
//! ```

use std::time::SystemTime;

use super::node::{Node, Subject};
use crate::label::Labels;

/// An object with this label is a root.
const ROOT: &str = "containerd.io/gc.root";
/// The time until which an object counts.
pub(crate) const EXPIRE: &str = "containerd.io/gc.expire";
/// On a lease: what is in it, and no more.
const FLAT: &str = "containerd.io/gc.flat";
const REFERENCE: &str = "containerd.io/gc.ref.";
const BACK_REFERENCE: &str = "containerd.io/gc.bref.";

/// When `labels` say that their object expires; a time that cannot be read is no time.
pub(crate) fn expiry(labels: &Labels) -> Option<SystemTime> {
    let text = labels.get(EXPIRE)?;
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Some(time.into()),
        Err(_) => {
            tracing::info!(value = text, "ignoring an invalid {EXPIRE} label");
            None
        }
    }
}

/// Whether a lease with these labels is flat.
pub(super) fn is_flat(labels: &Labels) -> bool {
    labels.contains_key(FLAT)
}

/// Whether content or a snapshot with these labels is a root at `now`.
pub(super) fn is_root(labels: &Labels, now: SystemTime) -> bool {
    // Prefix, as containerd reads it: clients give their roots names.
    labels.range(ROOT.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(ROOT))
        || expiry(labels).is_some_and(|expiry| expiry > now)
}

/// What an object with these labels needs.
pub(super) fn references(namespace: &str, labels: &Labels) -> Vec<Node> {
    named(namespace, labels, REFERENCE)
}

/// What needs an object with these labels.
pub(super) fn back_references(namespace: &str, labels: &Labels) -> Vec<Node> {
    named(namespace, labels, BACK_REFERENCE)
}

fn named(namespace: &str, labels: &Labels, prefix: &str) -> Vec<Node> {
    let from = labels.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
    from.filter_map(|(name, value)| subject(&name[prefix.len()..], value))
        .map(|subject| Node::new(namespace, subject))
        .collect()
}

fn subject(name: &str, value: &str) -> Option<Subject> {
    let value = value.to_owned();
    if let Some(rest) = name.strip_prefix("snapshot.") {
        let snapshotter = rest.split('/').next().unwrap_or_default().to_owned();
        return Some(Subject::Snapshot { snapshotter, key: value });
    }
    let end = name.find(['.', '/']).unwrap_or(name.len());
    match &name[..end] {
        "content" => Some(Subject::Content(value)),
        "image" => Some(Subject::Image(value)),
        "container" => Some(Subject::Container(value)),
        "mount" => Some(Subject::Mount(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_what_is_needed() {
        let labels: Labels = [
            ("containerd.io/gc.ref.content", "a"),
            ("containerd.io/gc.ref.content.l.1", "b"),
            ("containerd.io/gc.ref.content/m", "c"),
            ("containerd.io/gc.ref.contents", "no"),
            ("containerd.io/gc.ref.snapshot.overlayfs", "d"),
            ("containerd.io/gc.ref.snapshot.overlayfs/x", "e"),
            ("containerd.io/gc.ref.image", "f"),
            ("other", "no"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let named: Vec<String> = references("n", &labels).iter().map(Node::to_string).collect();
        let expected = [
            "content n/a",
            "content n/b",
            "content n/c",
            "image n/f",
            "snapshot n/overlayfs/d",
            "snapshot n/overlayfs/e",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_root_has_any_name_and_an_expiry_a_time() {
        let labels = |name: &str, value: &str| Labels::from([(name.to_owned(), value.to_owned())]);
        let now = SystemTime::now();
        assert!(is_root(&labels("containerd.io/gc.root", "x"), now));
        assert!(is_root(&labels("containerd.io/gc.root.mine", "x"), now));
        assert!(is_root(&labels(EXPIRE, "2999-01-01T00:00:00Z"), now));
        assert!(!is_root(&labels(EXPIRE, "1999-01-01T00:00:00+02:00"), now));
        assert!(!is_root(&labels(EXPIRE, "soon"), now));
        assert!(!is_root(&labels("containerd.io/gc.ref.content", "x"), now));
    }
}
