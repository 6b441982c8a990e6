//! Limits as properties of a unit: systemd writes what it knows of, and would write back over what it does not.

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::super::{device, limit};
use super::{SystemdError, devices, unified};
use crate::dbus::Value;

/// systemd's word for no limit.
pub(super) const INFINITY: u64 = u64::MAX;

/// Names and values, as the bus has them.
pub(super) type Properties = Vec<(String, Value)>;

/// What is known of the systemd that is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// Whether its controllers are those of cgroup v2.
    pub(super) v2: bool,
    /// Its version; 0 when it does not say.
    pub(super) version: u32,
}

impl Dialect {
    pub(super) fn knows_quota_periods(self) -> bool {
        self.version >= 242
    }

    pub(super) fn knows_cpusets(self) -> bool {
        self.version >= 244
    }

    pub(super) fn knows_idle(self) -> bool {
        self.version >= 252
    }

    /// Scopes learned this later than services.
    pub(super) fn knows_oom_policy(self) -> bool {
        self.version >= 253
    }
}

pub(super) fn add(list: &mut Properties, name: &str, value: Value) {
    list.push((name.to_owned(), value));
}

/// The unit itself, around the process `pid`.
pub(super) fn of_unit(name: &str, slice: &str, pid: u32, v2: bool) -> Properties {
    let mut list = Properties::new();
    add(&mut list, "Description", Value::String(format!("libcontainer container {name}")));
    add(&mut list, "PIDs", Value::Array("u".to_owned(), vec![Value::U32(pid)]));
    add(&mut list, "DefaultDependencies", Value::Bool(false));
    if name.ends_with(".slice") {
        add(&mut list, "Wants", Value::texts([slice]));
    } else {
        add(&mut list, "Slice", Value::text(slice));
        // What is below belongs to the container.
        add(&mut list, "Delegate", Value::Bool(true));
    }
    let io = if v2 { "IOAccounting" } else { "BlockIOAccounting" };
    for accounting in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
        add(&mut list, accounting, Value::Bool(true));
    }
    list
}

/// What a unit can only be born with: whether the kernel's kill for want of memory takes all of it.
pub(super) fn of_birth(resources: &LinuxResources, dialect: Dialect) -> Properties {
    let group = resources.unified().as_ref().and_then(|unified| unified.get("memory.oom.group"));
    let policy = match group.map(|value| value.trim()) {
        Some("0") => "continue",
        Some("1") => "kill",
        _ => return Properties::new(),
    };
    if dialect.knows_oom_policy() { vec![("OOMPolicy".to_owned(), Value::text(policy))] } else { Vec::new() }
}

/// The device rules of a new container.
pub(super) fn of_devices(resources: Option<&LinuxResources>) -> Result<Properties, SystemdError> {
    let rules = device::rules(resources.and_then(|resources| resources.devices().as_deref()));
    rules.map(|rules| devices::properties(&rules)).map_err(Into::into)
}

/// The limits that systemd knows.
pub(super) fn of_resources(resources: &LinuxResources, dialect: Dialect) -> Result<Properties, SystemdError> {
    let mut list = Properties::new();
    if let Some(memory) = resources.memory() {
        of_memory(&mut list, memory, dialect.v2)?;
    }
    if let Some(cpu) = resources.cpu() {
        of_cpu(&mut list, cpu, dialect)?;
    }
    let weight = resources.block_io().as_ref().and_then(|block| block.weight()).filter(|weight| *weight != 0);
    if let Some(weight) = weight.filter(|_| !dialect.v2) {
        add(&mut list, "BlockIOWeight", Value::U64(weight.into()));
    }
    if let Some(pids) = resources.pids() {
        let most = match pids.limit() {
            ..0 => INFINITY,
            0 => 1,
            limit => limit.cast_unsigned(),
        };
        add(&mut list, "TasksMax", Value::U64(most));
    }
    if let Some(files) = resources.unified().as_ref().filter(|_| dialect.v2) {
        list.extend(unified::properties(files, dialect)?);
    }
    Ok(list)
}

