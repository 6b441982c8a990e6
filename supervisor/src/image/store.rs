//! The records of images: a name, and the descriptor of the content that it stands for.

use dhow_proto::containerd::services::images::v1::{ImageCreate, ImageDelete, ImageUpdate};
use dhow_proto::containerd::types::Descriptor;
use dhow_proto::error::Kind;
use prost_types::Timestamp;

use crate::content::{Digest, DigestError};
use crate::fault::Fault;
use crate::filter::{Adaptor, Filter, FilterError};
use crate::gc;
use crate::label::{self, LabelError, Labels};
use crate::lease::{self, LeaseError, Resource};
use crate::ledger::{Ledger, News};
use crate::metadata::{Collection, Durability, StoreError, Transaction};
use crate::namespace::{self, Namespace, Scope, to_map};

/// The record of an image.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Image {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) labels: Labels,
    #[prost(message, optional, tag = "3")]
    pub(crate) target: Option<Descriptor>,
    #[prost(message, optional, tag = "4")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub(crate) updated_at: Option<Timestamp>,
}

impl Image {
    /// The digest of the content that this image stands for.
    pub(crate) fn digest(&self) -> &str {
        self.target.as_ref().map_or("", |target| &target.digest)
    }
}

impl Adaptor for Image {
    fn field(&self, path: &[&str]) -> Option<String> {
        let target = self.target.as_ref();
        match path {
            ["name", ..] => Some(self.name.clone()),
            ["target", "digest", ..] => target.map(|target| target.digest.clone()),
            ["target", "mediatype", ..] => target.map(|target| target.media_type.clone()),
            ["labels", rest @ ..] => return label::field(rest, &self.labels),
            ["annotations", rest @ ..] => return target?.annotations.get(&rest.join(".")).cloned(),
            _ => None,
        }
        .filter(|value| !value.is_empty())
    }
}

/// The records of images.
pub(crate) const IMAGES: Collection<Image> = Collection::new("image");

/// A failure around images.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("image {0:?}")]
    NotFound(String),
    #[error("image {0:?}")]
    AlreadyExists(String),
    #[error("image {name:?} has target {target}, not {expected}")]
    Target { name: String, target: String, expected: String },
    #[error("image name must not be empty")]
    NoName,
    #[error("image name is required for update")]
    NoNameForUpdate,
    #[error("image.Labels")]
    Label(#[from] LabelError),
    #[error("target.Digest {digest:?} invalid")]
    Digest { digest: String, source: DigestError },
    #[error("target.{0}")]
    Incomplete(&'static str),
    #[error("cannot update {field:?} field on image {name:?}")]
    Field { field: String, name: String },
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::Target { .. } => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::NoName | Self::NoNameForUpdate | Self::Label(_) | Self::Digest { .. } => {
                Kind::InvalidArgument
            }
            Self::Incomplete(_) | Self::Field { .. } | Self::Filter(_) => Kind::InvalidArgument,
            Self::Lease(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

/// The store of images.
#[derive(Debug, Clone)]
pub(crate) struct Store(Ledger);

impl Store {
    /// Images kept in `ledger`.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self(ledger)
    }

    /// The image called `name`.
    pub(crate) fn get(&self, namespace: &Namespace, name: &str) -> Result<Image, ImageError> {
        let image = IMAGES.get(&self.0.read()?, &[namespace.as_str(), name])?;
        image.ok_or_else(|| ImageError::NotFound(name.to_owned()))
    }

    /// The images that `filters` want, by name.
    pub(crate) fn list(&self, namespace: &Namespace, filters: &[String]) -> Result<Vec<Image>, ImageError> {
        let filter = Filter::parse(filters)?;
        let view = self.0.read()?;
        Ok(IMAGES.list(&view, &[namespace.as_str()], |image| filter.matches(image))?)
    }

    /// Makes an image that must not exist yet; `epoch` replaces the time of now.
    pub(crate) async fn create(
        &self,
        scope: &Scope,
        mut image: Image,
        epoch: Option<Timestamp>,
    ) -> Result<Image, ImageError> {
        validate(&image)?;
        image.labels.retain(|_, value| !value.is_empty());
        image.created_at = epoch.or_else(|| Some(std::time::SystemTime::now().into()));
        image.updated_at = image.created_at;
        let place = scope.clone();
        let insert = move |transaction: &mut Transaction<'_>| {
            if IMAGES.contains(transaction, &[place.namespace.as_str(), &image.name])? {
                return Err(ImageError::AlreadyExists(image.name.clone()));
            }
            put(transaction, &place, &image)?;
            Ok(image.clone())
        };
        let tell = |news: &News, new: &Image| {
            let event = ImageCreate { name: new.name.clone(), labels: to_map(&new.labels) };
            news.publish("/images/create", &event);
        };
        self.0.change(&scope.namespace, Durability::Disk, insert, tell).await
    }

    /// Changes the fields that `mask` names, or all.
    pub(crate) async fn update(
        &self,
        scope: &Scope,
        image: Image,
        mask: Vec<String>,
        epoch: Option<Timestamp>,
    ) -> Result<Image, ImageError> {
        if image.name.is_empty() {
            return Err(ImageError::NoNameForUpdate);
        }
        let place = scope.clone();
        let change = move |transaction: &mut Transaction<'_>| {
            let old = IMAGES
                .get(transaction, &[place.namespace.as_str(), &image.name])?
                .ok_or_else(|| ImageError::NotFound(image.name.clone()))?;
            let mut updated = masked(&old, &image, &mask)?;
            validate(&updated)?;
            updated.labels.retain(|_, value| !value.is_empty());
            updated.created_at = old.created_at;
            updated.updated_at = epoch.or_else(|| Some(std::time::SystemTime::now().into()));
            put(transaction, &place, &updated)?;
            Ok(updated)
        };
        let tell = |news: &News, updated: &Image| {
            news.collect();
            let event = ImageUpdate { name: updated.name.clone(), labels: to_map(&updated.labels) };
            news.publish("/images/update", &event);
        };
        self.0.change(&scope.namespace, Durability::Disk, change, tell).await
    }

    /// Makes `image` what its name stands for, whether or not the name existed.
    pub(crate) async fn put(&self, scope: &Scope, image: Image) -> Result<Image, ImageError> {
        loop {
            match self.update(scope, image.clone(), Vec::new(), None).await {
                Err(ImageError::NotFound(_)) => {}
                other => return other,
            }
            match self.create(scope, image.clone(), None).await {
                Err(ImageError::AlreadyExists(_)) => {}
                other => return other,
            }
        }
    }

    /// Removes an image; only while it stands for `expected`, when that is given.
    pub(crate) async fn delete(
        &self,
        scope: &Scope,
        name: &str,
        expected: Option<&str>,
    ) -> Result<(), ImageError> {
        let (place, gone, expected) = (scope.clone(), name.to_owned(), expected.map(str::to_owned));
        let remove = move |transaction: &mut Transaction<'_>| {
            let path = [place.namespace.as_str(), gone.as_str()];
            let image = IMAGES.get(transaction, &path)?.ok_or_else(|| ImageError::NotFound(gone.clone()))?;
            if let Some(expected) = expected.as_deref().filter(|expected| *expected != image.digest()) {
                let (target, expected) = (image.digest().to_owned(), expected.to_owned());
                return Err(ImageError::Target { name: gone.clone(), target, expected });
            }
            lease::release(transaction, &place, &Resource::Image(gone.clone()))?;
            IMAGES.remove(transaction, &path)?;
            Ok(gone.clone())
        };
        let tell = |news: &News, name: &String| {
            news.collect();
            news.publish("/images/delete", &ImageDelete { name: name.clone() });
        };
        self.0.change(&scope.namespace, Durability::Disk, remove, tell).await.map(drop)
    }
}

