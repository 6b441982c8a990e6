//! `cpu`: shares of the CPUs, and ceilings.
//!
//! Quota, period and burst limit each other, so that a new pair may be valid while each half of it is not with the
//! other's old half: what the kernel finds invalid is tried again after the quota.

use oci_spec::runtime::LinuxCpu;
use rustix::io::Errno;

use super::{CgroupError, Directory, LimitError, Limits, Version, given};

/// The kernel's own default.
const PERIOD: u64 = 100_000;

pub(super) fn is_set(cpu: &LinuxCpu) -> bool {
    given(cpu.shares()).is_some()
        || given(cpu.quota()).is_some()
        || given(cpu.period()).is_some()
        || cpu.idle().is_some()
        || cpu.burst().is_some()
}

pub(super) fn set(limits: &Limits<'_>, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let realtime = given(cpu.realtime_period()).is_some() || given(cpu.realtime_runtime()).is_some();
    if !is_set(cpu) && !realtime {
        return Ok(());
    }
    let control = limits.require("cpu", "cpu")?;
    match control.version {
        Version::V1 => set_v1(&control.directory, cpu),
        Version::V2 => set_v2(&control.directory, cpu),
    }
}

fn set_v1(directory: &Directory, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    set_realtime(directory, cpu)?;
    if let Some(shares) = given(cpu.shares()) {
        set_shares(directory, shares)?;
    }
    let quota = given(cpu.quota());
    let period = given(cpu.period()).map(|period| period.to_string());
    let late_period = write_early(directory, "cpu.cfs_period_us", period.as_deref(), quota.is_some())?;
    let burst = cpu.burst().map(|burst| burst.to_string());
    let late_burst = match write_early(directory, "cpu.cfs_burst_us", burst.as_deref(), quota.is_some()) {
        // Kernels before 5.14 have no bursts.
        Err(error) if error.is_errno(Errno::NOENT) => None,
        late => late?,
    };
    if let Some(quota) = quota {
        directory.write("cpu.cfs_quota_us", &quota.to_string())?;
        late_period.map_or(Ok(()), |period| directory.write("cpu.cfs_period_us", period))?;
        late_burst.map_or(Ok(()), |burst| directory.write("cpu.cfs_burst_us", burst))?;
    }
    cpu.idle().map_or(Ok(()), |idle| directory.write("cpu.idle", &idle.to_string()))
}

fn set_v2(directory: &Directory, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    cpu.idle().map_or(Ok(()), |idle| directory.write("cpu.idle", &idle.to_string()))?;
    if let Some(shares) = given(cpu.shares()) {
        directory.write("cpu.weight", &weight(shares).to_string())?;
    }
    let quota = given(cpu.quota());
    let burst = cpu.burst().map(|burst| burst.to_string());
    let late_burst = write_early(directory, "cpu.max.burst", burst.as_deref(), quota.is_some())?;
    if quota.is_none() && given(cpu.period()).is_none() {
        return Ok(());
    }
    directory.write("cpu.max", &max(quota, given(cpu.period())))?;
    late_burst.map_or(Ok(()), |burst| directory.write("cpu.max.burst", burst))
}

/// Writes `value` unless the kernel finds it invalid and a quota comes that may make it valid: then it is handed
/// back for later.
fn write_early<'v>(
    directory: &Directory,
    name: &str,
    value: Option<&'v str>,
    quota_follows: bool,
) -> Result<Option<&'v str>, CgroupError> {
    let Some(value) = value else { return Ok(None) };
    match directory.write(name, value) {
        Ok(()) => Ok(None),
        Err(error) if quota_follows && error.is_errno(Errno::INVAL) => Ok(Some(value)),
        Err(error) => Err(error),
    }
}

/// The kernel clamps shares in silence; a caller who asked for 1 and got 2 should know.
fn set_shares(directory: &Directory, shares: u64) -> Result<(), CgroupError> {
    directory.write("cpu.shares", &shares.to_string())?;
    let value = directory.read_number("cpu.shares")?;
    let bound = match shares.cmp(&value) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Greater => "maximum",
        std::cmp::Ordering::Less => "minimum",
    };
    Err(LimitError::Shares { bound, value }.into())
}

/// Before anybody joins: a real-time process may not enter a cgroup without real-time bandwidth.
fn set_realtime(directory: &Directory, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let runtime = given(cpu.realtime_runtime());
    let period = given(cpu.realtime_period()).map(|period| period.to_string());
    let late = write_early(directory, "cpu.rt_period_us", period.as_deref(), runtime.is_some())?;
    let Some(runtime) = runtime else { return Ok(()) };
    directory.write("cpu.rt_runtime_us", &runtime.to_string())?;
    late.map_or(Ok(()), |period| directory.write("cpu.rt_period_us", period))
}

/// The text of `cpu.max`.
pub(super) fn max(quota: Option<i64>, period: Option<u64>) -> String {
    let quota = quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
    format!("{quota} {}", period.unwrap_or(PERIOD))
}

/// v1 shares (2 to 262144, 1024 when unset) as a v2 weight (1 to 10000, 100 when unset): the quadratic curve in the
/// logarithms through these three points.
pub(in crate::cgroup) fn weight(shares: u64) -> u64 {
    match shares {
        0 => 0,
        1..=2 => 1,
        262_144.. => 10_000,
        shares => {
            #[expect(clippy::cast_precision_loss, reason = "below 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 10000"
            )]
            let weight = 10f64.powf(exponent).ceil() as u64;
            weight
        }
    }
}
