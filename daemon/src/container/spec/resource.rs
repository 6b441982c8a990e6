//! Limits: memory, CPU, processes, block IO and the device rules, as the spec says them.

use dhow_engine_api::container::{Resources, ThrottleDevice, WeightDevice};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use super::{HostFacts, SpecError, SpecInput};

const PERIOD: i64 = 100_000;
/// Billionths of a CPU in a microsecond of quota a period.
const NANOS_PER_QUOTA: i64 = 1_000_000_000 / PERIOD;

pub(super) fn resources(input: &SpecInput<'_>) -> Result<LinuxResources, SpecError> {
    let mut resources = limits(&input.host.resources, input.facts)?;
    resources.set_devices(Some(input.facts.device_rules.clone()));
    Ok(resources)
}

/// The limits alone: what `update` changes while a container runs.
pub(crate) fn limits(wanted: &Resources, facts: &HostFacts) -> Result<LinuxResources, SpecError> {
    let mut resources = LinuxResources::default();
    resources
        .set_devices(None)
        .set_memory(memory(wanted))
        .set_cpu(cpu(wanted)?)
        .set_pids(wanted.pids_limit.map(pids))
        .set_block_io(block_io(wanted, facts)?);
    Ok(resources)
}

fn memory(wanted: &Resources) -> Option<LinuxMemory> {
    let positive = |value: i64| (value > 0).then_some(value);
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(positive(wanted.memory))
        .set_reservation(positive(wanted.memory_reservation))
        // -1 means any amount of swap, which is what the kernel starts with.
        .set_swap(positive(wanted.memory_swap))
        .set_swappiness(wanted.memory_swappiness.and_then(|value| u64::try_from(value).ok()))
        .set_disable_oom_killer(wanted.oom_kill_disable);
    Some(memory).filter(|memory| *memory != LinuxMemory::default())
}

fn cpu(wanted: &Resources) -> Result<Option<LinuxCpu>, SpecError> {
    if wanted.cpu_shares < 0 {
        let text = format!("invalid CPU shares ({}): value must be a positive integer", wanted.cpu_shares);
        return Err(SpecError::Invalid(text));
    }
    let (mut period, mut quota) = (wanted.cpu_period, wanted.cpu_quota);
    if wanted.nano_cpus > 0 {
        (period, quota) = (PERIOD, wanted.nano_cpus / NANOS_PER_QUOTA);
    }
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(positive(wanted.cpu_shares))
        .set_period(positive(period))
        .set_quota(Some(quota).filter(|quota| *quota != 0))
        .set_realtime_period(positive(wanted.cpu_realtime_period))
        .set_realtime_runtime(Some(wanted.cpu_realtime_runtime).filter(|runtime| *runtime != 0))
        .set_cpus(said(&wanted.cpuset_cpus))
        .set_mems(said(&wanted.cpuset_mems));
    Ok(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()))
}

/// 0 and below mean no limit; the runtime wants that said as -1, so that an update can lift one.
fn pids(limit: i64) -> LinuxPids {
    let mut pids = LinuxPids::default();
    pids.set_limit(if limit <= 0 { -1 } else { limit });
    pids
}

fn block_io(wanted: &Resources, facts: &HostFacts) -> Result<Option<LinuxBlockIo>, SpecError> {
    let mut block_io = LinuxBlockIo::default();
    block_io
        .set_weight(Some(wanted.blkio_weight).filter(|weight| *weight > 0))
        .set_weight_device(weights(wanted.blkio_weight_device.as_deref(), facts)?)
        .set_throttle_read_bps_device(throttles(wanted.blkio_device_read_bps.as_deref(), facts)?)
        .set_throttle_write_bps_device(throttles(wanted.blkio_device_write_bps.as_deref(), facts)?)
        .set_throttle_read_iops_device(throttles(wanted.blkio_device_read_iops.as_deref(), facts)?)
        .set_throttle_write_iops_device(throttles(wanted.blkio_device_write_iops.as_deref(), facts)?);
    Ok(Some(block_io).filter(|block_io| *block_io != LinuxBlockIo::default()))
}

fn weights(
    devices: Option<&[WeightDevice]>,
    facts: &HostFacts,
) -> Result<Option<Vec<LinuxWeightDevice>>, SpecError> {
    let weights = devices.unwrap_or_default().iter().map(|device| {
        let (major, minor) = facts.number(&device.path)?;
        let weight = LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(device.weight);
        Ok(weight.build().unwrap_or_default())
    });
    let weights: Vec<_> = weights.collect::<Result<_, SpecError>>()?;
    Ok(Some(weights).filter(|list| !list.is_empty()))
}

fn throttles(
    devices: Option<&[ThrottleDevice]>,
    facts: &HostFacts,
) -> Result<Option<Vec<LinuxThrottleDevice>>, SpecError> {
    let throttles = devices.unwrap_or_default().iter().map(|device| {
        let (major, minor) = facts.number(&device.path)?;
        let throttle = LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(device.rate);
        Ok(throttle.build().unwrap_or_default())
    });
    let throttles: Vec<_> = throttles.collect::<Result<_, SpecError>>()?;
    Ok(Some(throttles).filter(|list| !list.is_empty()))
}
