//! Read-only and masked paths, inside the new root.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use dhow_linux::mount::{Attributes, Depth, READ_ONLY, clone_tree, move_onto, set_attributes};
use dhow_linux::path::open_in;
use rustix::fs::{FileType, OFlags};

use super::file_system::make;
use super::pivot::verify_null;
use super::target::clean;
use super::{Rootfs, RootfsError};

impl Rootfs<'_> {
    /// Makes the paths read-only that the spec names.
    pub(crate) fn make_read_only(&self) -> Result<(), RootfsError> {
        for path in &self.spec.linux.readonly_paths {
            let failed = || RootfsError::path("can't make read-only", path);
            let Some(target) = self.open_existing(path).map_err(failed())? else { continue };
            let tree = clone_tree(target.as_fd(), Path::new(""), Depth::Tree).map_err(failed())?;
            let read_only = Attributes { set: READ_ONLY, ..Attributes::default() };
            set_attributes(tree.as_fd(), read_only, Depth::One).map_err(failed())?;
            move_onto(&tree, &target).map_err(failed())?;
        }
        Ok(())
    }

    /// Hides the paths that the spec names: files behind `/dev/null`, folders behind one empty tmpfs.
    ///
    /// What a path is, is asked first: a mount that fails because file met folder costs an RCU grace period.
    pub(crate) fn mask(&self) -> Result<(), RootfsError> {
        if self.spec.linux.masked_paths.is_empty() {
            return Ok(());
        }
        let null = open_in(self.root.as_fd(), Path::new("dev/null"), OFlags::PATH | OFlags::NOFOLLOW)
            .map_err(RootfsError::step("can't mask paths: open /dev/null"))?;
        verify_null(&null)?;
        let mut empty: Option<OwnedFd> = None;
        let mut done: BTreeSet<PathBuf> = BTreeSet::new();
        for path in &self.spec.linux.masked_paths {
            let failed = || RootfsError::path("can't mask path", path);
            if !done.insert(clean(path)) {
                continue;
            }
            let Some(target) = self.open_existing(path).map_err(failed())? else { continue };
            let stat = rustix::fs::fstat(&target).map_err(io::Error::from).map_err(failed())?;
            let cover = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                match &empty {
                    Some(first) => clone_tree(first.as_fd(), Path::new(""), Depth::One).map_err(failed())?,
                    None => {
                        let first = empty_folder(&self.spec.linux.mount_label)?;
                        move_onto(&first, &target).map_err(failed())?;
                        empty = Some(first);
                        continue;
                    }
                }
            } else {
                clone_tree(null.as_fd(), Path::new(""), Depth::One).map_err(failed())?
            };
            move_onto(&cover, &target).map_err(failed())?;
        }
        Ok(())
    }

    /// The path inside the root, or `None` when there is nothing.
    fn open_existing(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        match open_in(self.root.as_fd(), Path::new(path), OFlags::PATH) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A read-only tmpfs for nothing. Some kernels want room for two inodes.
fn empty_folder(label: &str) -> Result<OwnedFd, RootfsError> {
    let attempt = |inodes: u32| {
        let mut data = vec!["nr_blocks=1".to_owned(), format!("nr_inodes={inodes}")];
        if !label.is_empty() {
            data.push(format!("context=\"{label}\""));
        }
        make("tmpfs", "tmpfs", &data, &[], READ_ONLY)
    };
    attempt(1).or_else(|_| attempt(2)).map_err(|error| RootfsError::Mount {
        source_name: "tmpfs".to_owned(),
        target: "a masked folder".to_owned(),
        source: Box::new(error),
    })
}
