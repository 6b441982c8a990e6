//! Limits as properties of a unit: systemd writes what it knows of, and would write back over what it does not.

use cgroups_rs::systemd::Property;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use zvariant::{Array, Value};

use super::super::limit;
use super::SystemdError;

/// systemd's word for no limit.
const INFINITY: u64 = u64::MAX;

type Properties = Vec<Property<'static>>;

/// The unit itself, around the process `pid`.
pub(super) fn of_unit(name: &str, slice: &str, pid: u32) -> Properties {
    let mut list: Properties = vec![
        ("Description", Value::from(format!("libcontainer container {name}"))),
        ("PIDs", Value::from(Array::from(vec![pid]))),
        ("DefaultDependencies", Value::from(false)),
    ];
    if name.ends_with(".slice") {
        list.push(("Wants", Value::from(Array::from(vec![slice.to_owned()]))));
    } else {
        list.push(("Slice", Value::from(slice.to_owned())));
        // What is below belongs to the container.
        list.push(("Delegate", Value::from(true)));
    }
    for accounting in ["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"] {
        list.push((accounting, Value::from(true)));
    }
    list
}

/// The limits that systemd knows.
pub(super) fn of_resources(resources: &LinuxResources, v2: bool) -> Result<Properties, SystemdError> {
    let mut list = Properties::new();
    if let Some(memory) = resources.memory() {
        of_memory(&mut list, memory, v2)?;
    }
    if let Some(cpu) = resources.cpu() {
        of_cpu(&mut list, cpu, v2)?;
    }
    if let Some(pids) = resources.pids() {
        let most = match pids.limit() {
            ..0 => INFINITY,
            0 => 1,
            limit => limit.cast_unsigned(),
        };
        list.push(("TasksMax", Value::from(most)));
    }
    Ok(list)
}

fn of_memory(list: &mut Properties, memory: &LinuxMemory, v2: bool) -> Result<(), SystemdError> {
    // -1 is systemd's infinity as it stands.
    let value = |bytes: i64| Value::from(bytes.cast_unsigned());
    let (limit, sum) = (memory.limit().unwrap_or(0), memory.swap().unwrap_or(0));
    if limit != 0 {
        list.push((if v2 { "MemoryMax" } else { "MemoryLimit" }, value(limit)));
    }
    if !v2 {
        return Ok(());
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        list.push(("MemoryLow", value(reservation)));
    }
    if let Some(swap) = limit::swap_v2(sum, limit)? {
        list.push(("MemorySwapMax", Value::from(swap.parse().unwrap_or(INFINITY))));
    }
    Ok(())
}

fn of_cpu(list: &mut Properties, cpu: &LinuxCpu, v2: bool) -> Result<(), SystemdError> {
    match (cpu.shares().filter(|shares| *shares != 0), cpu.idle()) {
        // 0 is systemd's word for idle; an idle unit has no weight.
        (_, Some(1)) if v2 => list.push(("CPUWeight", Value::from(0u64))),
        (Some(shares), _) if v2 => list.push(("CPUWeight", Value::from(limit::weight(shares)))),
        (Some(shares), _) => list.push(("CPUShares", Value::from(shares))),
        (None, _) => {}
    }
    let period = cpu.period().filter(|period| *period != 0);
    let quota = cpu.quota().filter(|quota| *quota != 0);
    if let Some(period) = period {
        list.push(("CPUQuotaPeriodUSec", Value::from(period)));
    }
    if quota.is_some() || period.is_some() {
        list.push(("CPUQuotaPerSecUSec", Value::from(quota_per_second(quota, period))));
    }
    for (name, cpus) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
        if let Some(cpus) = cpus.as_deref().filter(|cpus| !cpus.is_empty()) {
            list.push((name, Value::from(Array::from(bits(cpus)?))));
        }
    }
    Ok(())
}

/// Microseconds of CPU per second; systemd counts in percent, so parts of one are rounded up.
fn quota_per_second(quota: Option<i64>, period: Option<u64>) -> u64 {
    let Some(quota) = quota.and_then(|quota| u64::try_from(quota).ok()) else { return INFINITY };
    let per_second = quota.saturating_mul(1_000_000) / period.unwrap_or(100_000);
    per_second.div_ceil(10_000) * 10_000
}

/// `0-2,7` as bits, lowest first.
fn bits(list: &str) -> Result<Vec<u8>, SystemdError> {
    let invalid = || SystemdError::List(list.to_owned());
    let mut bits = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<u16>().map_err(|_| invalid());
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return Err(invalid());
        }
        for bit in from..=to {
            let byte = usize::from(bit / 8);
            if bits.len() <= byte {
                bits.resize(byte + 1, 0);
            }
            if let Some(byte) = bits.get_mut(byte) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_bits() {
        assert_eq!(bits("0-2,9").expect("bits"), [0b111, 0b10]);
        for bad in ["x", "3-1", "1-", "70000"] {
            bits(bad).expect_err(bad);
        }
    }

    #[test]
    fn quotas_are_whole_percents() {
        assert_eq!(quota_per_second(Some(5000), Some(100_000)), 50_000);
        assert_eq!(quota_per_second(Some(1), None), 10_000);
        assert_eq!(quota_per_second(Some(-1), Some(1000)), INFINITY);
        assert_eq!(quota_per_second(None, Some(1000)), INFINITY);
    }

    #[test]
    fn limits_become_properties() {
        let json =
            r#"{"memory":{"limit":100,"swap":300},"cpu":{"shares":1024,"cpus":"0"},"pids":{"limit":0}}"#;
        let resources: LinuxResources = serde_json::from_str(json).expect("resources");
        let names = |v2| {
            let list = of_resources(&resources, v2).expect("properties");
            list.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(true), ["MemoryMax", "MemorySwapMax", "CPUWeight", "AllowedCPUs", "TasksMax"]);
        assert_eq!(names(false), ["MemoryLimit", "CPUShares", "AllowedCPUs", "TasksMax"]);
    }
}
