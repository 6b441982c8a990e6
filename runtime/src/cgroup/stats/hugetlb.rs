//! Huge pages by size.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Directory, is_zero, number};
use crate::cgroup::{CgroupError, Version};

/// Bytes, and refusals.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

pub(super) fn read(
    directory: &Directory,
    version: Version,
) -> Result<BTreeMap<String, Hugetlb>, CgroupError> {
    let mut sizes = BTreeMap::new();
    for size in sizes_of_host() {
        let entry = match version {
            Version::V1 => read_v1(directory, &size)?,
            Version::V2 => read_v2(directory, &size)?,
        };
        if let Some(entry) = entry {
            sizes.insert(size, entry);
        }
    }
    Ok(sizes)
}

/// Reservations where they are counted, else pages in use.
fn read_v1(directory: &Directory, size: &str) -> Result<Option<Hugetlb>, CgroupError> {
    let prefixes = [format!("hugetlb.{size}.rsvd"), format!("hugetlb.{size}")];
    let prefix = prefixes.iter().find(|prefix| directory.has(&format!("{prefix}.usage_in_bytes")));
    let Some(prefix) = prefix else { return Ok(None) };
    let value = |name: &str| number(directory, &format!("{prefix}.{name}"));
    let (usage, max) = (value("usage_in_bytes")?, value("max_usage_in_bytes")?);
    Ok(Some(Hugetlb { usage, max, failcnt: value("failcnt")? }))
}

fn read_v2(directory: &Directory, size: &str) -> Result<Option<Hugetlb>, CgroupError> {
    let names = [format!("hugetlb.{size}.rsvd.current"), format!("hugetlb.{size}.current")];
    let Some(name) = names.iter().find(|name| directory.has(name)) else { return Ok(None) };
    let failcnt = directory.read_key(&format!("hugetlb.{size}.events"), "max")?.unwrap_or(0);
    Ok(Some(Hugetlb { usage: directory.read_number(name)?, max: 0, failcnt }))
}

/// `2MB`, `1GB`: what `/sys` calls `hugepages-2048kB`.
fn sizes_of_host() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten();
    entries.flatten().filter_map(|entry| size(&entry.file_name().to_string_lossy())).collect()
}

pub(super) fn size(folder: &str) -> Option<String> {
    let kilobytes: u64 = folder.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kilobytes {
        0..1024 => format!("{kilobytes}KB"),
        1024..1_048_576 => format!("{}MB", kilobytes >> 10),
        _ => format!("{}GB", kilobytes >> 20),
    })
}
