//! `native`: a snapshot is a whole tree, copied from its parent. For file systems that overlayfs cannot stack.
//!
//! ```text
//! <directory>/fs    all files
//! ```

use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_proto::containerd::types::Mount;

use super::driver::{Driver, bind, files};
use super::{Kind, Remap};

/// The native snapshotter.
#[derive(Debug)]
pub(crate) struct Native;

impl Driver for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn fill(
        &self,
        directory: &Path,
        kind: Kind,
        parents: &[PathBuf],
        _: Option<&Remap>,
    ) -> Result<(), PathError> {
        let tree = files(directory);
        match parents {
            // A view shows its parent in place.
            [_, ..] if kind == Kind::View => Ok(()),
            [parent, ..] => super::copy::copy(&files(parent), &tree),
            [] => super::copy::create(&tree),
        }
    }

    fn mounts(&self, directory: &Path, kind: Kind, parents: &[PathBuf], _: Option<&Remap>) -> Vec<Mount> {
        match parents {
            [parent, ..] if kind == Kind::View => vec![bind(&files(parent), "ro", Vec::new())],
            _ => vec![bind(&files(directory), if kind == Kind::View { "ro" } else { "rw" }, Vec::new())],
        }
    }

    /// None: a client that wants owners mapped changes them file by file, and a whole tree cannot get a parent later.
    fn capabilities(&self) -> &[&'static str] {
        &[]
    }

    fn holds_differences(&self) -> bool {
        false
    }
}
