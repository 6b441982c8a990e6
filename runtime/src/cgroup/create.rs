//! Creating the directories, with every limit in place before the container's program runs.
//!
//! It goes in two halves, so that on v1 and hybrid hosts the container's first process makes its namespaces at the same
//! time (`launch`).

use std::path::Path;

use dhow_linux::file::PathError;
use oci_spec::runtime::LinuxResources;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::limit::Limits;
use super::{CgroupError, Directory, Hierarchy, Manager, Version};

impl Manager {
    /// The first half of creating: what a process must be born into (cgroup2), as everything where that is all there
    /// is. Until [`Self::complete`] no limit holds.
    ///
    /// # Errors
    /// When a directory cannot be made, or is already somebody's (processes in it, or frozen). Nothing that was made
    /// is left then, and nobody else's is touched.
    pub(crate) fn begin(&mut self, resources: Option<&LinuxResources>) -> Result<(), CgroupError> {
        self.refuse_used()?;
        let alone = self.is_v2();
        let started =
            self.unit.as_mut().map_or(Ok(()), |unit| unit.start(resources, alone).map_err(Into::into));
        let begun = started.and_then(|()| self.make(Version::V2, resources));
        self.or_remove(begun).map(drop)
    }

    /// The second half: the v1 directories, and every limit. Gives the places (among all hierarchies) of those that
    /// the container has to do without.
    ///
    /// # Errors
    /// When a directory cannot be made, or a limit cannot be set. Nothing that was made is left then.
    pub(crate) fn complete(&mut self, resources: Option<&LinuxResources>) -> Result<Vec<u8>, CgroupError> {
        let made = self.make(Version::V1, resources);
        let limited = made.and_then(|refused| {
            Limits::of(self).create(resources, self.rootless)?;
            Ok(refused)
        });
        self.or_remove(limited)
    }

    /// Whether a process may be made between the two halves: it enters v1 cgroups later, by itself.
    pub(crate) fn may_overlap(&self) -> bool {
        self.unit.is_none() && !self.rootless && !self.is_v2()
    }

    /// Forgets the hierarchies at `places`, as [`Self::complete`] did in another process.
    pub(crate) fn leave_out(&mut self, places: &[u8]) {
        let mut place = 0_u8;
        self.hierarchies.retain(|_| {
            place += 1;
            !places.contains(&(place - 1))
        });
    }

    fn or_remove<T>(&self, done: Result<T, CgroupError>) -> Result<T, CgroupError> {
        if done.is_err() {
            // What went wrong first is what the caller must hear.
            drop(self.remove());
        }
        done
    }

    /// Makes the directories of one version; gives the places of those that are refused and not needed.
    fn make(&mut self, version: Version, resources: Option<&LinuxResources>) -> Result<Vec<u8>, CgroupError> {
        let alone = self.is_v2();
        let mut refused = Vec::new();
        for (place, hierarchy) in (0_u8..).zip(&self.hierarchies) {
            if hierarchy.version != version {
                continue;
            }
            match hierarchy.make(resources, alone) {
                // Without this hierarchy nothing that was asked for is missing.
                Err(error) if error.is_permission() && (self.is_optional() || hierarchy.is_optional()) => {
                    refused.push(place);
                }
                made => made?,
            }
        }
        self.leave_out(&refused);
        Ok(refused)
    }

    /// A cgroup that exists must be empty and thawed, or the container would share another's fate.
    fn refuse_used(&self) -> Result<(), CgroupError> {
        let count = self.pids(true).map_or(0, |pids| pids.len());
        if count > 0 {
            return Err(CgroupError::NotEmpty(count));
        }
        // Somebody may have made and frozen this one hierarchy only.
        if self.is_frozen()? { Err(CgroupError::Frozen) } else { Ok(()) }
    }
}

impl Hierarchy {
    /// Named v1 hierarchies limit nothing: systemd's bookkeeping.
    fn is_optional(&self) -> bool {
        !self.controllers.is_empty() && self.controllers.iter().all(|name| name.starts_with("name="))
    }

