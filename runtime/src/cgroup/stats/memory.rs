//! Memory, swap, and what of them the kernel itself holds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::pressure::Pressure;
use super::{Directory, is_default, is_zero, number, optional, pairs};
use crate::cgroup::CgroupError;

/// Usage by kind, and the kernel's own table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) usage: Entry,
    #[serde(skip_serializing_if = "is_default")]
    swap: Entry,
    #[serde(skip_serializing_if = "is_default")]
    kernel: Entry,
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_default")]
    kernel_tcp: Entry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Pressure>,
}

/// Bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Entry {
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

pub(super) fn read_v1(directory: &Directory) -> Result<Memory, CgroupError> {
    let raw = raw(directory)?;
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry_v1(directory, "memory")?,
        swap: entry_v1(directory, "memory.memsw")?,
        kernel: entry_v1(directory, "memory.kmem")?,
        kernel_tcp: entry_v1(directory, "memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

pub(super) fn read_v2(directory: &Directory) -> Result<Memory, CgroupError> {
    let raw = raw(directory)?;
    let usage = entry_v2(directory, "memory")?;
    let swap = entry_v2(directory, "memory.swap")?;
    // As v1 counts: memory and swap together, of which no peak is known.
    let limit = if swap.limit == u64::MAX { u64::MAX } else { swap.limit.saturating_add(usage.limit) };
    let swap = Entry { usage: swap.usage + usage.usage, limit, max: 0, failcnt: 0 };
    Ok(Memory { cache: raw.get("file").copied().unwrap_or(0), usage, swap, raw, ..Memory::default() })
}

fn raw(directory: &Directory) -> Result<BTreeMap<String, u64>, CgroupError> {
    let text = optional(directory.read("memory.stat"))?.unwrap_or_default();
    Ok(pairs(&text).map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Swap and kernel accounting may be missing: then all is 0.
fn entry_v1(directory: &Directory, prefix: &str) -> Result<Entry, CgroupError> {
    let value = |name: &str| number(directory, &format!("{prefix}.{name}"));
    Ok(Entry {
        limit: value("limit_in_bytes")?,
        usage: value("usage_in_bytes")?,
        max: value("max_usage_in_bytes")?,
        failcnt: value("failcnt")?,
    })
}

fn entry_v2(directory: &Directory, prefix: &str) -> Result<Entry, CgroupError> {
    let value = |name: &str| number(directory, &format!("{prefix}.{name}"));
    Ok(Entry { limit: value("max")?, usage: value("current")?, max: value("peak")?, failcnt: 0 })
}
