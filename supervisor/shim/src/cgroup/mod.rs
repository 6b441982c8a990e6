//! The cgroup of a container, read only: OOM kills and what is used.
//!
//! Owns: finding a process's cgroup on v1, hybrid and v2 hosts, and reading its files. Does not own: making, limiting
//! or removing cgroups, which the runtime does.

mod read;
mod v1;
mod v2;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dhow_linux::file::{PathError, read_limited};
use dhow_proto::any;
use prost_types::Any;
use read::{keyed, number_at};
use rustix::event::EventfdFlags;

use crate::reactor::{Reactor, Watched};

/// A container's cgroup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    place: Place,
    /// How many OOM kills were told.
    ooms: Cell<u64>,
}

/// Where its files are: a folder for each controller, or one.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    V1(BTreeMap<&'static str, PathBuf>),
    V2(PathBuf),
}

/// The controllers of v1 that are read.
const CONTROLLERS: [&str; 7] = ["blkio", "cpu", "cpuacct", "hugetlb", "memory", "pids", "rdma"];

/// Announces that something has happened to the memory of a cgroup.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    event: Watched<OwnedFd>,
    reactor: Reactor,
    is_counter: bool,
}

impl Cgroup {
    /// The cgroup that `pid` is in.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let membership = read_limited(Path::new(&format!("/proc/{pid}/cgroup")), 64 << 10).ok()?;
        let mounts = read_limited(Path::new("/proc/self/mountinfo"), 16 << 20).ok()?;
        let place = locate(&String::from_utf8_lossy(&membership), &String::from_utf8_lossy(&mounts))?;
        Some(Self { place, ooms: Cell::new(0) })
    }

    /// The cgroup that this one lies in, unless that is the whole machine.
    pub(crate) fn parent(&self) -> Option<Self> {
        let above = |folder: &PathBuf| folder.parent().filter(|parent| !is_root(parent)).map(PathBuf::from);
        let place = match &self.place {
            Place::V1(folders) => {
                let parents = folders.iter().map(|(name, folder)| Some((*name, above(folder)?)));
                Place::V1(parents.collect::<Option<_>>()?)
            }
            Place::V2(folder) => Place::V2(above(folder)?),
        };
        Some(Self { place, ooms: Cell::new(0) })
    }

    /// Whether processes were killed for memory that were not told of yet.
    pub(crate) fn has_new_oom(&self) -> bool {
        let path = match &self.place {
            Place::V1(folders) => folders.get("memory").map(|folder| folder.join("memory.oom_control")),
            Place::V2(folder) => Some(folder.join("memory.events")),
        };
        let count = path.and_then(|path| keyed(&path).get("oom_kill").copied()).unwrap_or(0);
        count > self.ooms.replace(count.max(self.ooms.get()))
    }

    /// What is used, as containerd's metrics; `None` when the cgroup is gone.
    pub(crate) fn metrics(&self) -> Option<Any> {
        match &self.place {
            Place::V1(folders) => {
                folders.values().any(|folder| folder.exists()).then(|| any::pack(&v1::metrics(folders)))
            }
            Place::V2(folder) => folder.exists().then(|| any::pack(&v2::metrics(folder))),
        }
    }

    /// Watches for memory running out; `None` where there is no memory controller.
    pub(crate) fn watch_memory(&self, reactor: &Reactor) -> Result<Option<MemoryWatch>, PathError> {
        let (event, is_counter) = match &self.place {
            Place::V1(folders) => match folders.get("memory") {
                Some(folder) => (v1_event(folder)?, true),
                None => return Ok(None),
            },
            Place::V2(folder) => match std::fs::File::open(folder.join("memory.events")) {
                Ok(file) => (OwnedFd::from(file), false),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(PathError::at("open memory.events in", folder)(error)),
            },
        };
        let watched = Watched::new(reactor, event);
        let event =
            watched.map_err(|error| PathError::at("watch memory events in", "cgroup")(error.into()))?;
        Ok(Some(MemoryWatch { event, reactor: reactor.clone(), is_counter }))
    }
}

