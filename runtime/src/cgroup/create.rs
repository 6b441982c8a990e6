//! Creating the directories, with every limit in place before anybody is inside.

use std::path::Path;

use dhow_linux::file::PathError;
use oci_spec::runtime::LinuxResources;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::limit::Limits;
use super::{CgroupError, Directory, Hierarchy, Manager, Version};

impl Manager {
    /// Makes the container's directories and sets `resources` in them.
    ///
    /// # Errors
    /// When a directory cannot be made, is already somebody's (processes in it, or frozen), or a limit cannot be set.
    /// Nothing that was made is left then, and nobody else's is touched.
    pub(crate) fn create(&mut self, resources: Option<&LinuxResources>) -> Result<(), CgroupError> {
        self.refuse_used()?;
        let created = self.make_and_limit(resources);
        if created.is_err() {
            // What went wrong first is what the caller must hear.
            drop(self.remove());
        }
        created
    }

    fn make_and_limit(&mut self, resources: Option<&LinuxResources>) -> Result<(), CgroupError> {
        let alone = self.is_v2();
        if let Some(unit) = &mut self.unit {
            unit.start(resources, alone)?;
        }
        let mut made = Vec::with_capacity(self.hierarchies.len());
        for hierarchy in std::mem::take(&mut self.hierarchies) {
            match hierarchy.make(resources, alone) {
                Ok(()) => made.push(hierarchy),
                Err(error) if self.tolerant && error.is_permission() => {}
                // Without this hierarchy nothing that was asked for is missing.
                Err(error) if hierarchy.is_optional() && error.is_permission() => {}
                Err(error) => {
                    made.push(hierarchy);
                    self.hierarchies = made;
                    return Err(error);
                }
            }
        }
        self.hierarchies = made;
        Limits::of(self).create(resources, self.tolerant)
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
