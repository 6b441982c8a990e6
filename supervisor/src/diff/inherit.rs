//! Directories that a layer's archive needed but did not hold: they look as in the layers below.
//!
//! A layer is unpacked beside its parents, so such a directory was made with a default owner and mode. In the merged
//! view it would hide those of the directory below; before the layer is published they are copied from there. Where a
//! client unpacks a layer before it says what it stands on, marks on the directories tell of them until it does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::archive::Timestamp;
use super::path::EntryPath;
use super::tree::{self, Tree};

/// The mark of such a directory, and of the root of a layer that has some.
const IMPLIED: &str = "trusted.dhow.implied";

/// Marks the `implied` directories of `layer`, for [`inherit_marked`].
pub(crate) fn mark(layer: &Path, implied: &[EntryPath]) -> io::Result<()> {
    if implied.is_empty() {
        return Ok(());
    }
    let layer = Tree::open(layer)?;
    let set = |directory: BorrowedFd<'_>| rustix::fs::fsetxattr(directory, IMPLIED, b"", XattrFlags::empty());
    set(layer.root())?;
    implied.iter().try_for_each(|path| Ok(set(layer.open_directory(path)?.as_fd())?))
}

/// Does what [`inherit`] does for the marked directories of `layer`, and takes the marks away.
pub(crate) fn inherit_marked(layer: &Path, parents: &[&Path]) -> io::Result<()> {
    let tree = Tree::open(layer)?;
    if !is_marked(tree.root())? {
        return Ok(());
    }
    let mut implied = Vec::new();
    find_marked(tree.root(), &EntryPath::default(), &mut implied)?;
    inherit(layer, &implied, parents)?;
    // The one on the root goes last: after a crash the rest is found again.
    for path in implied.iter().rev().chain([&EntryPath::default()]) {
        rustix::fs::fremovexattr(tree.open_directory(path)?, IMPLIED)?;
    }
    Ok(())
}

fn find_marked(directory: BorrowedFd<'_>, path: &EntryPath, found: &mut Vec<EntryPath>) -> io::Result<()> {
    for name in tree::names(directory)? {
        if tree::occupant(directory, &name)? != Some(tree::Occupant::Directory) {
            continue;
        }
        let (inner, path) = (tree::open_child(directory, &name)?, path.join(&name));
        if is_marked(inner.as_fd())? {
            found.push(path.clone());
        }
        find_marked(inner.as_fd(), &path, found)?;
    }
    Ok(())
}

fn is_marked(directory: BorrowedFd<'_>) -> io::Result<bool> {
    match rustix::fs::fgetxattr(directory, IMPLIED, &mut [0_u8; 0]) {
        Ok(_) => Ok(true),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives each of the `implied` directories of `layer` the metadata that it has in `parents`, nearest first.
pub(crate) fn inherit(layer: &Path, implied: &[EntryPath], parents: &[&Path]) -> io::Result<()> {
    if implied.is_empty() || parents.is_empty() {
        return Ok(());
    }
    let layer = Tree::open(layer)?;
    let parents = parents.iter().map(|parent| Tree::open(parent)).collect::<io::Result<Vec<_>>>()?;
    for path in implied {
        let Some((folder, name)) = path.split() else { continue };
        for parent in &parents {
            let Ok(found) = parent.directory(&folder) else { continue };
            if tree::occupant(found.as_fd(), name)? == Some(tree::Occupant::Directory) {
                let target = layer.open_directory(path)?;
                copy_metadata(found.as_fd(), name, target.as_fd())?;
                break;
            }
        }
    }
    Ok(())
}

fn copy_metadata(folder: BorrowedFd<'_>, name: &[u8], target: BorrowedFd<'_>) -> io::Result<()> {
    let stat = tree::stat(folder, name)?;
    tree::set_owner_and_mode(target, stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)?;
    for (attribute, value) in tree::attributes(folder, name)? {
        tree::set_file_attribute(target, &attribute, &value)?;
    }
    tree::set_file_times(target, modified(&stat))
}

/// The time of last modification in `stat`.
pub(super) fn modified(stat: &rustix::fs::Stat) -> Timestamp {
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Timestamp { seconds: stat.st_mtime, nanoseconds }
}
