//! Which CPUs and memory nodes; v1 only, as runc reports it.

use serde::Serialize;

use super::{Directory, number, optional};
use crate::cgroup::CgroupError;

/// The cpuset's lists and flags.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

pub(super) fn read(directory: &Directory) -> Result<Cpuset, CgroupError> {
    let text = |name: &str| Ok::<_, CgroupError>(optional(directory.read(name))?.unwrap_or_default());
    let flag = |name: &str| number(directory, name);
    Ok(Cpuset {
        cpus: list(&text("cpuset.cpus")?),
        cpu_exclusive: flag("cpuset.cpu_exclusive")?,
        mems: list(&text("cpuset.mems")?),
        mem_hardwall: flag("cpuset.mem_hardwall")?,
        mem_exclusive: flag("cpuset.mem_exclusive")?,
        memory_migrate: flag("cpuset.memory_migrate")?,
        memory_spread_page: flag("cpuset.memory_spread_page")?,
        memory_spread_slab: flag("cpuset.memory_spread_slab")?,
        memory_pressure: flag("cpuset.memory_pressure")?,
        sched_load_balance: flag("cpuset.sched_load_balance")?,
        sched_relax_domain_level: text("cpuset.sched_relax_domain_level")?.parse().unwrap_or(0),
    })
}

/// `0-2,7` as its numbers; what is no list is empty.
pub(super) fn list(text: &str) -> Vec<u16> {
    let ranges = text.split(',').filter_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        Some(from.parse::<u16>().ok()?..=to.parse().ok()?)
    });
    ranges.flatten().collect()
}
