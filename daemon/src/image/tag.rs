//! Names given to images. An image that loses its last name to another one stays, without a name.

use std::collections::HashMap;

use dhow_proto::containerd::services::images::v1::{
    CreateImageRequest, Image as WireImage, UpdateImageRequest,
};
use dhow_proto::containerd::types::Descriptor as WireDescriptor;

use super::document::Descriptor;
use super::error::ImageError;
use super::reference::Reference;
use super::{DANGLING, Image, Images, Record};

impl Images {
    /// Gives `image` one more name. The name comes back as people see it.
    pub(crate) async fn tag(
        &self,
        image: &Image,
        repository: &str,
        tag: &str,
    ) -> Result<Reference, ImageError> {
        let mut reference = Reference::parse(repository)?;
        if reference.digest().is_some() {
            return Err(ImageError::Invalid("refusing to create a tag with a digest reference".to_owned()));
        }
        if !tag.is_empty() {
            reference = reference.with(tag)?;
        }
        let reference = reference.or_latest();
        let target = image.records.first().map(|record| record.target.clone());
        let target = target.ok_or_else(|| ImageError::NotFound(image.id.clone()))?;
        self.assign(&reference.canonical(), &target, HashMap::new()).await?;
        Ok(reference)
    }

    /// Makes `name` lead to `target`, keeping what it led to before.
    pub(super) async fn assign(
        &self,
        name: &str,
        target: &Descriptor,
        labels: HashMap<String, String>,
    ) -> Result<(), ImageError> {
        let old = self.record(name).await?;
        if let Some(old) = &old
            && old.target.digest != target.digest
        {
            self.keep(old).await?;
        }
        self.write(name, target, labels, old.is_some()).await?;
        // The image has a name now: it need not be kept without one.
        self.forget_dangling(&target.digest).await
    }

    pub(super) async fn write(
        &self,
        name: &str,
        target: &Descriptor,
        labels: HashMap<String, String>,
        exists: bool,
    ) -> Result<(), ImageError> {
        let target = Some(WireDescriptor {
            media_type: target.media_type.clone(),
            digest: target.digest.clone(),
            size: target.size,
            annotations: HashMap::new(),
        });
        let image = Some(WireImage { name: name.to_owned(), labels, target, ..WireImage::default() });
        let mut client = self.client();
        let written = if exists {
            let request = UpdateImageRequest { image, ..UpdateImageRequest::default() };
            client.update(request).await.map(drop)
        } else {
            client.create(CreateImageRequest { image, ..CreateImageRequest::default() }).await.map(drop)
        };
        written.map_err(ImageError::asked("name an image"))
    }

    /// Keeps what `record` leads to, if nothing else does.
    pub(super) async fn keep(&self, record: &Record) -> Result<(), ImageError> {
        let digest = &record.target.digest;
        let others = self.records().await?;
        if others.iter().any(|other| other.name != record.name && other.target.digest == *digest) {
            return Ok(());
        }
        self.write(&format!("{DANGLING}{digest}"), &record.target, HashMap::new(), false).await
    }

    /// Keeps what `record` leads to, whatever becomes of the record: until [`Images::forget_dangling`].
    pub(super) async fn keep_for_now(&self, record: &Record) -> Result<(), ImageError> {
        let name = format!("{DANGLING}{}", record.target.digest);
        let exists = self.record(&name).await?.is_some();
        self.write(&name, &record.target, HashMap::new(), exists).await
    }

    /// Removes the nameless record of a target, when there is one.
    pub(super) async fn forget_dangling(&self, digest: &str) -> Result<(), ImageError> {
        self.remove_record(&format!("{DANGLING}{digest}")).await
    }
}
