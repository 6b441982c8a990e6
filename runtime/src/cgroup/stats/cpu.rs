//! CPU time.

use serde::Serialize;

use super::pressure::Pressure;
use super::{Directory, is_default, is_zero, optional, pairs};
use crate::cgroup::CgroupError;

/// The kernel shows v1's user and system time in these, whatever its own clock.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// CPU time used, and time refused.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cpu {
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) usage: Usage,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Pressure>,
}

/// In nanoseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_user: Vec<u64>,
    kernel: u64,
    user: u64,
}

/// Periods in which the quota ended early, and nanoseconds lost.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

pub(super) fn usage_v1(directory: &Directory) -> Result<Usage, CgroupError> {
    let mut usage = Usage { total: directory.read_number("cpuacct.usage")?, ..Usage::default() };
    for (key, ticks) in pairs(&directory.read("cpuacct.stat")?) {
        match key {
            "user" => usage.user = ticks * NANOSECONDS_PER_TICK,
            "system" => usage.kernel = ticks * NANOSECONDS_PER_TICK,
            _ => {}
        }
    }
    let list = directory.read("cpuacct.usage_percpu")?;
    usage.percpu = list.split_whitespace().filter_map(|value| value.parse().ok()).collect();
    let all = optional(directory.read("cpuacct.usage_all"))?.unwrap_or_default();
    (usage.percpu_user, usage.percpu_kernel) = by_mode(&all);
    Ok(usage)
}

/// `cpu user system`, then a line for each CPU.
pub(super) fn by_mode(all: &str) -> (Vec<u64>, Vec<u64>) {
    let lines = all.lines().skip(1).filter_map(|line| {
        let mut fields = line.split(' ').skip(1).filter_map(|field| field.parse::<u64>().ok());
        Some((fields.next()?, fields.next()?))
    });
    lines.unzip()
}

/// `nanoseconds` is how many of them `throttled_…` counts in.
pub(super) fn throttling(directory: &Directory, nanoseconds: u64) -> Result<Throttling, CgroupError> {
    let mut throttling = Throttling::default();
    for (key, value) in pairs(&optional(directory.read("cpu.stat"))?.unwrap_or_default()) {
        match key {
            "nr_periods" => throttling.periods = value,
            "nr_throttled" => throttling.throttled_periods = value,
            "throttled_time" | "throttled_usec" => {
                throttling.throttled_time = value.saturating_mul(nanoseconds)
            }
            _ => {}
        }
    }
    Ok(throttling)
}

pub(super) fn read_v2(directory: &Directory) -> Result<Cpu, CgroupError> {
    let mut usage = Usage::default();
    for (key, microseconds) in pairs(&optional(directory.read("cpu.stat"))?.unwrap_or_default()) {
        let nanoseconds = microseconds.saturating_mul(1000);
        match key {
            "usage_usec" => usage.total = nanoseconds,
            "user_usec" => usage.user = nanoseconds,
            "system_usec" => usage.kernel = nanoseconds,
            _ => {}
        }
    }
    Ok(Cpu { usage, throttling: throttling(directory, 1000)?, psi: None })
}
