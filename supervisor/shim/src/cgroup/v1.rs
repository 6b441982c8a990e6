//! Metrics of cgroup v1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_proto::io::containerd::cgroups::v1::{
    BlkIoEntry, BlkIoStat, CpuStat, CpuUsage, HugetlbStat, MemoryEntry, MemoryOomControl, MemoryStat,
    Metrics, PidsStat, RdmaEntry, RdmaStat, Throttle,
};

use super::limit_at;
use super::read::{keyed, number_at, text_at, value};

/// Nanoseconds of one tick of `cpuacct.stat`: user space always sees 100 a second.
const TICK: u64 = 10_000_000;

pub(super) fn metrics(folders: &BTreeMap<&'static str, PathBuf>) -> Metrics {
    let folder = |controller| folders.get(controller).map(PathBuf::as_path);
    Metrics {
        hugetlb: folder("hugetlb").map(hugetlb).unwrap_or_default(),
        pids: folder("pids").map(pids),
        cpu: folder("cpuacct").or_else(|| folder("cpu")).map(|usage| cpu(usage, folder("cpu"))),
        memory: folder("memory").map(memory),
        blkio: folder("blkio").map(blkio),
        rdma: folder("rdma").map(rdma),
        network: Vec::new(),
        cgroup_stats: None,
        memory_oom_control: folder("memory").map(oom_control),
    }
}

fn pids(folder: &Path) -> PidsStat {
    PidsStat {
        current: number_at(&folder.join("pids.current")).unwrap_or(0),
        limit: number_at(&folder.join("pids.max")).unwrap_or(0),
    }
}

fn cpu(usage: &Path, quota: Option<&Path>) -> CpuStat {
    let ticks = keyed(&usage.join("cpuacct.stat"));
    let throttling = quota.map(|folder| keyed(&folder.join("cpu.stat"))).unwrap_or_default();
    let per_cpu = text_at(&usage.join("cpuacct.usage_percpu"));
    CpuStat {
        usage: Some(CpuUsage {
            total: number_at(&usage.join("cpuacct.usage")).unwrap_or(0),
            kernel: value(&ticks, "system") * TICK,
            user: value(&ticks, "user") * TICK,
            per_cpu: per_cpu.split_whitespace().filter_map(|number| number.parse().ok()).collect(),
        }),
        throttling: Some(Throttle {
            periods: value(&throttling, "nr_periods"),
            throttled_periods: value(&throttling, "nr_throttled"),
            throttled_time: value(&throttling, "throttled_time"),
        }),
    }
}

fn memory(folder: &Path) -> MemoryStat {
    let stat = keyed(&folder.join("memory.stat"));
    let of = |key: &str| value(&stat, key);
    MemoryStat {
        cache: of("cache"),
        rss: of("rss"),
        rss_huge: of("rss_huge"),
        mapped_file: of("mapped_file"),
        dirty: of("dirty"),
        writeback: of("writeback"),
        pg_pg_in: of("pgpgin"),
        pg_pg_out: of("pgpgout"),
        pg_fault: of("pgfault"),
        pg_maj_fault: of("pgmajfault"),
        inactive_anon: of("inactive_anon"),
        active_anon: of("active_anon"),
        inactive_file: of("inactive_file"),
        active_file: of("active_file"),
        unevictable: of("unevictable"),
        hierarchical_memory_limit: of("hierarchical_memory_limit"),
        hierarchical_swap_limit: of("hierarchical_memsw_limit"),
        total_cache: of("total_cache"),
        total_rss: of("total_rss"),
        total_rss_huge: of("total_rss_huge"),
        total_mapped_file: of("total_mapped_file"),
        total_dirty: of("total_dirty"),
        total_writeback: of("total_writeback"),
        total_pg_pg_in: of("total_pgpgin"),
        total_pg_pg_out: of("total_pgpgout"),
        total_pg_fault: of("total_pgfault"),
        total_pg_maj_fault: of("total_pgmajfault"),
        total_inactive_anon: of("total_inactive_anon"),
        total_active_anon: of("total_active_anon"),
        total_inactive_file: of("total_inactive_file"),
        total_active_file: of("total_active_file"),
        total_unevictable: of("total_unevictable"),
        usage: entry(folder, "memory"),
        swap: entry(folder, "memory.memsw"),
        kernel: entry(folder, "memory.kmem"),
        kernel_tcp: entry(folder, "memory.kmem.tcp"),
    }
}

