//! Checkpoints of tasks in the content store: what the runtime has written to a folder as one archive, with the spec
//! beside it.
//!
//! ```text
//! <state>/checkpoint/UNIQUE/   while a checkpoint is made or unpacked; swept at the start
//! ```

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_proto::containerd::types::{Descriptor, Mount};
use dhow_proto::error::{Kind, chain};
use prost::Message;
use prost_types::Any;

use crate::content::{self, ContentError};
use crate::diff::{Differ, DifferError, DifferenceOptions};
use crate::fault::Fault;
use crate::label::Labels;
use crate::namespace::{Namespace, Scope};

/// The archive of a checkpoint.
const ARCHIVE: &str = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
/// The spec of the container, beside it.
const SPEC: &str = "application/vnd.containerd.container.checkpoint.config.v1+proto";
/// What the archive is for who makes and unpacks it.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Keeps checkpoints; clones share the store.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    content: content::Store,
    differ: Differ,
    folder: PathBuf,
}

/// A folder for one checkpoint, removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// A failure around checkpoints.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("unsupported checkpoint type {0:?}")]
    MediaType(String),
    #[error(transparent)]
    Folder(#[from] PathError),
    #[error("keep checkpoint")]
    Content(#[from] ContentError),
    #[error("archive of checkpoint")]
    Archive(#[from] DifferError),
}

impl Fault for CheckpointError {
    fn kind(&self) -> Kind {
        match self {
            Self::MediaType(_) => Kind::InvalidArgument,
            Self::Folder(_) => Kind::Internal,
            Self::Content(error) => error.kind(),
            Self::Archive(error) => error.kind(),
        }
    }
}

impl Checkpoints {
    /// Checkpoints in `content`, worked on below `state`.
    pub(crate) fn new(state: &Path, content: content::Store, differ: Differ) -> Self {
        Self { content, differ, folder: state.join("checkpoint") }
    }

    /// Deletes what a crash has left.
    pub(crate) fn sweep(&self) {
        remove(&self.folder);
    }

    /// A new folder, for the runtime to write into.
    pub(crate) fn folder(&self) -> Result<Folder, PathError> {
        let path = self.folder.join(crate::image::unique());
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(PathError::at("create", &path))?;
        Ok(Folder(path))
    }

    /// Keeps what is in `folder`, and the spec of its container.
    pub(crate) async fn keep(
        &self,
        scope: &Scope,
        folder: &Folder,
        spec: &Any,
    ) -> Result<Vec<Descriptor>, CheckpointError> {
        let options = DifferenceOptions { media_type: LAYER.to_owned(), ..DifferenceOptions::default() };
        let archive = self.differ.difference(scope, Vec::new(), vec![folder.mount("ro")], options).await?;
        let spec = spec.encode_to_vec();
        let size = i64::try_from(spec.len()).unwrap_or(i64::MAX);
        let reference = format!("checkpoint-spec-{}", crate::image::unique());
        let mut writer = self.content.writer(scope, &reference, None, 0).await?;
        writer.write(spec.into()).await?;
        let digest = writer.digest();
        match writer.commit(size, Some(&digest), Labels::new()).await {
            Ok(_) | Err(ContentError::AlreadyExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let descriptor = |media_type: &str, digest: String, size| Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            ..Descriptor::default()
        };
        Ok(vec![
            descriptor(ARCHIVE, archive.digest.to_string(), archive.size),
            descriptor(SPEC, digest.to_string(), size),
        ])
    }

    /// Unpacks a checkpoint for the runtime to restore from.
    pub(crate) async fn unpack(
        &self,
        namespace: &Namespace,
        checkpoint: &Descriptor,
    ) -> Result<Folder, CheckpointError> {
        if checkpoint.media_type != ARCHIVE {
            return Err(CheckpointError::MediaType(checkpoint.media_type.clone()));
        }
        let digest = content::parse(&checkpoint.digest)?;
        let folder = self.folder()?;
        self.differ.apply(namespace, digest, vec![folder.mount("rw")], false).await?;
        Ok(folder)
    }
}

impl Folder {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives its files to `path`, which is in the state folder too, and is not there yet.
    pub(crate) fn move_to(&self, path: &Path) -> Result<(), PathError> {
        std::fs::rename(&self.0, path).map_err(PathError::at("rename to", path))
    }

    fn mount(&self, access: &str) -> Mount {
        Mount {
            r#type: "bind".to_owned(),
            source: self.0.to_string_lossy().into_owned(),
            options: vec!["rbind".to_owned(), access.to_owned()],
            ..Mount::default()
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let error = PathError::at("remove", path)(error);
            tracing::warn!(error = %chain(&error), "checkpoint stays");
        }
        _ => {}
    }
}
