//! `rdma`: handles and objects of InfiniBand adapters; the same file in both versions.

use std::collections::HashMap;

use oci_spec::runtime::LinuxRdma;

use super::{CgroupError, Limits};

pub(super) fn set(limits: &Limits<'_>, devices: &HashMap<String, LinuxRdma>) -> Result<(), CgroupError> {
    for (device, limit) in devices {
        limits.require("rdma", "rdma")?.directory.write("rdma.max", &value(device, limit))?;
    }
    Ok(())
}

fn value(device: &str, limit: &LinuxRdma) -> String {
    let mut value = device.to_owned();
    for (key, number) in [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())] {
        if let Some(number) = number {
            value.push_str(&format!(" {key}={number}"));
        }
    }
    value
}
