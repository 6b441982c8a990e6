//! How processes ended, as shims left it on disk.

use std::path::Path;
use std::str::FromStr;

use dhow_linux::file::read_limited;
use prost_types::Timestamp;
use serde::Deserialize;

/// The end of a process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exit {
    /// Empty for the container's first process.
    pub(crate) exec_id: String,
    pub(crate) pid: u32,
    pub(crate) status: u32,
    pub(crate) at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Record {
    version: u32,
    exec_id: String,
    pid: u32,
    status: u32,
    exited_at: String,
}

impl Exit {
    /// What is said of a process whose shim died without a word.
    pub(super) const UNKNOWN: Self = Self { exec_id: String::new(), pid: 0, status: 255, at: None };

    /// The exits in `bundle`, those of execs first, as they must be told.
    pub(super) fn load_all(bundle: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(bundle).into_iter().flatten().flatten();
        let records = entries.filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name == "exit.json" || (name.starts_with("exit-") && name.ends_with(".json"))
        });
        let mut exits: Vec<Self> = records.filter_map(|entry| Self::load(&entry.path())).collect();
        exits.sort_by_key(|exit| (exit.exec_id.is_empty(), exit.at.map(|at| (at.seconds, at.nanos))));
        exits
    }

    fn load(path: &Path) -> Option<Self> {
        let record: Record = serde_json::from_slice(&read_limited(path, 64 << 10).ok()?).ok()?;
        (record.version == 1).then(|| Self {
            exec_id: record.exec_id,
            pid: record.pid,
            status: record.status,
            at: Timestamp::from_str(&record.exited_at).ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_own_exit_comes_last() {
        let bundle = tempfile::tempdir().expect("folder");
        let record = |exec_id: &str, second: u32| {
            format!(
                r#"{{"version":1,"id":"a","exec_id":"{exec_id}","pid":7,"status":3,"exited_at":"2026-01-01T00:00:0{second}.5Z"}}"#
            )
        };
        std::fs::write(bundle.path().join("exit.json"), record("", 1)).expect("write");
        std::fs::write(bundle.path().join("exit-b.json"), record("b", 4)).expect("write");
        std::fs::write(bundle.path().join("exit-c.json"), record("c", 2)).expect("write");
        std::fs::write(bundle.path().join("exit-d.json"), "{\"version\":9}").expect("write");
        let exits = Exit::load_all(bundle.path());
        let order: Vec<&str> = exits.iter().map(|exit| exit.exec_id.as_str()).collect();
        assert_eq!(order, ["c", "b", ""]);
        assert_eq!(exits[2].at.map(|at| at.nanos), Some(500_000_000));
    }
}
