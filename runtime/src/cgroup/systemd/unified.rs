//! `unified` as properties, as far as systemd has a name for the file; the others are written by us alone.

use std::collections::{BTreeMap, HashMap};

use super::super::limit;
use super::SystemdError;
use super::properties::{Dialect, INFINITY, Properties, add, bits, of_quota};
use crate::dbus::Value;

/// The kernel's own default.
const PERIOD: u64 = 100_000;

/// The properties for these control files.
pub(super) fn properties(
    files: &HashMap<String, String>,
    dialect: Dialect,
) -> Result<Properties, SystemdError> {
    let mut list = Properties::new();
    let idle = files.get("cpu.idle").is_some_and(|idle| idle.trim() == "1") && dialect.knows_idle();
    for (key, value) in files.iter().collect::<BTreeMap<_, _>>() {
        limit::check_name(key)?;
        let value = value.trim();
        let invalid = || SystemdError::Unified { key: key.clone(), value: value.to_owned() };
        let number = || match value {
            "max" => Ok(INFINITY),
            value => value.parse::<u64>().map_err(|_| invalid()),
        };
        match key.as_str() {
            "cpu.idle" if idle => add(&mut list, "CPUWeight", Value::U64(0)),
            // An idle unit has no weight.
            "cpu.weight" if idle => {
                crate::log::warn(
                    "unable to apply both cpu.weight and cpu.idle to systemd, ignoring cpu.weight",
                );
            }
            "cpu.weight" => {
                add(&mut list, "CPUWeight", Value::U64(value.parse().map_err(|_| invalid())?));
            }
            "cpu.max" => {
                let (quota, period) = quota(value).ok_or_else(invalid)?;
                of_quota(&mut list, quota, period, dialect);
            }
            "cpuset.cpus" if dialect.knows_cpusets() => {
                add(&mut list, "AllowedCPUs", Value::bytes(&bits(value)?));
            }
            "cpuset.mems" if dialect.knows_cpusets() => {
                add(&mut list, "AllowedMemoryNodes", Value::bytes(&bits(value)?));
            }
            "memory.high" => add(&mut list, "MemoryHigh", Value::U64(number()?)),
            "memory.low" => add(&mut list, "MemoryLow", Value::U64(number()?)),
            "memory.min" => add(&mut list, "MemoryMin", Value::U64(number()?)),
            "memory.max" => add(&mut list, "MemoryMax", Value::U64(number()?)),
            "memory.swap.max" => add(&mut list, "MemorySwapMax", Value::U64(number()?)),
            // systemd takes 0 as no limit at all.
            "pids.max" => add(&mut list, "TasksMax", Value::U64(number()?.max(1))),
            _ => {}
        }
    }
    Ok(list)
}

/// `QUOTA [PERIOD]`; 0 stands for `max`.
fn quota(text: &str) -> Option<(i64, u64)> {
    let mut words = text.split_whitespace();
    let quota = match words.next()? {
        "max" => 0,
        quota => quota.parse().ok()?,
    };
    let period = words.next().map_or(Some(PERIOD), |period| period.parse().ok())?;
    words.next().is_none().then_some((quota, period))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, value: &str) -> Result<Properties, SystemdError> {
        let dialect = Dialect { v2: true, version: 252 };
        properties(&HashMap::from([(key.to_owned(), value.to_owned())]), dialect)
    }

    #[test]
    fn files_become_properties() {
        let one = |key, value| of(key, value).expect("properties");
        assert_eq!(one("memory.max", "max\n"), [("MemoryMax".to_owned(), Value::U64(INFINITY))]);
        assert_eq!(one("pids.max", "0"), [("TasksMax".to_owned(), Value::U64(1))]);
        assert_eq!(
            one("cpu.max", "5000 10000"),
            [
                ("CPUQuotaPeriodUSec".to_owned(), Value::U64(10_000)),
                ("CPUQuotaPerSecUSec".to_owned(), Value::U64(500_000))
            ]
        );
        assert_eq!(one("cpu.idle", "1"), [("CPUWeight".to_owned(), Value::U64(0))]);
        assert_eq!(one("cpu.idle", "0"), []);
        assert_eq!(one("memory.oom.group", "1"), []);
        for (key, value) in
            [("cpu.max", "1 2 3"), ("cpu.max", ""), ("memory.low", "x"), ("a/b.c", "1"), ("a", "1")]
        {
            of(key, value).expect_err(key);
        }
    }
}
