//! Metrics of cgroup v2.

use std::path::Path;

use dhow_proto::io::containerd::cgroups::v2::{
    CpuStat, HugeTlbStat, IoEntry, IoStat, MemoryEvents, MemoryStat, Metrics, PidsStat, PsiData, PsiStats,
};

use super::limit_at;
use super::read::{keyed, number_at, text_at, value};

pub(super) fn metrics(folder: &Path) -> Metrics {
    Metrics {
        pids: number_at(&folder.join("pids.current"))
            .map(|current| PidsStat { current, limit: limit_at(&folder.join("pids.max")) }),
        cpu: Some(cpu(folder)),
        memory: Some(memory(folder)),
        rdma: None,
        io: Some(IoStat {
            usage: io_entries(&text_at(&folder.join("io.stat"))),
            psi: pressure(&text_at(&folder.join("io.pressure"))),
        }),
        hugetlb: hugetlb(folder),
        memory_events: Some(memory_events(folder)),
        network: Vec::new(),
    }
}

fn cpu(folder: &Path) -> CpuStat {
    let stat = keyed(&folder.join("cpu.stat"));
    let of = |key: &str| value(&stat, key);
    CpuStat {
        usage_usec: of("usage_usec"),
        user_usec: of("user_usec"),
        system_usec: of("system_usec"),
        nr_periods: of("nr_periods"),
        nr_throttled: of("nr_throttled"),
        throttled_usec: of("throttled_usec"),
        psi: pressure(&text_at(&folder.join("cpu.pressure"))),
        nr_bursts: of("nr_bursts"),
        burst_usec: of("burst_usec"),
    }
}

fn memory(folder: &Path) -> MemoryStat {
    let stat = keyed(&folder.join("memory.stat"));
    let of = |key: &str| value(&stat, key);
    let number = |name: &str| number_at(&folder.join(name)).unwrap_or(0);
    MemoryStat {
        anon: of("anon"),
        file: of("file"),
        kernel_stack: of("kernel_stack"),
        slab: of("slab"),
        sock: of("sock"),
        shmem: of("shmem"),
        file_mapped: of("file_mapped"),
        file_dirty: of("file_dirty"),
        file_writeback: of("file_writeback"),
        anon_thp: of("anon_thp"),
        inactive_anon: of("inactive_anon"),
        active_anon: of("active_anon"),
        inactive_file: of("inactive_file"),
        active_file: of("active_file"),
        unevictable: of("unevictable"),
        slab_reclaimable: of("slab_reclaimable"),
        slab_unreclaimable: of("slab_unreclaimable"),
        pgfault: of("pgfault"),
        pgmajfault: of("pgmajfault"),
        workingset_refault: of("workingset_refault_anon") + of("workingset_refault_file"),
        workingset_activate: of("workingset_activate_anon") + of("workingset_activate_file"),
        workingset_nodereclaim: of("workingset_nodereclaim"),
        pgrefill: of("pgrefill"),
        pgscan: of("pgscan"),
        pgsteal: of("pgsteal"),
        pgactivate: of("pgactivate"),
        pgdeactivate: of("pgdeactivate"),
        pglazyfree: of("pglazyfree"),
        pglazyfreed: of("pglazyfreed"),
        thp_fault_alloc: of("thp_fault_alloc"),
        thp_collapse_alloc: of("thp_collapse_alloc"),
        usage: number("memory.current"),
        usage_limit: limit_at(&folder.join("memory.max")),
        swap_usage: number("memory.swap.current"),
        swap_limit: limit_at(&folder.join("memory.swap.max")),
        max_usage: number("memory.peak"),
        swap_max_usage: number("memory.swap.peak"),
        psi: pressure(&text_at(&folder.join("memory.pressure"))),
    }
}

fn memory_events(folder: &Path) -> MemoryEvents {
    let events = keyed(&folder.join("memory.events"));
    MemoryEvents {
        low: value(&events, "low"),
        high: value(&events, "high"),
        max: value(&events, "max"),
        oom: value(&events, "oom"),
        oom_kill: value(&events, "oom_kill"),
        oom_group_kill: value(&events, "oom_group_kill"),
    }
}

/// Lines `major:minor rbytes=N wbytes=N rios=N wios=N …`.
fn io_entries(text: &str) -> Vec<IoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let mut entry =
            IoEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, ..IoEntry::default() };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match key {
                "rbytes" => entry.rbytes = value,
                "wbytes" => entry.wbytes = value,
                "rios" => entry.rios = value,
                "wios" => entry.wios = value,
                _ => {}
            }
        }
        Some(entry)
    };
    text.lines().filter_map(entry).collect()
}

/// Lines `some|full avg10=X avg60=X avg300=X total=N`; `None` on a kernel without pressure stall information.
fn pressure(text: &str) -> Option<PsiStats> {
    let line = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let mut data = PsiData::default();
        for (key, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => data.avg10 = value.parse().unwrap_or(0.0),
                "avg60" => data.avg60 = value.parse().unwrap_or(0.0),
                "avg300" => data.avg300 = value.parse().unwrap_or(0.0),
                "total" => data.total = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        Some(data)
    };
    let (some, full) = (line("some "), line("full "));
    (some.is_some() || full.is_some()).then_some(PsiStats { some, full })
}

fn hugetlb(folder: &Path) -> Vec<HugeTlbStat> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some(name.strip_prefix("hugetlb.")?.strip_suffix(".current")?.to_owned())
    });
    let stat = |pagesize: String| HugeTlbStat {
        current: number_at(&folder.join(format!("hugetlb.{pagesize}.current"))).unwrap_or(0),
        max: limit_at(&folder.join(format!("hugetlb.{pagesize}.max"))),
        failcnt: value(&keyed(&folder.join(format!("hugetlb.{pagesize}.events"))), "max"),
        pagesize,
    };
    names.filter(|name| !name.ends_with(".rsvd")).map(stat).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let stats = pressure(text).expect("pressure");
        assert_eq!(stats.some.map(|data| (data.avg10, data.total)), Some((1.5, 42)));
        assert_eq!(stats.full.map(|data| data.total), Some(7));
        assert_eq!(pressure(""), None);
    }

    #[test]
    fn lines_of_devices() {
        let entries = io_entries("8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n\nbad\n");
        assert_eq!(entries, [IoEntry { major: 8, minor: 0, rbytes: 4096, wbytes: 1, rios: 2, wios: 3 }]);
    }
}