fn of_memory(list: &mut Properties, memory: &LinuxMemory, v2: bool) -> Result<(), SystemdError> {
    // -1 is systemd's infinity as it stands.
    let value = |bytes: i64| Value::U64(bytes.cast_unsigned());
    let (limit, sum) = (memory.limit().unwrap_or(0), memory.swap().unwrap_or(0));
    if limit != 0 {
        add(list, if v2 { "MemoryMax" } else { "MemoryLimit" }, value(limit));
    }
    if !v2 {
        return Ok(());
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        add(list, "MemoryLow", value(reservation));
    }
    if let Some(swap) = limit::swap_v2(sum, limit)? {
        add(list, "MemorySwapMax", Value::U64(swap.parse().unwrap_or(INFINITY)));
    }
    Ok(())
}

fn of_cpu(list: &mut Properties, cpu: &LinuxCpu, dialect: Dialect) -> Result<(), SystemdError> {
    let shares = cpu.shares().filter(|shares| *shares != 0);
    if dialect.v2 && cpu.idle() == Some(1) && dialect.knows_idle() {
        // 0 is systemd's word for idle; an idle unit has no weight.
        add(list, "CPUWeight", Value::U64(0));
    } else if let Some(shares) = shares {
        let (name, value) =
            if dialect.v2 { ("CPUWeight", limit::weight(shares)) } else { ("CPUShares", shares) };
        add(list, name, Value::U64(value));
    }
    of_quota(list, cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0), dialect);
    for (name, cpus) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
        if let Some(cpus) = cpus.as_deref().filter(|cpus| !cpus.is_empty() && dialect.knows_cpusets()) {
            add(list, name, Value::bytes(&bits(cpus)?));
        }
    }
    Ok(())
}

/// 0 leaves either as it is; a negative quota is none.
pub(super) fn of_quota(list: &mut Properties, quota: i64, period: u64, dialect: Dialect) {
    if period != 0 && dialect.knows_quota_periods() {
        add(list, "CPUQuotaPeriodUSec", Value::U64(period));
    }
    if quota != 0 || period != 0 {
        let period = Some(period).filter(|period| *period != 0);
        let quota = Some(quota).filter(|quota| *quota > 0);
        add(list, "CPUQuotaPerSecUSec", Value::U64(quota_per_second(quota, period)));
    }
}

/// Microseconds of CPU per second; systemd counts in percent, so parts of one are rounded up.
fn quota_per_second(quota: Option<i64>, period: Option<u64>) -> u64 {
    let Some(quota) = quota.and_then(|quota| u64::try_from(quota).ok()) else { return INFINITY };
    let per_second = quota.saturating_mul(1_000_000) / period.unwrap_or(100_000);
    per_second.div_ceil(10_000) * 10_000
}

/// `0-2,7` as bits, lowest first.
pub(super) fn bits(list: &str) -> Result<Vec<u8>, SystemdError> {
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
    // systemd would take none as all.
    if bits.is_empty() { Err(invalid()) } else { Ok(bits) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_bits() {
        assert_eq!(bits("0-2,9").expect("bits"), [0b111, 0b10]);
        for bad in ["x", "3-1", "1-", "70000", "", ","] {
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
            let list = of_resources(&resources, Dialect { v2, version: 252 }).expect("properties");
            list.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(true), ["MemoryMax", "MemorySwapMax", "CPUWeight", "AllowedCPUs", "TasksMax"]);
        assert_eq!(names(false), ["MemoryLimit", "CPUShares", "AllowedCPUs", "TasksMax"]);
    }

    #[test]
    fn an_old_systemd_is_told_what_it_knows() {
        let json = r#"{"cpu":{"quota":5000,"period":10000,"cpus":"0","idle":1,"shares":1024}}"#;
        let resources: LinuxResources = serde_json::from_str(json).expect("resources");
        let list = of_resources(&resources, Dialect { v2: true, version: 239 }).expect("properties");
        let names: Vec<_> = list.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CPUWeight", "CPUQuotaPerSecUSec"]);
    }
}
