//! Giving a cgroup2 directory to the user of a container that sees it writable: what is in it to be shared out is its
//! own then, while its limits stay the host's.

use rustix::fs::{AtFlags, Uid, chownat};
use rustix::io::Errno;

use dhow_linux::file::PathError;

use super::{CgroupError, Directory, Manager};

/// What the kernel lists as a delegatee's.
const LIST: &str = "/sys/kernel/cgroup/delegate";
/// The same for a kernel without the list.
const USUAL: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

impl Manager {
    /// Makes `uid` the owner of the container's cgroup; only where all controllers are cgroup2's.
    ///
    /// # Errors
    /// The kernel's refusal, unless refusals are tolerated.
    pub(crate) fn delegate(&self, uid: u32) -> Result<(), CgroupError> {
        let Some(hierarchy) = self.unified().filter(|_| self.is_v2()) else { return Ok(()) };
        match give(&Directory::open(&hierarchy.path)?, Uid::from_raw(uid)) {
            Err(error) if self.rootless && error.is_permission() => Ok(()),
            done => done,
        }
    }
}

fn give(directory: &Directory, owner: Uid) -> Result<(), CgroupError> {
    let own = |name: &str, flags: AtFlags| match chownat(directory, name, Some(owner), None, flags) {
        // Not every cgroup has every file of the list.
        Err(Errno::NOENT) => Ok(()),
        done => done.map_err(|error| PathError::at("chown", directory.path().join(name))(error.into())),
    };
    own("", AtFlags::EMPTY_PATH)?;
    let list = std::fs::read_to_string(LIST).unwrap_or_else(|_| USUAL.to_owned());
    list.lines().try_for_each(|name| own(name, AtFlags::SYMLINK_NOFOLLOW)).map_err(Into::into)
}