impl MemoryWatch {
    /// Waits until it is worth looking at the cgroup again.
    pub(crate) async fn event(&self) {
        if self.is_counter {
            let mut count = [0; 8];
            let _ = self.event.reading(|fd| rustix::io::read(fd, &mut count)).await;
            // v1 announces before it kills: the count follows a little later.
            self.reactor.sleep(std::time::Duration::from_millis(20)).await;
        } else {
            self.event.event().await;
        }
    }
}

/// An eventfd that v1's memory controller counts up when memory runs out.
fn v1_event(folder: &Path) -> Result<OwnedFd, PathError> {
    use std::os::fd::AsRawFd;
    let control_path = folder.join("memory.oom_control");
    let control = std::fs::File::open(&control_path).map_err(PathError::at("open", &control_path))?;
    let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let event = event.map_err(|error| PathError::at("make eventfd for", &control_path)(error.into()))?;
    let path = folder.join("cgroup.event_control");
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    std::fs::write(&path, line).map_err(PathError::at("write", &path))?;
    Ok(event)
}

/// Finds the folders of a cgroup, from `/proc/PID/cgroup` and our `/proc/self/mountinfo`.
fn locate(membership: &str, mounts: &str) -> Option<Place> {
    let mut v1 = BTreeMap::new();
    let mut v2 = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if controllers.is_empty() {
            v2 = folder(mounts, "cgroup2", None, path);
        }
        for controller in CONTROLLERS {
            if controllers.split(',').any(|name| name == controller)
                && let Some(folder) = folder(mounts, "cgroup", Some(controller), path)
            {
                v1.insert(controller, folder);
            }
        }
    }
    if v1.is_empty() { v2.map(Place::V2) } else { Some(Place::V1(v1)) }
}

/// Where the cgroup `path` of a hierarchy can be seen.
fn folder(mounts: &str, fstype: &str, controller: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        if filesystem.next()? != fstype {
            return None;
        }
        let options = filesystem.nth(1)?;
        if controller.is_some_and(|controller| !options.split(',').any(|option| option == controller)) {
            return None;
        }
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let inside = if root == "/" { path } else { path.strip_prefix(root)? };
        Some(Path::new(point).join(inside.trim_start_matches('/')))
    })
}

/// Whether a folder is the root of its hierarchy: where another file system is mounted.
fn is_root(folder: &Path) -> bool {
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev);
    match (device(folder), device(&folder.join(".."))) {
        (Ok(own), Ok(above)) => own != above,
        _ => true,
    }
}

/// A limit: `max` and v1's huge numbers are no limit.
fn limit_at(path: &Path) -> u64 {
    number_at(path).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 30 0:28 /docker/x /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_hybrid_host_is_read_through_v1() {
        let membership = "4:memory:/docker/x/a\n3:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/a\n";
        let Some(Place::V1(folders)) = locate(membership, MOUNTS) else { panic!("v1") };
        assert_eq!(folders["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct/a"));
        assert_eq!(folders["memory"], Path::new("/sys/fs/cgroup/memory/a"));
        assert_eq!(folders.len(), 3);
    }

    #[test]
    fn a_v2_host_has_one_folder() {
        assert_eq!(locate("0::/a/b\n", MOUNTS), Some(Place::V2("/sys/fs/cgroup/unified/a/b".into())));
        assert_eq!(locate("", MOUNTS), None);
    }

    #[test]
    fn the_whole_machine_is_no_parent() {
        assert!(is_root(Path::new("/proc")));
        assert!(!is_root(Path::new("/proc/self")));
        let top = Cgroup { place: Place::V2("/proc/x".into()), ooms: Cell::new(0) };
        assert_eq!(top.parent(), None);
    }

    #[test]
    fn our_own_cgroup_has_metrics() {
        if let Some(cgroup) = Cgroup::of_process(std::process::id()) {
            assert!(
                cgroup
                    .metrics()
                    .is_some_and(|metrics| metrics.type_url.starts_with("io.containerd.cgroups.v"))
            );
        }
    }
}
