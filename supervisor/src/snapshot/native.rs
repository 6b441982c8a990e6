//! `native`: a snapshot is a whole tree, copied from its parent. For file systems that overlayfs cannot stack.
//!
//! ```text
//! <directory>/fs    all files
//! ```

use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_proto::containerd::types::Mount;

use super::Kind;
use super::driver::{Driver, bind, files};

/// The native snapshotter.
#[derive(Debug)]
pub(crate) struct Native;

impl Driver for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn fill(&self, directory: &Path, kind: Kind, parents: &[PathBuf]) -> Result<(), PathError> {
        let tree = files(directory);
        match parents {
            // A view shows its parent in place.
            [_, ..] if kind == Kind::View => Ok(()),
            [parent, ..] => super::copy::copy(&files(parent), &tree),
            [] => super::copy::create(&tree),
        }
    }

    fn mounts(&self, directory: &Path, kind: Kind, parents: &[PathBuf]) -> Vec<Mount> {
        match parents {
            [parent, ..] if kind == Kind::View => vec![bind(&files(parent), "ro")],
            _ => vec![bind(&files(directory), if kind == Kind::View { "ro" } else { "rw" })],
        }
    }

    fn holds_differences(&self) -> bool {
        false
    }
}
