//! `memory`: memory, and memory plus swap.
//!
//! v1 demands `limit <= memsw.limit` at every moment, so the order of the two writes depends on where the limit goes.
//! v2 counts swap alone: the sum of the spec is taken apart.

use oci_spec::runtime::LinuxMemory;
use rustix::io::Errno;

use super::{CgroupError, Directory, LimitError, Limits, Version, given};

pub(super) fn is_set(memory: &LinuxMemory) -> bool {
    [memory.limit(), memory.swap(), memory.reservation()].into_iter().any(|value| given(value).is_some())
}

pub(super) fn set(limits: &Limits<'_>, memory: &LinuxMemory) -> Result<(), CgroupError> {
    if memory.kernel().is_some() || memory.kernel_tcp().is_some() {
        crate::log::warn("Kernel memory settings are ignored and will be removed");
    }
    let only_v1 = memory.disable_oom_killer() == Some(true) || memory.swappiness().is_some();
    if !is_set(memory) && !only_v1 {
        return Ok(());
    }
    let control = limits.require("memory", "memory")?;
    match control.version {
        Version::V1 => set_v1(&control.directory, memory),
        Version::V2 => set_v2(&control.directory, memory),
    }
}

fn set_v1(directory: &Directory, memory: &LinuxMemory) -> Result<(), CgroupError> {
    let limit = given(memory.limit());
    let mut swap = given(memory.swap());
    if limit == Some(-1) && swap.is_none() && directory.has("memory.memsw.limit_in_bytes") {
        swap = Some(-1);
    }
    let swap_first = match (limit, swap) {
        (Some(_), Some(-1)) => true,
        (Some(_), Some(swap)) => {
            directory.read_number("memory.limit_in_bytes")? < u64::try_from(swap).unwrap_or(u64::MAX)
        }
        _ => false,
    };
    if swap_first {
        set_swap_v1(directory, swap)?;
        set_limit_v1(directory, limit)?;
    } else {
        set_limit_v1(directory, limit)?;
        set_swap_v1(directory, swap)?;
    }
    if let Some(reservation) = given(memory.reservation()) {
        directory.write("memory.soft_limit_in_bytes", &reservation.to_string())?;
    }
    if memory.disable_oom_killer() == Some(true) {
        directory.write("memory.oom_control", "1")?;
    }
    match memory.swappiness() {
        Some(swappiness @ ..=100) => directory.write("memory.swappiness", &swappiness.to_string()),
        // -1, "as it is", in the unsigned field.
        Some(u64::MAX) | None => Ok(()),
        Some(swappiness) => Err(LimitError::Swappiness(swappiness).into()),
    }
}

fn set_swap_v1(directory: &Directory, swap: Option<i64>) -> Result<(), CgroupError> {
    swap.map_or(Ok(()), |swap| directory.write("memory.memsw.limit_in_bytes", &swap.to_string()))
}

fn set_limit_v1(directory: &Directory, limit: Option<i64>) -> Result<(), CgroupError> {
    let Some(limit) = limit else { return Ok(()) };
    match directory.write("memory.limit_in_bytes", &limit.to_string()) {
        Err(error) if error.is_errno(Errno::BUSY) => {
            let usage = directory.read_number("memory.usage_in_bytes")?;
            let peak = directory.read_number("memory.max_usage_in_bytes")?;
            Err(LimitError::MemoryInUse { limit, usage, peak }.into())
        }
        done => done,
    }
}

fn set_v2(directory: &Directory, memory: &LinuxMemory) -> Result<(), CgroupError> {
    let (limit, sum) = (memory.limit().unwrap_or(0), memory.swap().unwrap_or(0));
    if memory.check_before_update() == Some(true) {
        refuse_below_usage(directory, limit, sum)?;
    }
    if let Some(swap) = swap_v2(sum, limit)? {
        match directory.write("memory.swap.max", &swap) {
            // No swap accounting: "none" and "any" hold all the same.
            Err(error) if error.is_errno(Errno::NOENT) && (swap == "max" || swap == "0") => {}
            done => done?,
        }
    }
    for (name, value) in [("memory.max", limit), ("memory.low", memory.reservation().unwrap_or(0))] {
        if let Some(value) = value_v2(value) {
            directory.write(name, &value)?;
        }
    }
    Ok(())
}

fn refuse_below_usage(directory: &Directory, limit: i64, sum: i64) -> Result<(), CgroupError> {
    // A cgroup that cannot say holds nothing yet.
    let Ok(usage) = directory.read_number("memory.current") else { return Ok(()) };
    for (what, limit) in [("memory+swap", sum), ("memory", limit)] {
        if limit > 0 && u64::try_from(limit).is_ok_and(|limit| limit <= usage) {
            return Err(LimitError::BelowUsage { what, limit, usage }.into());
        }
    }
    Ok(())
}

fn value_v2(value: i64) -> Option<String> {
    match value {
        0 => None,
        -1 => Some("max".to_owned()),
        value => Some(value.to_string()),
    }
}

/// What `memory.swap.max` must hold for a sum of memory and swap, if anything.
pub(in crate::cgroup) fn swap_v2(sum: i64, memory: i64) -> Result<Option<String>, LimitError> {
    match (memory, sum) {
        // Unlimited memory alone means unlimited both, as on v1.
        (-1, 0) => Ok(Some("max".to_owned())),
        (_, -1 | 0) | (-1, _) => Ok(value_v2(sum)),
        (0, _) => Err(LimitError::SwapAlone),
        (..0, _) => Err(LimitError::Memory(memory)),
        (memory, sum) if sum < memory => Err(LimitError::SwapBelowMemory),
        (memory, sum) => Ok(Some((sum - memory).to_string())),
    }
}
