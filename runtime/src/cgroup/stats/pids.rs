//! How many processes.

use serde::Serialize;

use super::{Directory, is_zero, optional};
use crate::cgroup::CgroupError;

/// Processes, and how many there may be (0: no limit).
#[derive(Debug, Default, Serialize)]
pub(crate) struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) limit: u64,
}

pub(super) fn read(directory: &Directory) -> Result<Pids, CgroupError> {
    let Some(current) = optional(directory.read_number("pids.current"))? else {
        // Without the controller the list can still be counted.
        let list = optional(directory.read("cgroup.procs"))?.unwrap_or_default();
        return Ok(Pids { current: list.lines().map(|_| 1).sum(), limit: 0 });
    };
    let limit = Some(directory.read_number("pids.max")?).filter(|limit| *limit != u64::MAX).unwrap_or(0);
    Ok(Pids { current, limit })
}
