//! Metrics of a cgroup, of either version, in the API's words.

use std::collections::BTreeMap;

use dhow_engine_api::container::{
    BlkioEntry, BlkioStats, CpuUsage, MemoryStats, PidsStats, StatsResponse, ThrottlingData,
};
use dhow_proto::any;
use dhow_proto::io::containerd::cgroups::{v1, v2};
use prost_types::Any;

/// Nanoseconds in a microsecond.
const MICRO: u64 = 1000;

/// Fills in what the metrics of either version say; nothing when they are of neither.
pub(super) fn fill(stats: &mut StatsResponse, data: &Any) {
    if let Some(Ok(metrics)) = any::unpack::<v1::Metrics>(data) {
        separate(stats, metrics);
    } else if let Some(Ok(metrics)) = any::unpack::<v2::Metrics>(data) {
        unified(stats, metrics);
    }
}

fn separate(stats: &mut StatsResponse, metrics: v1::Metrics) {
    if let Some(pids) = metrics.pids {
        stats.pids_stats = PidsStats { current: pids.current, limit: pids.limit };
    }
    let cpu = metrics.cpu.unwrap_or_default();
    let usage = cpu.usage.unwrap_or_default();
    stats.cpu_stats.cpu_usage = CpuUsage {
        total_usage: usage.total,
        percpu_usage: Some(usage.per_cpu).filter(|cpus| !cpus.is_empty()),
        usage_in_kernelmode: usage.kernel,
        usage_in_usermode: usage.user,
    };
    let throttling = cpu.throttling.unwrap_or_default();
    stats.cpu_stats.throttling_data = ThrottlingData {
        periods: throttling.periods,
        throttled_periods: throttling.throttled_periods,
        throttled_time: throttling.throttled_time,
    };
    if let Some(memory) = metrics.memory {
        stats.memory_stats = memory_v1(&memory);
    }
    let blkio = metrics.blkio.unwrap_or_default();
    stats.blkio_stats = BlkioStats {
        io_service_bytes_recursive: Some(entries(blkio.io_service_bytes_recursive)),
        io_serviced_recursive: Some(entries(blkio.io_serviced_recursive)),
        io_queue_recursive: Some(entries(blkio.io_queued_recursive)),
        io_service_time_recursive: Some(entries(blkio.io_service_time_recursive)),
        io_wait_time_recursive: Some(entries(blkio.io_wait_time_recursive)),
        io_merged_recursive: Some(entries(blkio.io_merged_recursive)),
        io_time_recursive: Some(entries(blkio.io_time_recursive)),
        sectors_recursive: Some(entries(blkio.sectors_recursive)),
    };
}

fn entries(list: Vec<v1::BlkIoEntry>) -> Vec<BlkioEntry> {
    let entry = |entry: v1::BlkIoEntry| BlkioEntry {
        major: entry.major,
        minor: entry.minor,
        op: entry.op.to_lowercase(),
        value: entry.value,
    };
    list.into_iter().map(entry).collect()
}

fn memory_v1(memory: &v1::MemoryStat) -> MemoryStats {
    let usage = memory.usage.unwrap_or_default();
    let counters = [
        ("cache", memory.cache),
        ("rss", memory.rss),
        ("rss_huge", memory.rss_huge),
        ("mapped_file", memory.mapped_file),
        ("dirty", memory.dirty),
        ("writeback", memory.writeback),
        ("pgpgin", memory.pg_pg_in),
        ("pgpgout", memory.pg_pg_out),
        ("pgfault", memory.pg_fault),
        ("pgmajfault", memory.pg_maj_fault),
        ("inactive_anon", memory.inactive_anon),
        ("active_anon", memory.active_anon),
        ("inactive_file", memory.inactive_file),
        ("active_file", memory.active_file),
        ("unevictable", memory.unevictable),
        ("hierarchical_memory_limit", memory.hierarchical_memory_limit),
        ("hierarchical_memsw_limit", memory.hierarchical_swap_limit),
        ("total_cache", memory.total_cache),
        ("total_rss", memory.total_rss),
        ("total_rss_huge", memory.total_rss_huge),
        ("total_mapped_file", memory.total_mapped_file),
        ("total_dirty", memory.total_dirty),
        ("total_writeback", memory.total_writeback),
        ("total_pgpgin", memory.total_pg_pg_in),
        ("total_pgpgout", memory.total_pg_pg_out),
        ("total_pgfault", memory.total_pg_fault),
        ("total_pgmajfault", memory.total_pg_maj_fault),
        ("total_inactive_anon", memory.total_inactive_anon),
        ("total_active_anon", memory.total_active_anon),
        ("total_inactive_file", memory.total_inactive_file),
        ("total_active_file", memory.total_active_file),
        ("total_unevictable", memory.total_unevictable),
    ];
    MemoryStats {
        usage: usage.usage,
        max_usage: usage.max,
        failcnt: usage.failcnt,
        limit: usage.limit,
        stats: named(&counters),
    }
}

