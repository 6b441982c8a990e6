//! Under which names an image is recorded: that of the request, those of an archive's annotations, and digests.

use std::time::SystemTime;

use dhow_proto::containerd::types::transfer::{ImageReference, ImageStore};

use crate::image::Image;
use crate::image::archive::{IMAGE_NAME, REFERENCE_NAME};
use crate::image::manifest::Descriptor;
use crate::label::Labels;

/// The records for `target`, which the request itself names.
pub(super) fn records(store: &ImageStore, target: &Descriptor) -> Vec<Image> {
    let mut images = Vec::new();
    if !store.name.is_empty() {
        images.push(record(store.name.clone(), labels(store), target));
    }
    // A prefix alone names nothing.
    for reference in store.extra_references.iter().filter(|extra| !extra.is_prefix || extra.add_digest) {
        let name = if reference.add_digest { digested(reference, target) } else { reference.name.clone() };
        images.push(record(name, extra_labels(store), target));
    }
    images
}

/// The records for an image of an archive, which says its own name, if it has one.
pub(super) fn imported(store: &ImageStore, target: &Descriptor) -> Vec<Image> {
    let mut images = Vec::new();
    for prefix in store.extra_references.iter().filter(|extra| extra.is_prefix) {
        let name = annotated(target, prefix);
        let with_digest = match &name {
            Some(_) => prefix.add_digest && !prefix.skip_named_digest,
            None => prefix.add_digest,
        };
        images.extend(name.map(|name| record(name, extra_labels(store), target)));
        if with_digest {
            images.push(record(digested(prefix, target), extra_labels(store), target));
        }
    }
    images
}

fn record(name: String, labels: Labels, target: &Descriptor) -> Image {
    Image { name, labels, target: Some(target.into()), ..Image::default() }
}

fn digested(reference: &ImageReference, target: &Descriptor) -> String {
    format!("{}@{}", reference.name, target.digest)
}

fn labels(store: &ImageStore) -> Labels {
    store.labels.clone().into_iter().collect()
}

/// Beside a main name, others go with it.
fn extra_labels(store: &ImageStore) -> Labels {
    let mut labels = labels(store);
    if !store.name.is_empty() {
        labels.insert("containerd.io/gc.bref.image".to_owned(), store.name.clone());
        let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
        labels.insert("containerd.io/gc.expire".to_owned(), now.to_string());
    }
    labels
}

/// The name that the annotations of `target` give it, below `prefix`.
fn annotated(target: &Descriptor, prefix: &ImageReference) -> Option<String> {
    let annotation = |name: &str| target.annotations.get(name).filter(|value| !value.is_empty());
    match annotation(IMAGE_NAME) {
        // A full name is taken as it is, or not at all.
        Some(full) => translated(full, prefix).filter(|name| name == full),
        None => annotation(REFERENCE_NAME).and_then(|name| translated(name, prefix)),
    }
}

/// A full name that may be taken, or a tag behind the prefix.
fn translated(name: &str, prefix: &ImageReference) -> Option<String> {
    if prefix.name.is_empty() {
        return None;
    }
    if !name.contains(['/', ':', '@']) {
        return Some(format!("{}:{name}", prefix.name));
    }
    let below = name
        .strip_prefix(&prefix.name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']));
    (prefix.allow_overwrite || below).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(annotations: &[(&str, &str)]) -> Descriptor {
        let annotations =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Descriptor { digest: "sha256:1".to_owned(), annotations, ..Descriptor::default() }
    }

    fn prefix(name: &str) -> ImageReference {
        ImageReference { name: name.to_owned(), is_prefix: true, ..ImageReference::default() }
    }

    fn names(images: &[Image]) -> Vec<&str> {
        images.iter().map(|image| image.name.as_str()).collect()
    }

    #[test]
    fn a_pull_records_the_name_of_the_request() {
        let mut store = ImageStore { name: "r/a:1".to_owned(), ..ImageStore::default() };
        store.extra_references = vec![
            ImageReference { name: "r/b:1".to_owned(), ..ImageReference::default() },
            ImageReference { add_digest: true, ..prefix("r/a") },
            prefix("ignored"),
        ];
        let images = records(&store, &target(&[]));
        assert_eq!(names(&images), ["r/a:1", "r/b:1", "r/a@sha256:1"]);
        assert!(images[0].labels.is_empty());
        assert_eq!(images[1].labels["containerd.io/gc.bref.image"], "r/a:1");
    }

    #[test]
    fn archives_name_their_images() {
        let full = target(&[(IMAGE_NAME, "docker.io/library/busybox:1"), (REFERENCE_NAME, "1")]);
        let tag = target(&[(REFERENCE_NAME, "1")]);
        let store = |reference: ImageReference| ImageStore {
            extra_references: vec![reference],
            ..ImageStore::default()
        };
        let named = |reference: ImageReference, target: &Descriptor| {
            imported(&store(reference), target).into_iter().map(|image| image.name).collect::<Vec<_>>()
        };
        assert_eq!(named(prefix("docker.io/library/busybox"), &full), ["docker.io/library/busybox:1"]);
        assert!(named(prefix("docker.io/library/busy"), &full).is_empty(), "half a name is no prefix");
        assert!(named(prefix("other"), &full).is_empty());
        let overwrite = ImageReference { allow_overwrite: true, ..prefix("other") };
        assert_eq!(named(overwrite.clone(), &full), ["docker.io/library/busybox:1"]);
        assert_eq!(named(prefix("other"), &tag), ["other:1"]);
        let digest = ImageReference { add_digest: true, ..prefix("other") };
        assert_eq!(named(digest.clone(), &target(&[])), ["other@sha256:1"]);
        assert_eq!(named(digest.clone(), &tag), ["other:1", "other@sha256:1"]);
        assert_eq!(named(ImageReference { skip_named_digest: true, ..digest }, &tag), ["other:1"]);
    }
}
