//! `blkio` (v1) and `io` (v2): weights and ceilings for block devices.
//!
//! Weights depend on the host's io scheduler: BFQ brings its own files, which win where they exist.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

use super::{CgroupError, Directory, Limits, Version, given};

pub(super) fn set(limits: &Limits<'_>, block_io: &LinuxBlockIo) -> Result<(), CgroupError> {
    if *block_io == LinuxBlockIo::default() {
        return Ok(());
    }
    let control = limits.require("blkio", "io")?;
    match control.version {
        Version::V1 => set_v1(&control.directory, block_io),
        Version::V2 => set_v2(&control.directory, block_io),
    }
}

fn set_v1(directory: &Directory, block_io: &LinuxBlockIo) -> Result<(), CgroupError> {
    let bfq = !directory.has("blkio.weight") && directory.has("blkio.bfq.weight");
    let (weight_file, device_file) = if bfq {
        ("blkio.bfq.weight", "blkio.bfq.weight_device")
    } else {
        ("blkio.weight", "blkio.weight_device")
    };
    if let Some(weight) = given(block_io.weight()) {
        directory.write(weight_file, &weight.to_string())?;
    }
    if let Some(weight) = given(block_io.leaf_weight()) {
        directory.write("blkio.leaf_weight", &weight.to_string())?;
    }
    for device in weights(block_io) {
        let named = |weight: u16| format!("{}:{} {weight}", device.major(), device.minor());
        given(device.weight()).map_or(Ok(()), |weight| directory.write(device_file, &named(weight)))?;
        let leaf = given(device.leaf_weight());
        leaf.map_or(Ok(()), |weight| directory.write("blkio.leaf_weight_device", &named(weight)))?;
    }
    for (file, _, devices) in throttles(block_io) {
        for device in devices {
            directory.write(file, &format!("{}:{} {}", device.major(), device.minor(), device.rate()))?;
        }
    }
    Ok(())
}

fn set_v2(directory: &Directory, block_io: &LinuxBlockIo) -> Result<(), CgroupError> {
    let bfq = directory.has("io.bfq.weight");
    if let Some(weight) = given(block_io.weight()) {
        if bfq {
            directory.write("io.bfq.weight", &weight.to_string())?;
        } else {
            directory.write("io.weight", &weight_v2(weight).to_string())?;
        }
    }
    // Kernels before 5.4 show one number, and have no weights per device.
    if bfq && directory.read("io.bfq.weight").is_ok_and(|text| text.parse::<u64>().is_err()) {
        for device in weights(block_io) {
            if let Some(weight) = given(device.weight()) {
                let value = format!("{}:{} {weight}", device.major(), device.minor());
                directory.write("io.bfq.weight", &value)?;
            }
        }
    }
    for (_, key, devices) in throttles(block_io) {
        for device in devices {
            let value = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            directory.write("io.max", &value)?;
        }
    }
    Ok(())
}

fn weights(block_io: &LinuxBlockIo) -> &[LinuxWeightDevice] {
    block_io.weight_device().as_deref().unwrap_or_default()
}

/// v1's file, v2's key, and the devices to throttle.
fn throttles(block_io: &LinuxBlockIo) -> [(&'static str, &'static str, &[LinuxThrottleDevice]); 4] {
    fn slice(devices: &Option<Vec<LinuxThrottleDevice>>) -> &[LinuxThrottleDevice] {
        devices.as_deref().unwrap_or_default()
    }
    [
        ("blkio.throttle.read_bps_device", "rbps", slice(block_io.throttle_read_bps_device())),
        ("blkio.throttle.write_bps_device", "wbps", slice(block_io.throttle_write_bps_device())),
        ("blkio.throttle.read_iops_device", "riops", slice(block_io.throttle_read_iops_device())),
        ("blkio.throttle.write_iops_device", "wiops", slice(block_io.throttle_write_iops_device())),
    ]
}

/// A v1 weight (10 to 1000) on v2's scale (1 to 10000).
pub(in crate::cgroup) fn weight_v2(weight: u16) -> u64 {
    1 + u64::from(weight).saturating_sub(10) * 9999 / 990
}
