//! A container's cgroups: created, limited, joined, frozen, emptied and removed, on v1, hybrid and v2 hosts.
//!
//! ```text
//! Manager::new ── where the container's directories are ([`layout`], path rules of runc)
//!   .begin(resources)    mkdir where a process is born
//!   .complete(resources) mkdir in the other hierarchies, limits and device rules
//!   .join()              descriptors through which the child enters ([`Join`])
//!   .freeze() .thaw() .kill_all() .stats() .update(resources)
//!   .remove()            rmdir, children first
//! Manager::from_paths ── the same directories later, from the state document's `cgroup_paths`
//! ```
//! On a hybrid host the container is created and joined under the cgroup2 mount as well: it gives `cgroup.kill`,
//! pressure files and the controllers that only live there.
//!
//! Does not own: what the limits should be (the spec's), nor cgroup mounts inside the container (rootfs).

mod adopt;
mod create;
mod delegate;
mod device;
mod directory;
mod error;
mod freeze;
mod join;
mod layout;
mod limit;
mod oom;
mod process;
mod remove;
mod stats;
mod systemd;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) use self::directory::Directory;
pub(crate) use self::error::CgroupError;
pub(crate) use self::join::Join;
pub(crate) use self::oom::OomEvent;
pub(crate) use self::stats::Stats;
pub(crate) use self::systemd::Owner;

use self::layout::{Layout, clean, join_inner};
use self::systemd::{SystemdError, Unit};

/// Which interface a directory's control files follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The container's directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    /// v1: the controllers mounted there; none for cgroup2.
    controllers: Vec<String>,
    /// The hierarchy's mount point: nothing above it is ever created or removed.
    top: PathBuf,
    path: PathBuf,
}

/// The cgroups of one container.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    hierarchies: Vec<Hierarchy>,
    /// The systemd unit that owns the directories, when the systemd driver was asked for.
    unit: Option<Unit>,
    /// Whether somebody said where: refused there, the container does not do without.
    named: bool,
    /// Whether the caller may have no right to cgroups at all.
    rootless: bool,
}

impl Manager {
    /// The cgroups of container `id`, in the directories that `cgroups_path` asks for.
    ///
    /// An absolute path starts at the top of every hierarchy. A relative one, and `id` when there is none, start at
    /// the caller's own cgroup (on v2 at its parent: a cgroup with processes in it can have no limited children).
    ///
    /// # Errors
    /// When no hierarchy is mounted, or v1 without the devices controller.
    pub(crate) fn new(cgroups_path: Option<&Path>, id: &str) -> Result<Self, CgroupError> {
        let asked = cgroups_path.filter(|path| !path.as_os_str().is_empty());
        let inner = asked.map_or_else(|| PathBuf::from(id), clean);
        if inner.components().next().is_none() || inner == Path::new("/") {
            let reason = "it names the whole hierarchy";
            return Err(CgroupError::Path {
                path: asked.unwrap_or_else(|| Path::new(id)).to_owned(),
                reason,
            });
        }
        let layout = Layout::detect()?;
        let hierarchies = place(&layout, &inner)?;
        Ok(Self { hierarchies, unit: None, named: asked.is_some(), rootless: false })
    }

    /// The cgroups of container `id` as a transient scope of systemd; `cgroups_path` is `slice:prefix:name`, and
    /// `annotations` may name properties of the unit.
    ///
    /// # Errors
    /// When the path or an annotation has another form, or no hierarchy is mounted.
    pub(crate) fn with_systemd(
        cgroups_path: Option<&Path>,
        id: &str,
        annotations: &BTreeMap<String, String>,
        owner: Owner,
    ) -> Result<Self, CgroupError> {
        let layout = Layout::detect()?;
        let unit = Unit::parse(cgroups_path, id, annotations, owner)?;
        if owner == Owner::User && !layout.v1.is_empty() {
            return Err(SystemdError::RootlessOnV1.into());
        }
        let hierarchies = place(&layout, &unit.path()?)?;
        Ok(Self { hierarchies, unit: Some(unit), named: true, rootless: false })
    }

    /// The same cgroups as earlier, from the state document ([`Self::paths`]).
    ///
    /// # Errors
    /// When the host's hierarchies cannot be read.
    pub(crate) fn from_paths(paths: &BTreeMap<String, PathBuf>) -> Result<Self, CgroupError> {
        let layout = Layout::detect()?;
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for (controller, path) in paths {
            if let Some(known) = hierarchies.iter_mut().find(|hierarchy| &hierarchy.path == path) {
                known.controllers.push(controller.clone());
                continue;
            }
            let version = if controller.is_empty() { Version::V2 } else { Version::V1 };
            let mounts = layout.v1.iter().chain(&layout.unified);
            let top = mounts.map(|mount| &mount.point).find(|point| path.starts_with(point));
            let controllers = if controller.is_empty() { Vec::new() } else { vec![controller.clone()] };
            let top = top.cloned().unwrap_or_else(|| path.clone());
            hierarchies.push(Hierarchy { version, controllers, top, path: path.clone() });
        }
        Ok(Self { hierarchies, unit: None, named: true, rootless: false })
    }

