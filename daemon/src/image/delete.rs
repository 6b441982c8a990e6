//! Names taken from images, and images removed with their last name.

use std::collections::HashSet;

use dhow_engine_api::image::{DeleteItem, ImagePruneReport};
use dhow_proto::containerd::services::images::v1::DeleteImageRequest;

use super::error::ImageError;
use super::list::ListFilters;
use super::reference::Reference;
use super::{Image, Images, PULLED, Record};
use crate::identifier::short;

/// A container that uses an image.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// Its ID.
    pub(crate) container: String,
    /// ID of the image.
    pub(crate) image: String,
    /// Whether it runs.
    pub(crate) running: bool,
}

/// A record's name, and whether it is by tag.
struct Named<'a> {
    record: &'a Record,
    reference: Reference,
}

impl Images {
    /// Removes a name, or the image with all its names; `users` are all containers.
    pub(crate) async fn delete(
        &self,
        name: &str,
        force: bool,
        users: &[User],
    ) -> Result<Vec<DeleteItem>, ImageError> {
        let image = self.find(name).await?;
        let using: Vec<&User> = users.iter().filter(|user| user.image == image.id).collect();
        let names = image.named();
        let repositories: HashSet<String> = names.iter().map(|one| one.reference.familiar_name()).collect();
        let tags = names.iter().filter(|one| one.reference.digest().is_none()).count();
        let mut items = Vec::new();
        if image.is_id(name) {
            if !(force || tags <= 1 && repositories.len() <= 1) {
                let text = "image is referenced in multiple repositories";
                return Err(conflict(&image, "must be forced", text));
            }
            check(&image, &using, force)?;
        } else {
            let reference = Reference::parse(name)?.or_latest();
            if let Some(user) = using.first().filter(|_| !force && names.len() == 1) {
                return Err(ImageError::Conflict(format!(
                    "unable to remove repository reference {name:?} (must force) - container {} is using its \
                     referenced image {}",
                    short(&user.container),
                    short(&image.id["sha256:".len()..])
                )));
            }
            if self.forget_digest(&image, &reference).await? {
                items.push(DeleteItem { untagged: reference.to_string(), ..DeleteItem::default() });
                return Ok(items);
            }
            let (gone, left): (Vec<_>, Vec<_>) =
                names.iter().partition(|one| one.record.name == reference.canonical());
            if !left.is_empty() {
                for one in gone {
                    self.remove_name(one, &left, &mut items).await?;
                }
                return Ok(items);
            }
            // In use and forced: the image stays without a name.
            if !using.is_empty() {
                for one in gone {
                    self.keep(one.record).await?;
                    self.remove_name(one, &[], &mut items).await?;
                }
                return Ok(items);
            }
        }
        for one in &names {
            self.remove_name(one, &[], &mut items).await?;
        }
        for record in image.records.iter().filter(|record| record.is_dangling()) {
            self.remove_record(&record.name).await?;
        }
        self.deleted(&image, &mut items).await?;
        Ok(items)
    }

    /// Removes images without a name, or (`all`) those that no container uses.
    pub(crate) async fn prune(
        &self,
        wanted: &ListFilters,
        all: bool,
        users: &[User],
    ) -> Result<ImagePruneReport, ImageError> {
        let mut report = ImagePruneReport { images_deleted: None, space_reclaimed: 0 };
        let until =
            wanted.filters.values("until").first().map(|text| super::list::bound(text)).transpose()?;
        for image in self.all().await? {
            let nameless = image.tags.is_empty() && image.digests.is_empty();
            let used = users.iter().any(|user| user.image == image.id);
            let old = until.is_none_or(|until| image.created() < until);
            if used || !(all || nameless) || !old || !image.passes(wanted) {
                continue;
            }
            let size = self.layers_size(image.chain()).await?;
            let items = self.delete(&image.id, true, users).await?;
            if items.iter().any(|item| !item.deleted.is_empty()) {
                report.space_reclaimed += u64::try_from(size).unwrap_or(0);
            }
            report.images_deleted.get_or_insert_default().extend(items);
        }
        Ok(report)
    }

