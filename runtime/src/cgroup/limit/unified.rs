//! `unified`: cgroup2 control files by name, written as they are. Names are checked: the spec may come from afar.

use std::collections::{BTreeMap, HashMap};

use rustix::io::Errno;

use super::{CgroupError, Directory, LimitError, Limits};

pub(super) fn set(limits: &Limits<'_>, files: &HashMap<String, String>) -> Result<(), CgroupError> {
    if files.is_empty() {
        return Ok(());
    }
    let hierarchy = limits.manager.unified().ok_or(LimitError::UnifiedOnV1)?;
    let directory = Directory::open(&hierarchy.path)?;
    // In a fixed order, so that a failure is the same one every time.
    for (key, value) in files.iter().collect::<BTreeMap<_, _>>() {
        let controller = check_name(key)?;
        for line in value.split_inclusive('\n') {
            let Err(error) = directory.write(key, line) else { continue };
            let absent = error.is_errno(Errno::NOENT) || error.is_permission();
            if absent && controller != "cgroup" && limits.unified_with(controller).is_none() {
                return Err(unavailable(limits, key, controller).into());
            }
            return Err(error);
        }
    }
    Ok(())
}

fn unavailable(limits: &Limits<'_>, key: &str, controller: &str) -> LimitError {
    if limits.manager.is_v2() {
        LimitError::UnifiedController { key: key.to_owned(), controller: controller.to_owned() }
    } else {
        LimitError::UnifiedOnV1
    }
}

/// The controller that `key` belongs to.
pub(in crate::cgroup) fn check_name(key: &str) -> Result<&str, LimitError> {
    if key.contains('/') || key.starts_with('.') {
        return Err(LimitError::UnifiedName(key.to_owned()));
    }
    key.split_once('.')
        .map(|(controller, _)| controller)
        .ok_or_else(|| LimitError::UnifiedForm(key.to_owned()))
}
