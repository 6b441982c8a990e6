//! What a container uses, in the shape that `events` prints and engines read.

mod blkio;
mod cpu;
mod cpuset;
mod hugetlb;
mod memory;
mod pids;
mod pressure;

use std::collections::BTreeMap;

use serde::Serialize;

pub(crate) use self::blkio::Blkio;
pub(crate) use self::cpu::Cpu;
pub(crate) use self::cpuset::Cpuset;
pub(crate) use self::hugetlb::Hugetlb;
pub(crate) use self::memory::Memory;
pub(crate) use self::pids::Pids;

use super::{CgroupError, Directory, Manager, Version, process};

/// Usage by controller; zeros are left out where runc leaves them out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    pub(crate) cpu: Cpu,
    pub(crate) cpuset: Cpuset,
    pub(crate) memory: Memory,
    pub(crate) pids: Pids,
    pub(crate) blkio: Blkio,
    pub(crate) hugetlb: BTreeMap<String, Hugetlb>,
}

impl Manager {
    /// What the container uses now. Controllers that are not there count as unused.
    ///
    /// # Errors
    /// When the kernel's numbers cannot be read.
    pub(crate) fn stats(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        if self.is_v2() {
            if let Some(directory) =
                self.unified().map(|unified| Directory::open(&unified.path)).transpose()?
            {
                stats.fill_v2(&directory)?;
            }
            return Ok(stats);
        }
        let open = |controller| {
            let hierarchy = self.v1(controller).filter(|hierarchy| hierarchy.version == Version::V1);
            hierarchy.map(|hierarchy| Directory::open(&hierarchy.path)).transpose()
        };
        if let Some(directory) = open("cpuacct")? {
            stats.cpu.usage = cpu::usage_v1(&directory)?;
        }
        if let Some(directory) = open("cpu")? {
            stats.cpu.throttling = cpu::throttling(&directory, 1)?;
        }
        if let Some(directory) = open("cpuset")? {
            stats.cpuset = cpuset::read(&directory)?;
        }
        if let Some(directory) = open("memory")? {
            stats.memory = memory::read_v1(&directory)?;
        }
        if let Some(directory) = open("pids")? {
            stats.pids = pids::read(&directory)?;
        }
        if let Some(directory) = open("blkio")? {
            stats.blkio = blkio::read_v1(&directory)?;
        }
        if let Some(directory) = open("hugetlb")? {
            stats.hugetlb = hugetlb::read(&directory, Version::V1)?;
        } else if let Some(unified) = self.unified() {
            stats.fill_hybrid(&Directory::open(&unified.path)?)?;
        }
        Ok(stats)
    }
}

impl Stats {
    fn fill_v2(&mut self, directory: &Directory) -> Result<(), CgroupError> {
        self.pids = pids::read(directory)?;
        self.memory = memory::read_v2(directory)?;
        self.memory.psi = pressure::read(directory, "memory.pressure")?;
        self.blkio = blkio::read_v2(directory)?;
        self.blkio.psi = pressure::read(directory, "io.pressure")?;
        self.cpu = cpu::read_v2(directory)?;
        self.cpu.psi = pressure::read(directory, "cpu.pressure")?;
        self.hugetlb = hugetlb::read(directory, Version::V2)?;
        Ok(())
    }

    /// What a hybrid host knows on cgroup2 only.
    fn fill_hybrid(&mut self, directory: &Directory) -> Result<(), CgroupError> {
        self.hugetlb = hugetlb::read(directory, Version::V2)?;
        self.cpu.psi = pressure::read(directory, "cpu.pressure")?;
        self.memory.psi = pressure::read(directory, "memory.pressure")?;
        self.blkio.psi = pressure::read(directory, "io.pressure")?;
        Ok(())
    }
}

/// A read of something that this kernel may not have.
fn optional<T>(read: Result<T, CgroupError>) -> Result<Option<T>, CgroupError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if process::is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A number that this kernel may not have, as 0.
fn number(directory: &Directory, name: &str) -> Result<u64, CgroupError> {
    Ok(optional(directory.read_number(name))?.unwrap_or(0))
}

/// `KEY VALUE` lines; others are none.
fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, super::directory::parse_number(value.trim())?))
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
