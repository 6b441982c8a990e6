//! `net_cls` and `net_prio`: marks on a container's packets; v1 only, ignored on v2 as there is nothing like it.

use oci_spec::runtime::LinuxNetwork;

use super::{CgroupError, Limits};

pub(super) fn set(limits: &Limits<'_>, network: &LinuxNetwork) -> Result<(), CgroupError> {
    if limits.manager.is_v2() {
        return Ok(());
    }
    if let Some(class) = super::given(network.class_id()) {
        limits.require("net_cls", "net_cls")?.directory.write("net_cls.classid", &class.to_string())?;
    }
    for map in network.priorities().as_deref().unwrap_or_default() {
        let value = format!("{} {}", map.name(), map.priority());
        limits.require("net_prio", "net_prio")?.directory.write("net_prio.ifpriomap", &value)?;
    }
    Ok(())
}
