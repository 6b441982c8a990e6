//! The differ: blobs applied to mounts, and blobs made of the difference between mounts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_linux::fstab::MountError;
use dhow_proto::containerd::types::Mount;
use dhow_proto::error::Kind;

use super::apply::ApplyError;
use super::compare::{CompareError, Right, compare};
use super::compression::{Compression, Encoder};
use super::inherit::{inherit, mark};
use super::mounted::{Directories, Mounted};
use super::owner::Owners;
use super::unpack::{Unpacked, unpack};
use super::whiteout::Target;
use crate::blocking;
use crate::content::{self, Algorithm, ContentError, Digest, Digester, Writer};
use crate::fault::Fault;
use crate::label::Labels;
use crate::namespace::{Namespace, Scope};

/// The label with the digest of what a blob decompresses to.
const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// What a difference is, when the client does not say.
const DEFAULT: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// What differences can be.
const TYPES: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    DEFAULT,
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// Applies and makes differences; clones share the store.
#[derive(Debug, Clone)]
pub(crate) struct Differ {
    content: content::Store,
    /// Where temporary mounts are made.
    state: PathBuf,
}

/// Why a difference could not be applied or made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DifferError {
    /// The content store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Applying.
    #[error("failed to extract layer {layer}")]
    Apply {
        /// The blob.
        layer: Digest,
        /// Why.
        source: ApplyError,
    },
    /// Comparing.
    #[error("failed to create diff")]
    Compare(#[source] CompareError),
    /// Compressing.
    #[error("compress the diff")]
    Compress(#[source] io::Error),
    /// A folder to mount at.
    #[error(transparent)]
    File(#[from] PathError),
    /// Mounting.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The mounts cannot be written to.
    #[error("the mounts of the target are read-only")]
    ReadOnly,
    /// Differences are not made of this type.
    #[error("unsupported diff media type: {0}")]
    MediaType(String),
}

impl Fault for DifferError {
    fn kind(&self) -> Kind {
        match self {
            Self::Content(error) => error.kind(),
            Self::Apply { source, .. } => source.kind(),
            Self::Compare(error) => error.kind(),
            Self::Compress(_) | Self::File(_) | Self::Mount(_) => Kind::Internal,
            Self::ReadOnly => Kind::FailedPrecondition,
            Self::MediaType(_) => Kind::Unimplemented,
        }
    }
}

/// A difference that was made.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The type of the blob.
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) size: i64,
}

/// How a client wants a difference.
#[derive(Debug, Default)]
pub(crate) struct DifferenceOptions {
    /// The type of the blob.
    pub(crate) media_type: String,
    /// The name of its ingest.
    pub(crate) reference: String,
    /// Labels of the blob.
    pub(crate) labels: Labels,
    /// The latest time of a file.
    pub(crate) epoch: Option<i64>,
}

impl Differ {
    /// A differ over `content`, with temporary mounts below `state`.
    pub(crate) fn new(content: content::Store, state: &Path) -> Self {
        Self { content, state: state.join("diff") }
    }

    /// Applies the layer `digest` to `mounts`. With `sync`, its files are on disk afterwards.
    pub(crate) async fn apply(
        &self,
        namespace: &Namespace,
        digest: Digest,
        mounts: Vec<Mount>,
        sync: bool,
    ) -> Result<Unpacked, DifferError> {
        let file = self.content.reader(namespace, &digest)?;
        let state = self.state.clone();
        blocking::run(move || {
            let failed = |source| DifferError::Apply { layer: digest.clone(), source };
            let directories = Directories::of(&mounts);
            let mounted;
            let (root, target, lower) = match directories {
                Some(Directories { upper: Some(upper), lower, overlay }) => {
                    (upper, if overlay { Target::Overlay } else { Target::Merged }, lower)
                }
                Some(Directories { upper: None, .. }) => return Err(DifferError::ReadOnly),
                None => {
                    mounted = Mounted::new(&mounts, &state)?;
                    (mounted.path().to_owned(), Target::Merged, Vec::new())
                }
            };
            let unpacked = unpack(file, &root, target).map_err(failed)?;
            let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
            if lower.is_empty() && target == Target::Overlay {
                // The client says at the commit what this layer stands on.
                mark(&root, &unpacked.applied.implied)
                    .map_err(PathError::at("mark directories of", &root))?;
            }
            inherit(&root, &unpacked.applied.implied, &lower)
                .map_err(PathError::at("copy metadata below", &root))?;
            if sync {
                let synced = std::fs::File::open(&root).and_then(|root| Ok(rustix::fs::syncfs(root)?));
                synced.map_err(PathError::at("sync", &root))?;
            }
            Ok(unpacked)
        })
        .await
    }