fn unified(stats: &mut StatsResponse, metrics: v2::Metrics) {
    if let Some(pids) = metrics.pids {
        stats.pids_stats = PidsStats { current: pids.current, limit: pids.limit };
    }
    if let Some(cpu) = metrics.cpu {
        stats.cpu_stats.cpu_usage = CpuUsage {
            total_usage: cpu.usage_usec * MICRO,
            percpu_usage: None,
            usage_in_kernelmode: cpu.system_usec * MICRO,
            usage_in_usermode: cpu.user_usec * MICRO,
        };
        stats.cpu_stats.throttling_data = ThrottlingData {
            periods: cpu.nr_periods,
            throttled_periods: cpu.nr_throttled,
            throttled_time: cpu.throttled_usec * MICRO,
        };
    }
    if let Some(memory) = metrics.memory {
        stats.memory_stats = memory_v2(&memory);
    }
    let bytes = metrics.io.unwrap_or_default().usage.into_iter().flat_map(|device| {
        let entry = |op: &str, value| BlkioEntry {
            major: device.major,
            minor: device.minor,
            op: op.to_owned(),
            value,
        };
        [entry("read", device.rbytes), entry("write", device.wbytes)]
    });
    stats.blkio_stats.io_service_bytes_recursive = Some(bytes.collect());
}

fn memory_v2(memory: &v2::MemoryStat) -> MemoryStats {
    let counters = [
        ("anon", memory.anon),
        ("file", memory.file),
        ("kernel_stack", memory.kernel_stack),
        ("slab", memory.slab),
        ("sock", memory.sock),
        ("shmem", memory.shmem),
        ("file_mapped", memory.file_mapped),
        ("file_dirty", memory.file_dirty),
        ("file_writeback", memory.file_writeback),
        ("anon_thp", memory.anon_thp),
        ("inactive_anon", memory.inactive_anon),
        ("active_anon", memory.active_anon),
        ("inactive_file", memory.inactive_file),
        ("active_file", memory.active_file),
        ("unevictable", memory.unevictable),
        ("slab_reclaimable", memory.slab_reclaimable),
        ("slab_unreclaimable", memory.slab_unreclaimable),
        ("pgfault", memory.pgfault),
        ("pgmajfault", memory.pgmajfault),
    ];
    MemoryStats {
        usage: memory.usage,
        limit: memory.usage_limit,
        stats: named(&counters),
        ..MemoryStats::default()
    }
}

fn named(counters: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_understood() {
        let mut stats = StatsResponse::default();
        let usage = v2::CpuStat { usage_usec: 5, ..Default::default() };
        fill(&mut stats, &any::pack(&v2::Metrics { cpu: Some(usage), ..Default::default() }));
        assert_eq!(stats.cpu_stats.cpu_usage.total_usage, 5000);
        let memory = v1::MemoryStat { total_inactive_file: 3, ..Default::default() };
        fill(&mut stats, &any::pack(&v1::Metrics { memory: Some(memory), ..Default::default() }));
        assert_eq!(stats.memory_stats.stats["total_inactive_file"], 3);
    }
}
