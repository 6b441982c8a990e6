//! Which cgroup hierarchies this host has, and where the caller itself is in them.
//!
//! Read from `/proc/self/mountinfo` and `/proc/self/cgroup`, never guessed from paths: v1 controllers may be mounted
//! together (`cpu,cpuacct`), in a container's view of the host, or beside a cgroup2 mount (hybrid).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_linux::file::read_limited;

use super::CgroupError;

/// Longer tables than this are refused: a host with a hundred thousand mounts stays below it.
const LONGEST: u64 = 32 << 20;

/// The controllers that a v1 container joins when they are mounted, by the names of `/proc/self/cgroup`.
const V1_CONTROLLERS: [&str; 14] = [
    "cpuset",
    "devices",
    "memory",
    "cpu",
    "cpuacct",
    "pids",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "freezer",
    "rdma",
    "misc",
];

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// Which directory of the hierarchy is visible there; `/` but for a container's view.
    pub(super) root: PathBuf,
    /// v1: the controllers (`name=systemd` too); none for cgroup2.
    pub(super) controllers: Vec<String>,
    /// The caller's own directory in it, as the kernel names it.
    pub(super) own: PathBuf,
}

impl Mount {
    /// The caller's own directory below the mount point.
    pub(super) fn own_directory(&self) -> PathBuf {
        let inner = self.own.strip_prefix(&self.root).or_else(|_| self.own.strip_prefix("/"));
        join_inner(&self.point, inner.unwrap_or(&self.own))
    }
}

/// The hierarchies of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// v1 hierarchies, in the order of mounting.
    pub(super) v1: Vec<Mount>,
    /// The cgroup2 mount: alone on a v2 host, beside `v1` on a hybrid one.
    pub(super) unified: Option<Mount>,
}

impl Layout {
    pub(super) fn detect() -> Result<Self, CgroupError> {
        let read = |path: &str| read_limited(Path::new(path), LONGEST).map_err(CgroupError::Detect);
        let mounts = read("/proc/self/mountinfo")?;
        let own = read("/proc/self/cgroup")?;
        let layout = Self::parse(&String::from_utf8_lossy(&mounts), &String::from_utf8_lossy(&own));
        if layout.v1.is_empty() && layout.unified.is_none() {
            Err(CgroupError::NotMounted)
        } else {
            Ok(layout)
        }
    }

    /// `mountinfo` and `cgroup` as the kernel prints them.
    pub(super) fn parse(mountinfo: &str, cgroup: &str) -> Self {
        let own = parse_own(cgroup);
        let mut layout = Self { v1: Vec::new(), unified: None };
        for line in mountinfo.lines() {
            let Some(line) = MountLine::parse(line) else { continue };
            if line.kind == "cgroup2" {
                let own = own.get("").cloned().unwrap_or_else(|| PathBuf::from("/"));
                let mount = Mount { point: line.point, root: line.root, controllers: Vec::new(), own };
                layout.unified.get_or_insert(mount);
                continue;
            }
            let known = |option: &&str| V1_CONTROLLERS.contains(option) || option.starts_with("name=");
            let controllers: Vec<String> = line.options.split(',').filter(known).map(str::to_owned).collect();
            let Some(first) = controllers.first() else { continue };
            // A second mount of the same hierarchy (a bind into some chroot) is not another hierarchy.
            if layout.v1.iter().any(|mount| mount.controllers.contains(first)) {
                continue;
            }
            let own = own.get(first).cloned().unwrap_or_else(|| PathBuf::from("/"));
            layout.v1.push(Mount { point: line.point, root: line.root, controllers, own });
        }
        layout
    }
}

struct MountLine<'a> {
    root: PathBuf,
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

impl<'a> MountLine<'a> {
    /// `36 35 98:0 /root /point rw,noatime master:1 - cgroup cgroup rw,memory`; `None` for other file systems.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = file_system.split(' ');
        let kind = fields.next().filter(|kind| matches!(*kind, "cgroup" | "cgroup2"))?;
        let options = fields.nth(1)?;
        let mut fields = mount.split(' ').skip(3);
        Some(Self { root: unescape(fields.next()?), point: unescape(fields.next()?), kind, options })
    }
}

/// mountinfo writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(field: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = (byte == b'\\').then(|| field.get(at + 1..at + 4)).flatten();
        if let Some(value) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(value);
            at += 4;
        } else {
            plain.push(byte);
            at += 1;
        }
    }
    std::ffi::OsString::from_vec(plain).into()
}

/// `9:name=systemd:/`, `4:cpu,cpuacct:/x`, `0::/x`: controller (empty for cgroup2) to directory.
pub(super) fn parse_own(cgroup: &str) -> BTreeMap<String, PathBuf> {
    let mut own = BTreeMap::new();
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        for controller in controllers.split(',') {
            own.insert(controller.to_owned(), PathBuf::from(path));
        }
    }
    own
}

/// `base` with `inner` below it, whatever slashes `inner` begins with; it must have been cleaned before.
pub(super) fn join_inner(base: &Path, inner: &Path) -> PathBuf {
    let mut joined = base.to_owned();
    joined.extend(inner.components().filter(|part| matches!(part, std::path::Component::Normal(_))));
    joined
}

/// `path` without `.`, `..` and doubled slashes; `..` never climbs above the top.
pub(super) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir => clean.push("/"),
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}