    /// Makes a blob of what `right` has that `left` has not, and the other way round.
    pub(crate) async fn difference(
        &self,
        scope: &Scope,
        left: Vec<Mount>,
        right: Vec<Mount>,
        options: DifferenceOptions,
    ) -> Result<Difference, DifferError> {
        let media_type = match options.media_type.as_str() {
            "" => DEFAULT.to_owned(),
            known if TYPES.contains(&known) => known.to_owned(),
            other => return Err(DifferError::MediaType(other.to_owned())),
        };
        let reference = match options.reference.as_str() {
            "" => format!("diff-{}", crate::image::unique()),
            given => given.to_owned(),
        };
        let mut writer = self.content.writer(scope, &reference, None, 0).await?;
        writer.restart().await?;
        let (state, compression) = (self.state.clone(), Compression::of_media_type(&media_type));
        let made = blocking::run(move || {
            let made = write(writer, &left, &right, compression, options.epoch, &state);
            made.map(|(writer, uncompressed)| (writer, uncompressed, options.labels))
        });
        let (writer, uncompressed, mut labels) = match made.await {
            Ok(made) => made,
            Err(error) => {
                // Half a difference is of no use to a later attempt.
                drop(self.content.abort(scope, &reference).await);
                return Err(error);
            }
        };
        labels.insert(UNCOMPRESSED.to_owned(), uncompressed.to_string());
        let (digest, size) = (writer.digest(), writer.offset());
        match writer.commit(0, Some(&digest), labels).await {
            Ok(_) | Err(ContentError::AlreadyExists(_)) => Ok(Difference { media_type, digest, size }),
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes the difference into `writer`; returns it, and the digest of the archive. On a thread of its own.
fn write(
    writer: Writer,
    left: &[Mount],
    right: &[Mount],
    compression: Compression,
    epoch: Option<i64>,
    state: &Path,
) -> Result<(Writer, Digest), DifferError> {
    let encoder = Encoder::new(compression, Blob { writer, failure: None }).map_err(DifferError::Compress)?;
    let output = Hashed { output: encoder, digester: Digester::new(Algorithm::Sha256) };
    let output = io::BufWriter::with_capacity(128 << 10, output);
    let (sides, owners) = ((Directories::of(left), Directories::of(right)), Owners::of(right));
    let compared = match &sides {
        (
            Some(Directories { lower: below, upper: None, .. }),
            Some(Directories { upper: Some(upper), lower, overlay: true }),
        ) if below == lower => compare(Right::Upper(upper), owners, epoch, output),
        _ => {
            let old = if left.is_empty() { None } else { Some(Mounted::new(left, state)?) };
            let new = Mounted::new(right, state)?;
            let sides = Right::Whole { right: new.path(), left: old.as_ref().map(Mounted::path) };
            compare(sides, owners, epoch, output)
        }
    };
    let output = compared.map_err(DifferError::Compare)?;
    let output = output.into_inner().map_err(|error| DifferError::Compress(error.into_error()))?;
    let digest = output.digester.digest();
    let Blob { writer, failure } = output.output.finish().map_err(DifferError::Compress)?;
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok((writer, digest)),
    }
}

/// Hashes what goes into an encoder.
struct Hashed<W> {
    output: W,
    digester: Digester,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.output.write(data)?;
        self.digester.update(&data[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// An ingest as something to write to; the store's own error is kept beside.
struct Blob {
    writer: Writer,
    failure: Option<ContentError>,
}

impl Write for Blob {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.writer.append(data) {
            self.failure = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
