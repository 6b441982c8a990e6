//! `cpuset`: which CPUs and memory nodes.

use oci_spec::runtime::LinuxCpu;

use super::{CgroupError, Limits};

pub(super) fn set(limits: &Limits<'_>, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let wanted = [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())];
    for (name, list) in wanted {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            limits.require("cpuset", "cpuset")?.directory.write(name, list)?;
        }
    }
    Ok(())
}