    /// Takes permission errors as what a rootless caller must expect: at device rules, and at making and joining
    /// cgroups that nobody named.
    pub(crate) fn rootless(mut self, rootless: bool) -> Self {
        self.rootless = rootless;
        self
    }

    /// Whether the container can be without the cgroups.
    pub(crate) fn is_optional(&self) -> bool {
        self.rootless && !self.named
    }

    /// Names the systemd unit again after [`Self::from_paths`].
    pub(crate) fn in_unit(mut self, name: Option<&str>, owner: Owner) -> Self {
        self.unit = name.map(|name| Unit::named(name, owner));
        self
    }

    /// The systemd unit, when one owns the container.
    pub(crate) fn unit_name(&self) -> Option<&str> {
        self.unit.as_ref().map(Unit::name)
    }

    /// Where systemd puts the container's unit: a path that finds the same directories without systemd.
    pub(crate) fn place_of_unit(&self) -> Option<String> {
        self.unit.as_ref()?;
        let main = self.main()?;
        let inner = main.path.strip_prefix(&main.top).ok()?;
        Some(format!("/{}", inner.display()))
    }

    /// Whether the caller's own systemd owns the container.
    pub(crate) fn is_of_user(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| unit.owner() == Owner::User)
    }

    /// To be called once the container's first process is inside: what kept the cgroups alive for it leaves.
    pub(crate) fn settle(&mut self) {
        if let Some(unit) = &mut self.unit {
            unit.settle();
        }
    }

    /// Controller to directory, as runc's state document has it: `""` is cgroup2.
    pub(crate) fn paths(&self) -> BTreeMap<String, PathBuf> {
        let mut paths = BTreeMap::new();
        for hierarchy in &self.hierarchies {
            if hierarchy.version == Version::V2 {
                paths.insert(String::new(), hierarchy.path.clone());
            }
            for controller in &hierarchy.controllers {
                paths.insert(controller.clone(), hierarchy.path.clone());
            }
        }
        paths
    }

    /// Whether any of the directories is there.
    pub(crate) fn exists(&self) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.path.is_dir())
    }

    /// Whether the container is limited through cgroup2 alone.
    pub(crate) fn is_v2(&self) -> bool {
        self.hierarchies.iter().all(|hierarchy| hierarchy.version == Version::V2)
    }

    /// The container's directory of v1 `controller`.
    fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }

    /// The container's directory below the cgroup2 mount.
    fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// The directory that lists the container's processes most reliably.
    fn main(&self) -> Option<&Hierarchy> {
        self.v1("devices").or_else(|| self.unified()).or_else(|| self.hierarchies.first())
    }
}

/// The directories that `inner` (cleaned) means on this host.
fn place(layout: &Layout, inner: &Path) -> Result<Vec<Hierarchy>, CgroupError> {
    let absolute = inner.is_absolute();
    let mut hierarchies = Vec::with_capacity(layout.v1.len() + 1);
    for mount in &layout.v1 {
        let base = if absolute { mount.point.clone() } else { mount.own_directory() };
        hierarchies.push(Hierarchy {
            version: Version::V1,
            controllers: mount.controllers.clone(),
            top: mount.point.clone(),
            path: join_inner(&base, inner),
        });
    }
    let devices = |mount: &layout::Mount| mount.controllers.iter().any(|name| name == "devices");
    if !layout.v1.is_empty() && !layout.v1.iter().any(devices) {
        return Err(CgroupError::NoDevices);
    }
    if let Some(mount) = &layout.unified {
        let base = match (absolute, layout.v1.is_empty()) {
            (true, _) => mount.point.clone(),
            (false, false) => mount.own_directory(),
            (false, true) => {
                let own = mount.own_directory();
                let parent = own.parent().filter(|parent| parent.starts_with(&mount.point));
                parent.unwrap_or(&mount.point).to_owned()
            }
        };
        hierarchies.push(Hierarchy {
            version: Version::V2,
            controllers: Vec::new(),
            top: mount.point.clone(),
            path: join_inner(&base, inner),
        });
    }
    Ok(hierarchies)
}

#[cfg(test)]
mod tests;