fn entry(folder: &Path, name: &str) -> Option<MemoryEntry> {
    let at = |what: &str| folder.join(format!("{name}.{what}"));
    Some(MemoryEntry {
        usage: number_at(&at("usage_in_bytes"))?,
        limit: limit_at(&at("limit_in_bytes")),
        max: number_at(&at("max_usage_in_bytes")).unwrap_or(0),
        failcnt: number_at(&at("failcnt")).unwrap_or(0),
    })
}

fn oom_control(folder: &Path) -> MemoryOomControl {
    let control = keyed(&folder.join("memory.oom_control"));
    MemoryOomControl {
        oom_kill_disable: value(&control, "oom_kill_disable"),
        under_oom: value(&control, "under_oom"),
        oom_kill: value(&control, "oom_kill"),
    }
}

fn blkio(folder: &Path) -> BlkIoStat {
    // The file of the proportional scheduler (CFQ, BFQ) when it counts, else that of throttling.
    let either = |name: &str, throttle: &str| {
        let entries = blkio_entries(&text_at(&folder.join(format!("blkio.{name}_recursive"))));
        if entries.is_empty() { blkio_entries(&text_at(&folder.join(throttle))) } else { entries }
    };
    let only = |name: &str| blkio_entries(&text_at(&folder.join(format!("blkio.{name}_recursive"))));
    BlkIoStat {
        io_service_bytes_recursive: either("io_service_bytes", "blkio.throttle.io_service_bytes"),
        io_serviced_recursive: either("io_serviced", "blkio.throttle.io_serviced"),
        io_queued_recursive: only("io_queued"),
        io_service_time_recursive: only("io_service_time"),
        io_wait_time_recursive: only("io_wait_time"),
        io_merged_recursive: only("io_merged"),
        io_time_recursive: only("time"),
        sectors_recursive: only("sectors"),
    }
}

/// Lines `major:minor [operation] value`; the line with the total has no device.
fn blkio_entries(text: &str) -> Vec<BlkIoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let words: Vec<&str> = words.collect();
        let (op, value) = match words.as_slice() {
            [value] => ("", value),
            [op, value] => (*op, value),
            _ => return None,
        };
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        let device = device_name(major, minor);
        Some(BlkIoEntry { op: op.to_owned(), device, major, minor, value: value.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

fn device_name(major: u64, minor: u64) -> String {
    let link = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok();
    let name = link.as_deref().and_then(Path::file_name);
    name.map(|name| format!("/dev/{}", name.to_string_lossy())).unwrap_or_default()
}

fn hugetlb(folder: &Path) -> Vec<HugetlbStat> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some(name.strip_prefix("hugetlb.")?.strip_suffix(".usage_in_bytes")?.to_owned())
    });
    // Reservations have files of the same kind.
    let sizes = names.filter(|name| !name.ends_with(".rsvd"));
    let stat = |pagesize: String| {
        let at = |what: &str| number_at(&folder.join(format!("hugetlb.{pagesize}.{what}"))).unwrap_or(0);
        let (usage, max, failcnt) = (at("usage_in_bytes"), at("max_usage_in_bytes"), at("failcnt"));
        HugetlbStat { usage, max, failcnt, pagesize }
    };
    sizes.map(stat).collect()
}

fn rdma(folder: &Path) -> RdmaStat {
    RdmaStat {
        current: rdma_entries(&text_at(&folder.join("rdma.current"))),
        limit: rdma_entries(&text_at(&folder.join("rdma.max"))),
    }
}

/// Lines `device hca_handle=N hca_object=N`; `max` is the largest number.
fn rdma_entries(text: &str) -> Vec<RdmaEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let device = words.next()?.to_owned();
        let mut entry = RdmaEntry { device, hca_handles: 0, hca_objects: 0 };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(u32::MAX);
            match key {
                "hca_handle" => entry.hca_handles = value,
                "hca_object" => entry.hca_objects = value,
                _ => {}
            }
        }
        Some(entry)
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_block_devices() {
        let entries = blkio_entries("8:0 Read 4096\n8:0 Write 0\n259:1 77\nTotal 4096\n");
        let facts: Vec<_> =
            entries.iter().map(|entry| (entry.op.as_str(), entry.major, entry.minor, entry.value)).collect();
        assert_eq!(facts, [("Read", 8, 0, 4096), ("Write", 8, 0, 0), ("", 259, 1, 77)]);
    }

    #[test]
    fn lines_of_rdma_devices() {
        let entries = rdma_entries("mlx4_0 hca_handle=2 hca_object=max\n");
        assert_eq!((entries[0].hca_handles, entries[0].hca_objects), (2, u32::MAX));
    }
}