fn put(transaction: &mut Transaction<'_>, scope: &Scope, image: &Image) -> Result<(), ImageError> {
    // An image is a root by itself, unless it expires.
    if image.labels.contains_key(gc::label::EXPIRE) {
        lease::hold(transaction, scope, &Resource::Image(image.name.clone()))?;
    }
    namespace::ensure(transaction, &scope.namespace)?;
    Ok(IMAGES.put(transaction, &[scope.namespace.as_str(), &image.name], image)?)
}

fn masked(old: &Image, new: &Image, mask: &[String]) -> Result<Image, ImageError> {
    if mask.is_empty() {
        return Ok(new.clone());
    }
    let mut updated = old.clone();
    let none = Descriptor::default();
    let offered = new.target.as_ref().unwrap_or(&none);
    for path in mask {
        if label::apply_mask(path, &mut updated.labels, &new.labels) {
            continue;
        }
        let target = updated.target.get_or_insert_default();
        match (path.as_str(), path.strip_prefix("annotations.")) {
            ("target", _) => target.clone_from(offered),
            ("annotations", _) => target.annotations.clone_from(&offered.annotations),
            (_, Some(name)) => {
                let value = offered.annotations.get(name).cloned().unwrap_or_default();
                target.annotations.insert(name.to_owned(), value);
            }
            _ => return Err(ImageError::Field { field: path.clone(), name: new.name.clone() }),
        }
    }
    Ok(updated)
}

fn validate(image: &Image) -> Result<(), ImageError> {
    if image.name.is_empty() {
        return Err(ImageError::NoName);
    }
    label::validate(&image.labels)?;
    let none = Descriptor::default();
    let target = image.target.as_ref().unwrap_or(&none);
    if let Err(source) = target.digest.parse::<Digest>() {
        return Err(ImageError::Digest { digest: target.digest.clone(), source });
    }
    match target {
        Descriptor { size: ..=0, .. } => Err(ImageError::Incomplete("Size must be greater than zero")),
        Descriptor { media_type, .. } if media_type.is_empty() => {
            Err(ImageError::Incomplete("MediaType must be set"))
        }
        _ => Ok(()),
    }
}