    fn make(&self, resources: Option<&LinuxResources>, alone: bool) -> Result<(), CgroupError> {
        match self.version {
            Version::V2 => self.make_v2(resources, alone),
            Version::V1 if self.controllers.iter().any(|name| name == "cpuset") => self.make_cpuset(),
            Version::V1 => make_all(&self.path),
        }
    }

    /// From the top down: a v1 cpuset without CPUs and memory nodes admits nobody, so each new level takes its
    /// parent's.
    fn make_cpuset(&self) -> Result<(), CgroupError> {
        let mut parent = Directory::open(&self.top)?;
        for path in self.levels() {
            make_one(&path)?;
            let directory = Directory::open(&path)?;
            for name in ["cpuset.cpus", "cpuset.mems"] {
                if directory.read(name)?.is_empty() {
                    directory.write(name, &parent.read(name)?)?;
                }
            }
            parent = directory;
        }
        Ok(())
    }

    /// From the top down: controllers must be handed to the children of every level above the container.
    fn make_v2(&self, resources: Option<&LinuxResources>, alone: bool) -> Result<(), CgroupError> {
        let top = Directory::open(&self.top)?;
        // Beside v1 the few controllers that live here are handed down only to whom needs them.
        let wanted = alone || resources.is_some_and(super::limit::needs_unified);
        let available = if wanted { top.read("cgroup.controllers")? } else { String::new() };
        let domain = resources.is_some_and(super::limit::needs_domain_controller);
        let mut parent = top;
        for path in self.levels() {
            enable(&parent, &available);
            make_one(&path)?;
            let directory = Directory::open(&path)?;
            enter_threaded_mode(&directory, domain)?;
            parent = directory;
        }
        Ok(())
    }

    /// The directories from below the top to the container's, in that order.
    fn levels(&self) -> Vec<std::path::PathBuf> {
        let above = |path: &&Path| *path != self.top && path.starts_with(&self.top);
        let mut levels: Vec<_> = self.path.ancestors().take_while(above).map(Path::to_owned).collect();
        levels.reverse();
        levels
    }
}

/// Hands `controllers` to the children of `directory`, as far as it may: a limit that then cannot be set says so.
fn enable(directory: &Directory, controllers: &str) {
    if controllers.is_empty() {
        return;
    }
    let enabled = directory.read("cgroup.subtree_control").unwrap_or_default();
    let missing = || controllers.split(' ').filter(|name| !enabled.split(' ').any(|other| other == *name));
    let all = missing().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    if all.is_empty() || directory.write("cgroup.subtree_control", &all).is_ok() {
        return;
    }
    for name in missing() {
        // One refused controller must not take the others along.
        drop(directory.write("cgroup.subtree_control", &format!("+{name}")));
    }
}

/// Below a cgroup with processes of its own only threaded cgroups work, and those have no memory, io or hugetlb.
fn enter_threaded_mode(directory: &Directory, domain: bool) -> Result<(), CgroupError> {
    let kind = directory.read("cgroup.type").unwrap_or_default();
    let reason = match kind.as_str() {
        "domain invalid" if domain => "cannot enter it with domain controllers, it is in an invalid state",
        "domain threaded" | "threaded" if domain => {
            "cannot enter it with domain controllers, it is in threaded mode"
        }
        "domain invalid" => {
            drop(directory.write("cgroup.type", "threaded"));
            return Ok(());
        }
        _ => return Ok(()),
    };
    Err(CgroupError::Path { path: directory.path().to_owned(), reason })
}

/// Makes the directory `path`; one that is there already is taken.
fn make_one(path: &Path) -> Result<(), CgroupError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(PathError::at("mkdir", path)(error.into()).into()),
    }
}

/// Makes `path` and what is missing above it; mostly only the last directory is.
fn make_all(path: &Path) -> Result<(), CgroupError> {
    match make_one(path) {
        Err(error) if error.is_errno(Errno::NOENT) => {
            make_all(path.parent().unwrap_or_else(|| Path::new("/")))?;
            make_one(path)
        }
        done => done,
    }
}
