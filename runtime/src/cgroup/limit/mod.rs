//! Setting a container's limits: one controller a file, v1 and v2 side by side.
//!
//! A limit is asked of whichever hierarchy has its controller: on a hybrid host `hugetlb` may live on cgroup2 while
//! the rest is v1. A controller that nobody mounts is an error only when a limit needs it. Values keep runc's rules:
//! 0 means "leave as it is", -1 "no limit".

mod blkio;
mod cpu;
mod cpuset;
mod hugetlb;
mod memory;
mod network;
mod pids;
mod rdma;
mod unified;

use oci_spec::runtime::LinuxResources;

pub(super) use self::cpu::weight;
pub(super) use self::memory::swap_v2;
pub(super) use self::unified::check_name;

use super::{CgroupError, Directory, Hierarchy, Manager, Version, device};

/// A limit that is refused before or after the kernel saw it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum LimitError {
    /// A limit needs a controller that is not there.
    #[error("cannot set {0} limit: container could not join or create cgroup")]
    NoController(&'static str),
    /// The kernel clamped the shares.
    #[error("the {bound} allowed cpu-shares is {value}")]
    Shares {
        /// `minimum` or `maximum`.
        bound: &'static str,
        /// What the kernel made of it.
        value: u64,
    },
    /// The container already uses more.
    #[error("unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})")]
    MemoryInUse {
        /// What was asked for.
        limit: i64,
        /// What is in use.
        usage: u64,
        /// The most that was in use.
        peak: u64,
    },
    /// `checkBeforeUpdate`: the container already uses more.
    #[error("rejecting {what} limit {limit} <= usage {usage}")]
    BelowUsage {
        /// `memory` or `memory+swap`.
        what: &'static str,
        /// What was asked for.
        limit: i64,
        /// What is in use.
        usage: u64,
    },
    /// v2 counts swap apart, so the sum says nothing without the memory limit.
    #[error("unable to set swap limit without memory limit")]
    SwapAlone,
    /// The sum of memory and swap is less than the memory.
    #[error("memory+swap limit should be >= memory limit")]
    SwapBelowMemory,
    /// A negative memory limit other than -1.
    #[error("invalid memory value: {0}")]
    Memory(i64),
    /// Swappiness beyond what the kernel knows.
    #[error("invalid memory swappiness value: {0} (valid range is 0-100)")]
    Swappiness(u64),
    /// `unified` needs cgroup2.
    #[error("invalid configuration: cannot use unified on cgroup v1")]
    UnifiedOnV1,
    /// `unified` keys are control files of the container's own cgroup.
    #[error("unified resource {0:?} must be a file name (no slashes)")]
    UnifiedName(String),
    /// `unified` keys name their controller.
    #[error("unified resource {0:?} must be in the form CONTROLLER.PARAMETER")]
    UnifiedForm(String),
    /// The controller of a `unified` key is not enabled.
    #[error("unified resource {key:?} can't be set: controller {controller:?} not available")]
    UnifiedController {
        /// The control file.
        key: String,
        /// Its first part.
        controller: String,
    },
}

/// The control files of one controller.
struct Control {
    version: Version,
    directory: Directory,
}

/// Sets limits in a container's cgroups.
pub(super) struct Limits<'a> {
    manager: &'a Manager,
}

impl<'a> Limits<'a> {
    pub(super) fn of(manager: &'a Manager) -> Self {
        Self { manager }
    }

    /// All limits and the device rules of a new container. Who is `rootless` may load no device rules: what he
    /// cannot open himself, his containers cannot either.
    pub(super) fn create(
        &self,
        resources: Option<&LinuxResources>,
        rootless: bool,
    ) -> Result<(), CgroupError> {
        let devices = device::rules(resources.and_then(|resources| resources.devices().as_deref()))?;
        match self.devices(&devices) {
            Err(error) if rootless && error.is_permission() => {}
            done => done?,
        }
        resources.map_or(Ok(()), |resources| self.set(resources))
    }

    /// All limits but device rules.
    pub(super) fn set(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        if let Some(cpu) = resources.cpu() {
            cpuset::set(self, cpu)?;
            cpu::set(self, cpu)?;
        }
        if let Some(memory) = resources.memory() {
            memory::set(self, memory)?;
        }
        if let Some(pids) = resources.pids() {
            pids::set(self, pids.limit())?;
        }
        if let Some(block_io) = resources.block_io() {
            blkio::set(self, block_io)?;
        }
        hugetlb::set(self, resources.hugepage_limits().as_deref().unwrap_or_default())?;
        if let Some(network) = resources.network() {
            network::set(self, network)?;
        }
        if let Some(rdma) = resources.rdma() {
            rdma::set(self, rdma)?;
        }
        resources.unified().as_ref().map_or(Ok(()), |unified| unified::set(self, unified))
    }

    /// Replaces the device rules.
    pub(super) fn devices(&self, rules: &device::Rules) -> Result<(), CgroupError> {
        match self.manager.v1("devices") {
            Some(hierarchy) => device::set_v1(&Directory::open(&hierarchy.path)?, rules),
            None => match self.manager.unified() {
                Some(hierarchy) => device::set_v2(&Directory::open(&hierarchy.path)?, rules),
                None => Ok(()),
            },
        }
    }

    /// The controller known as `v1` or `v2` in the two worlds, wherever it is mounted.
    fn require(&self, v1: &'static str, v2: &'static str) -> Result<Control, CgroupError> {
        let hierarchy = self.manager.v1(v1).or_else(|| self.unified_with(v2));
        let hierarchy = hierarchy.ok_or(LimitError::NoController(v1))?;
        Ok(Control { version: hierarchy.version, directory: Directory::open(&hierarchy.path)? })
    }

    /// The container's cgroup2 directory, if `controller` is enabled in it.
    fn unified_with(&self, controller: &str) -> Option<&Hierarchy> {
        let hierarchy = self.manager.unified()?;
        let controllers =
            Directory::open(&hierarchy.path).and_then(|directory| directory.read("cgroup.controllers"));
        let enabled =
            controllers.is_ok_and(|controllers| controllers.split(' ').any(|name| name == controller));
        enabled.then_some(hierarchy)
    }
}

impl Manager {
    /// Sets new limits for the running container; device rules stay as they are.
    ///
    /// # Errors
    /// When the kernel or a rule of the limit refuses; limits before it are set then.
    pub(crate) fn update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        if let Some(unit) = &self.unit {
            unit.update(resources, self.is_v2())?;
        }
        Limits::of(self).set(resources)
    }
}

/// Whether `resources` limit what a threaded v2 cgroup cannot.
pub(super) fn needs_domain_controller(resources: &LinuxResources) -> bool {
    resources.memory().is_some_and(|memory| memory::is_set(&memory))
        || resources.block_io().is_some()
        || resources.cpu().as_ref().is_some_and(cpu::is_set)
        || resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())
}

/// Whether `resources` ask for something that only lives on cgroup2 in a hybrid layout.
pub(super) fn needs_unified(resources: &LinuxResources) -> bool {
    resources.unified().as_ref().is_some_and(|unified| !unified.is_empty())
        || resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())
        || resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())
}

/// A value that was given and means something: 0 leaves things as they are.
fn given<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

#[cfg(test)]
mod tests;
