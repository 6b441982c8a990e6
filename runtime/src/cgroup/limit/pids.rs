//! `pids`: how many processes.

use super::{CgroupError, Limits};

pub(super) fn set(limits: &Limits<'_>, limit: i64) -> Result<(), CgroupError> {
    limits.require("pids", "pids")?.directory.write("pids.max", &value(limit))
}

/// 0 becomes 1, as systemd cannot express it and no process at all is the same as none besides init.
pub(super) fn value(limit: i64) -> String {
    match limit {
        ..0 => "max".to_owned(),
        0 => "1".to_owned(),
        limit => limit.to_string(),
    }
}
