//! Which cgroup hierarchies this host has, and where the caller itself is in them.
//!
//! Read from `/proc/self/cgroup`, and from `/proc/self/mountinfo` unless everything is found to be where distributions
//! mount it: v1 controllers may be mounted together (`cpu,cpuacct`), in a container's view of the host, or beside a
//! cgroup2 mount (hybrid).

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
        let read = |path: &str| {
            let text = read_limited(Path::new(path), LONGEST).map_err(CgroupError::Detect)?;
            Ok::<_, CgroupError>(String::from_utf8_lossy(&text).into_owned())
        };
        let own = read("/proc/self/cgroup")?;
        let layout = match Self::usual(&own, is_whole) {
            Some(layout) => layout,
            None => Self::parse(&read("/proc/self/mountinfo")?, &own),
        };
        if layout.v1.is_empty() && layout.unified.is_none() {
            Err(CgroupError::NotMounted)
        } else {
            Ok(layout)
        }
    }

    /// The layout of `cgroup` when each hierarchy `is_whole` at its usual place. The kernel makes the table of mounts
    /// anew for each reader: 0.1 ms for a few dozen, and a host of containers has thousands.
    pub(super) fn usual(cgroup: &str, is_whole: impl Fn(&Path, Kind) -> bool) -> Option<Self> {
        let mut layout = Self { v1: Vec::new(), unified: None };
        // The hierarchy that was made first is the last line.
        for line in cgroup.lines().rev() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (names, own) = (fields.next()?, PathBuf::from(fields.next()?));
            let controllers: Vec<String> =
                names.split(',').filter(|name| is_known(name)).map(str::to_owned).collect();
            let known = !controllers.is_empty();
            let mount = |point: PathBuf| Mount { point, root: PathBuf::from("/"), controllers, own };
            let top = Path::new("/sys/fs/cgroup");
            if names.is_empty() {
                let mut places = [top.to_owned(), top.join("unified")].into_iter();
                layout.unified = Some(mount(places.find(|place| is_whole(place, Kind::V2))?));
            } else if known {
                let place = top.join(names.trim_start_matches("name="));
                layout.v1.push(mount(Some(place).filter(|place| is_whole(place, Kind::V1))?));
            }
        }
        Some(layout)
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
            let controllers: Vec<String> =
                line.options.split(',').filter(|option| is_known(option)).map(str::to_owned).collect();
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

/// What a cgroup file system may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V1,
    V2,
}

/// Whether `place` is the top of a hierarchy of this kind: neither something else nor a part of one.
fn is_whole(place: &Path, kind: Kind) -> bool {
    /// What the kernel numbers the first directory of a hierarchy.
    const TOP: u64 = 1;
    let magic = match kind {
        Kind::V1 => 0x27_e0eb,
        Kind::V2 => 0x6367_7270,
    };
    rustix::fs::statfs(place).is_ok_and(|system| system.f_type == magic)
        && rustix::fs::stat(place).is_ok_and(|stat| stat.st_ino == TOP)
}

fn is_known(controller: &str) -> bool {
    V1_CONTROLLERS.contains(&controller) || controller.starts_with("name=")
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
