//! Taking in a process that exists already and cannot join by itself: CRIU, whose children become the container's.

use std::collections::BTreeSet;

use super::{CgroupError, Directory, Manager};

impl Manager {
    /// Moves process `pid` into the container's cgroups. It waits for the kernel as [`super::Join`] does not.
    ///
    /// # Errors
    /// The kernel's refusal, unless the container can be without the cgroups.
    pub(crate) fn adopt(&self, pid: u32) -> Result<(), CgroupError> {
        let paths: BTreeSet<_> = self.hierarchies.iter().map(|hierarchy| &hierarchy.path).collect();
        for path in paths {
            let moved =
                Directory::open(path).and_then(|folder| folder.write("cgroup.procs", &pid.to_string()));
            if !self.is_optional() {
                moved?;
            }
        }
        Ok(())
    }
}
