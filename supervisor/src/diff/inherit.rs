//! Directories that a layer's archive needed but did not hold: they look as in the layers below.
//!
//! A layer is unpacked beside its parents, so such a directory was made with a default owner and mode. In the merged
//! view it would hide those of the directory below; before the layer is published they are copied from there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::archive::Timestamp;
use super::path::EntryPath;
use super::tree::{self, Tree};

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