    /// A digest that came with a tag: the tag stays, the digest is not shown any more. Whether it was one.
    async fn forget_digest(&self, image: &Image, reference: &Reference) -> Result<bool, ImageError> {
        let Some(digest) = reference.digest() else { return Ok(false) };
        let mut found = false;
        for record in &image.records {
            let Some(named) = record.reference().filter(|named| named.repository() == reference.repository())
            else {
                continue;
            };
            if named.digest().is_none()
                && record.target.digest == digest
                && record.labels.contains_key(PULLED)
            {
                let mut labels = record.labels.clone();
                labels.remove(PULLED);
                self.write(&record.name, &record.target, labels, true).await?;
                found = true;
            }
        }
        Ok(found)
    }

    /// Takes one name, and the digest that was pulled under it when no other tag of its repository is left.
    async fn remove_name(
        &self,
        one: &Named<'_>,
        left: &[&Named<'_>],
        items: &mut Vec<DeleteItem>,
    ) -> Result<(), ImageError> {
        self.remove_record(&one.record.name).await?;
        items.push(DeleteItem { untagged: one.reference.to_string(), ..DeleteItem::default() });
        let repository = one.reference.repository();
        let last = !left.iter().any(|other| other.reference.repository() == repository);
        if last && one.record.labels.contains_key(PULLED) && one.reference.digest().is_none() {
            let untagged = format!("{}@{}", one.reference.familiar_name(), one.record.target.digest);
            if !items.iter().any(|item| item.untagged == untagged) {
                items.push(DeleteItem { untagged, ..DeleteItem::default() });
            }
        }
        Ok(())
    }

    /// Tells what is gone with an image: itself, and the layers that no other image has.
    async fn deleted(&self, image: &Image, items: &mut Vec<DeleteItem>) -> Result<(), ImageError> {
        let others = self.all().await?;
        if others.iter().any(|other| other.id == image.id) {
            return Ok(());
        }
        items.push(DeleteItem { deleted: image.id.clone(), ..DeleteItem::default() });
        let kept: HashSet<&String> = others.iter().flat_map(|other| other.chain()).collect();
        let gone = image.chain().iter().rev().filter(|layer| !kept.contains(layer));
        items.extend(gone.map(|layer| DeleteItem { deleted: layer.clone(), ..DeleteItem::default() }));
        Ok(())
    }

    /// Removes a record; it is no error when there is none.
    pub(super) async fn remove_record(&self, name: &str) -> Result<(), ImageError> {
        let request = DeleteImageRequest { name: name.to_owned(), sync: false, target: None };
        match self.client().delete(request).await {
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
            other => other.map(drop).map_err(ImageError::asked("remove an image's name")),
        }
    }
}

/// Refuses to remove what a container uses: one that runs always, one that does not unless forced.
fn check(image: &Image, using: &[&User], force: bool) -> Result<(), ImageError> {
    if let Some(user) = using.iter().find(|user| user.running) {
        let text = format!("image is being used by running container {}", short(&user.container));
        return Err(conflict(image, "cannot be forced", &text));
    }
    match using.first() {
        Some(user) if !force => {
            let text = format!("image is being used by stopped container {}", short(&user.container));
            Err(conflict(image, "must be forced", &text))
        }
        _ => Ok(()),
    }
}

fn conflict(image: &Image, force: &str, text: &str) -> ImageError {
    ImageError::Conflict(format!(
        "unable to delete {} ({force}) - {text}",
        short(&image.id["sha256:".len()..])
    ))
}

impl Image {
    fn named(&self) -> Vec<Named<'_>> {
        let named = |record| Record::reference(record).map(|reference| Named { record, reference });
        self.records.iter().filter_map(named).collect()
    }

    /// Whether `name` is its ID or a beginning of that, and none of its names.
    fn is_id(&self, name: &str) -> bool {
        self.id.starts_with(name) || self.id["sha256:".len()..].starts_with(name)
    }
}
